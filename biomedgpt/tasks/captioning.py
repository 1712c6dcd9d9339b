"""Image captioning."""

import string
from collections.abc import Mapping, Sequence

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.metrics import captioning as metrics
from biomedgpt.metrics.measures import Measure, Record, Statistics
from biomedgpt.tasks.base import Example, Task, has_word
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _bleu(records: Sequence[Record]) -> Statistics:
    return metrics.bleu(records, java=metrics.find_java())


class Captioning(Task):
    """Instruction and decoding of the reference for PEIR Gross.

    A row is an image with all its captions: ``caption``, and ``references`` where there are more.
    The best checkpoint is picked by ROUGE-L, the one score of a caption that does not depend on
    which other images share its batch; the reference picks it by CIDEr.
    """

    name = "captioning"
    group = "captioning"
    group_title = "image captioning"
    items = "images"
    fields = TaskFields(target="caption", optional=("references",), image=True)
    decoding = GenerationConfig(beam=10, max_len=32, no_repeat_ngram_size=3)
    prose = True
    measures = (
        Measure(
            key="cider_d",
            label="CIDEr-D",
            definition="likeness of n-grams (1 to 4) weighted by their rarity among the images "
            "scored, 0 to 10, mean over images; publications often print it times 100; 0 for a "
            "single image",
            corpus=lambda records: metrics.cider_d(records, java=metrics.find_java()),
        ),
        *(
            Measure(
                key=f"bleu_{order}",
                label=f"BLEU-{order}",
                term="BLEU",
                definition="clipped n-gram precision of all captions together with the closest "
                "reference lengths",
                corpus=_bleu,
                part=order - 1,
            )
            for order in (1, 2, 3, 4)
        ),
        Measure(
            key="rouge_l",
            label="ROUGE-L",
            definition="F of the longest common subsequence (beta 1.2), mean over images",
            examples=lambda records: metrics.rouge_l(records, java=metrics.find_java()),
            gain=True,
            logged="rouge_l",
        ),
        Measure(
            key="meteor",
            label="METEOR",
            definition="METEOR 1.5 for English of all captions together; without an interval",
            corpus=lambda records: metrics.meteor(records, java=metrics.find_java()),
            interval=False,
        ),
    )
    primary = "rouge_l"
    headline = ("cider_d", "rouge_l", "meteor")
    scorer = "captioning-1.0"
    normalisation = metrics.PTB_TOKENIZER
    terms = {
        "references": "all references of an image are used",
        "interval": "95 % percentile bootstrap over images; the rarities of CIDEr-D stay those of "
        "all images",
    }
    page = PageEntry(title="Describe an image")

    # As long as what is generated; the reference cuts at 20 words.
    max_target_tokens = 32

    def source_text(self, example: Example) -> str:
        """Return the instruction, the same for all images."""
        return "what does the image describe?"

    def written(self, answer: str) -> str:
        """Return the caption without ASCII punctuation, as the reference trains on it."""
        return " ".join(answer.translate(_NO_PUNCTUATION).split())

    @classmethod
    def read_answer(cls, text: str) -> str:
        """Return the caption; a target has no punctuation, so that a word must be in it."""
        if text and not has_word(text):
            raise DataError(f"caption {text!r} is a text without any word")
        return text

    def sums(self, records: Sequence[Record]) -> dict[str, tuple[float, int]]:
        """Return the sum of ROUGE-L with plain words.

        To start Java for every batch would take longer than to generate.
        """
        values = metrics.rouge_l(records, java=None)
        return {self.metric: (float(values.sum()), len(values))}

    @classmethod
    def normalised(cls) -> str:
        """Return which tokenizer splits captions, and what it does to them."""
        return metrics.PLAIN_TOKENIZER if metrics.find_java() is None else metrics.PTB_TOKENIZER

    @classmethod
    def remarks(cls, n: int, problems: Mapping[str, str]) -> list[str]:
        """Say that METEOR is missing, and what a CIDEr-D of one image is."""
        lacking = problems.get("meteor")
        said = [f"METEOR was not computed: {lacking}"] if lacking else []
        return [*said, metrics.ONE_IMAGE] if n == 1 else said
