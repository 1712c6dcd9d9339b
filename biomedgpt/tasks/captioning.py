"""Image captioning."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.metrics.captioning import CaptioningCounts, find_java, score_captions
from biomedgpt.tasks.base import Example, Task

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, kw_only=True)
class Captioning(Task):
    """Instruction and decoding of the reference for PEIR Gross.

    A row is an image with all its captions: ``caption``, and ``references`` where there are more.
    The best checkpoint is picked by ROUGE-L, the one score of a caption that does not depend on
    which other images share its batch; the reference picks it by CIDEr.
    """

    name: ClassVar[str] = "captioning"
    group: ClassVar[str] = "captioning"
    fields: ClassVar[tuple[str, ...]] = ("caption", "references")
    uses_image: ClassVar[bool] = True
    answer_field: ClassVar[str] = "caption"
    metric: ClassVar[str] = "rouge_l"
    decoding: ClassVar[GenerationConfig] = GenerationConfig(
        beam=10, max_len=32, no_repeat_ngram_size=3
    )

    # As long as what is generated; the reference cuts at 20 words.
    max_target_tokens: int = 32

    def source_text(self, example: Example) -> str:
        """Return the instruction, the same for all images."""
        del example
        return "what does the image describe?"

    def target(self, example: Example) -> str:
        """Return the caption without ASCII punctuation, as the reference trains on it.

        Raises:
            DataError: nothing is left of it.
        """
        caption = " ".join(super().target(example).translate(_NO_PUNCTUATION).split())
        if not caption:
            raise DataError(
                f"example {example['id']!r} has a caption without any word; check the prepared "
                "dataset"
            )
        return caption

    def sums(self, records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
        """Return the sum of ROUGE-L, with plain words (see `CaptioningCounts`)."""
        counts = CaptioningCounts.of(records)
        return {self.metric: (counts.rouge_l, counts.n)}

    def score(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return CIDEr-D, BLEU, ROUGE-L and METEOR; without Java what `score_captions` says."""
        return score_captions(records, java=find_java()).to_dict()
