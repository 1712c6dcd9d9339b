"""Text summarization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.metrics.summarization import SummarizationCounts, score_summarization
from biomedgpt.tasks.base import Example, RunInfo, Task, tidy


@dataclass(frozen=True, kw_only=True)
class Summarization(Task):
    """Conventions of the reference for MeQSum; scores are those of the texts as written."""

    name: ClassVar[str] = "summarization"
    group: ClassVar[str] = "summarization"
    fields: ClassVar[tuple[str, ...]] = ("source", "summary")
    uses_image: ClassVar[bool] = False
    answer_field: ClassVar[str] = "summary"
    metric: ClassVar[str] = "rouge_l"
    decoding: ClassVar[GenerationConfig] = GenerationConfig(
        beam=5, max_len=128, length_penalty=0.7, no_repeat_ngram_size=3
    )

    max_source_words: int = 512
    max_target_tokens: int = 128

    def source_text(self, example: Example) -> str:
        """Return the normalised article."""
        return tidy(example["source"])

    def frame(self, text: str, example: Example) -> str:
        """Ask for the summary of the article."""
        del example
        return f'what is the summary of article " {text} "?'

    def target(self, example: Example) -> str:
        """Return the summary, normalised like the article.

        Raises:
            DataError: nothing is left of it.
        """
        summary = tidy(super().target(example))
        if not summary:
            raise DataError(
                f"example {example['id']!r} has a summary without any word; check the prepared "
                "dataset"
            )
        return summary

    def prediction_record(
        self,
        example: Example,
        *,
        text: str,
        score: float,
        run: RunInfo,
        candidate_scores: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Add the source, which the first-sentence baseline is taken from."""
        del candidate_scores
        record = super().prediction_record(example, text=text, score=score, run=run)
        return record | {"source": example["source"]}

    def sums(self, records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
        """Return the sums of the three ROUGE F1."""
        counts = SummarizationCounts.of(records)
        return {
            "rouge_1": (counts.rouge_1, counts.n),
            "rouge_2": (counts.rouge_2, counts.n),
            self.metric: (counts.rouge_l, counts.n),
        }

    def score(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return ROUGE F1 beside that of the first sentence, with intervals."""
        return score_summarization(records).to_dict()
