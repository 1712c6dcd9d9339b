"""Instructions of any kind, with or without an image and a dialogue before them."""

from biomedgpt.decoding import GenerationConfig
from biomedgpt.metrics import instruct as metrics
from biomedgpt.metrics.measures import Measure
from biomedgpt.metrics.normalize import NORMALISATION
from biomedgpt.tasks.base import Example, Task, tidy
from biomedgpt.tasks.dialogue import format_history, parse_history
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


class Instruction(Task):
    """A dialogue up to the last thing asked is the source, its answer the target.

    How the published models wrote dialogues is not known; this is our own. What was asked is
    normalised as in visual question answering, so that a question that comes alone is the same
    source there; answers stay as they were written::

        {asked} answer: {answered} {asked} answer: {answered} {instruction}

    A dialogue longer than `max_source_tokens` loses its oldest turns. The decoder is not given the
    source again: dialogues are long.

    An answer may show an image, if the model was trained on such answers; its text then has
    `biomedgpt.tasks.dialogue.IMAGE_MARK` where the image is. The limits and options of
    decoding are those of the text; codes come beside it.
    """

    name = "instruction"
    group = "instruct"
    group_title = "answers to instructions"
    items = "answers"
    fields = TaskFields(
        source=("instruction", "history"),
        optional=("history", "modality", "image_in"),
        image=True,
        image_optional=True,
        free_text=True,
    )
    decoding = GenerationConfig(beam=5, max_len=256, no_repeat_ngram_size=3)
    samples = {
        "history": (
            format_history([("is it ct?", "yes")]),
            format_history([("is it mri?", "no")]),
        )
    }
    measures = (
        Measure(
            key="token_f1",
            label="word F1",
            definition="harmonic mean of the shares of the prediction's and of the reference's "
            "words that are in the other, each word as often as it occurs; mean over answers, of "
            "several references the best",
            examples=metrics.word_f1,
            gain=True,
            logged="token_f1",
        ),
        Measure(
            key="token_recall",
            label="word recall",
            definition="share of the reference's words that are in the prediction; likewise",
            examples=metrics.word_recall,
        ),
        Measure(
            key="exact",
            label="exact",
            definition="share of answers that are the reference",
            examples=metrics.exact,
            logged="exact",
        ),
    )
    primary = "token_f1"
    headline = ("token_f1", "exact")
    recorded = ("instruction", "history", "modality")
    scorer = "instruct-1.0"
    normalisation = NORMALISATION
    terms = {"interval": "95 % percentile bootstrap over answers"}
    page = PageEntry(
        title="Follow an instruction",
        fields={"instruction": PageField("Instruction", "describe the lesion", lines=2)},
    )

    max_source_words = 512
    """Words that are kept of the instruction."""
    max_target_tokens = 256
    max_source_tokens = 512
    image_grid: int = 0
    """Codes along one side of an image in an answer; 0 where answers are texts only."""
    image_codes: int = 0
    """How many codes the image tokenizer knows."""
    image_tokenizer: str = ""
    """Fingerprint of the image tokenizer."""

    def source_text(self, example: Example) -> str:
        """Return the normalised instruction."""
        return tidy(example["instruction"])

    def frame(self, text: str, example: Example) -> str:
        """Put what was said before in front of the instruction."""
        turns = parse_history(example["history"], where=f"example {example['id']!r}")
        before = (f"{tidy(asked)} answer: {answer}" for asked, answer in turns)
        return " ".join([*before, text])

    def shorten(self, example: Example) -> Example | None:
        """Return the example without the oldest turn, None when there is none."""
        turns = parse_history(example["history"], where=f"example {example['id']!r}")
        return {**example, "history": format_history(turns[1:])} if turns else None
