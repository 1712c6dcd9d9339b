"""Instructions of any kind, with or without an image and a dialogue before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from biomedgpt.data.instruction_rows import format_history, parse_history
from biomedgpt.decoding import GenerationConfig
from biomedgpt.metrics.instruct import InstructCounts, score_instruct
from biomedgpt.tasks.base import Example, RunInfo, Task, tidy


@dataclass(frozen=True, kw_only=True)
class Instruction(Task):
    """A dialogue up to the last thing asked is the source, its answer the target.

    How the published models wrote dialogues is not known; this is our own. What was asked is
    normalised as in visual question answering, so that a question that comes alone is the same
    source there; answers stay as they were written::

        {asked} answer: {answered} {asked} answer: {answered} {instruction}

    A dialogue longer than `max_source_tokens` loses its oldest turns. The decoder is not given the
    source again: dialogues are long.

    An answer may show an image, if the model was trained on such answers; its text then has
    `biomedgpt.data.instruction_rows.IMAGE_MARK` where the image is. The limits and options of
    decoding are those of the text; codes come beside it.
    """

    name: ClassVar[str] = "instruction"
    group: ClassVar[str] = "instruct"
    fields: ClassVar[tuple[str, ...]] = (
        "instruction",
        "history",
        "answer",
        "modality",
        "image_in",
    )
    uses_image: ClassVar[bool] = True
    metric: ClassVar[str] = "token_f1"
    decoding: ClassVar[GenerationConfig] = GenerationConfig(
        beam=5, max_len=256, no_repeat_ngram_size=3
    )

    max_source_words: int = 512
    """Words that are kept of the instruction."""
    max_target_tokens: int = 256
    max_source_tokens: int = 512
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

    def prediction_record(
        self,
        example: Example,
        *,
        text: str,
        score: float,
        run: RunInfo,
        candidate_scores: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Add what was asked and the modality."""
        del candidate_scores
        record = super().prediction_record(example, text=text, score=score, run=run)
        return record | {
            "instruction": example["instruction"],
            "history": example["history"],
            "modality": example["modality"],
        }

    def sums(self, records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
        """Return the sums of word F1 and of exact answers."""
        counts = InstructCounts.of(records)
        return {
            self.metric: (counts.token_f1, counts.n),
            "exact": (counts.exact, counts.n),
        }

    def score(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return word F1 and recall and the share of exact answers, with intervals."""
        return score_instruct(records).to_dict()
