"""Visual question answering: the question is the instruction, the answer a short text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.metrics.vqa import VqaCounts, score_vqa
from biomedgpt.tasks.base import Example, PromptType, RunInfo, Task, tidy


@dataclass(frozen=True, kw_only=True)
class Vqa(Task):
    """Conventions and defaults of the reference for VQA-RAD, SLAKE and PathVQA."""

    name: ClassVar[str] = "vqa"
    group: ClassVar[str] = "vqa"
    fields: ClassVar[tuple[str, ...]] = (
        "question",
        "answer",
        "answer_type",
        "question_type",
        "object",
        "references",
    )
    uses_image: ClassVar[bool] = True
    metric: ClassVar[str] = "vqa_score"
    decoding: ClassVar[GenerationConfig] = GenerationConfig(beam=5, max_len=40, unnormalized=True)

    prompt_type: PromptType = "prev_output"
    constrained: bool = True
    add_object: bool = False
    """Append the organ or location of the row to the question."""
    max_object_words: int = 30

    def source_text(self, example: Example) -> str:
        """Return the normalised question."""
        return tidy(example["question"])

    def frame(self, text: str, example: Example) -> str:
        """End the question with a question mark; append the object if asked to."""
        question = text if text.endswith("?") else text + "?"
        words = example["object"].split()[: self.max_object_words]
        return f"{question} object: {' '.join(words)}" if self.add_object and words else question

    def prediction_record(
        self,
        example: Example,
        *,
        text: str,
        score: float,
        run: RunInfo,
        candidate_scores: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Add what the VQA scores are broken down by."""
        del candidate_scores
        record = super().prediction_record(example, text=text, score=score, run=run)
        return record | {
            "question": example["question"],
            "answer_type": example["answer_type"],
            "question_type": example["question_type"],
            "majority": run.majority.get(example["question_type"], ""),
        }

    def sums(self, records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
        """Return sums of accuracy: all questions, open ones, closed ones."""
        counts = VqaCounts.of(records)
        return {
            self.metric: (
                counts.open_credit + counts.closed_credit,
                counts.open_n + counts.closed_n,
            ),
            "vqa_open": (counts.open_credit, counts.open_n),
            "vqa_closed": (counts.closed_credit, counts.closed_n),
        }

    def score(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return accuracies, token recall and weighted F1 with their intervals."""
        return score_vqa(records).to_dict()
