"""Image classification, and what all tasks with a closed set of answers share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.metrics.classification import ClassificationCounts, score_classification
from biomedgpt.tasks.base import Example, RunInfo, Task


@dataclass(frozen=True, kw_only=True)
class ClosedTask(Task):
    """A task whose answer is one of the dataset's classes; scored as a classification.

    A beam at least as wide as there are classes compares all of them, as the reference does by
    scoring every candidate: the trie has no more paths than that.
    """

    metric: ClassVar[str] = "accuracy"

    constrained: bool = True

    def prediction_record(
        self,
        example: Example,
        *,
        text: str,
        score: float,
        run: RunInfo,
        candidate_scores: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Add the majority answer, and the score of every class where all were scored."""
        record = super().prediction_record(example, text=text, score=score, run=run)
        record["majority"] = run.majority.get(example.get("question_type", ""), "")
        return record if candidate_scores is None else record | {"class_scores": candidate_scores}

    def sums(self, records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
        """Return the number of correct answers and of all."""
        counts = ClassificationCounts.of(records)
        return {self.metric: (counts.correct, counts.n)}

    def score(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return accuracy, macro and weighted F1 and AUC with their intervals."""
        return score_classification(records).to_dict()


@dataclass(frozen=True, kw_only=True)
class Classification(ClosedTask):
    """Image classification; the answer is the name of the class.

    Instruction and limits of the reference for MedMNIST.
    """

    name: ClassVar[str] = "classification"
    group: ClassVar[str] = "classification"
    fields: ClassVar[tuple[str, ...]] = ("answer",)
    uses_image: ClassVar[bool] = True
    decoding: ClassVar[GenerationConfig] = GenerationConfig(beam=16, max_len=64, unnormalized=True)

    max_source_words: int = 128
    max_target_tokens: int = 64

    def source_text(self, example: Example) -> str:
        """Return the instruction, the same for all images."""
        del example
        return "what does the image describe?"
