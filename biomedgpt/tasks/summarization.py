"""Text summarization."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.metrics.measures import Measure
from biomedgpt.metrics.summarization import NORMALISATION, first_sentence, rouge
from biomedgpt.tasks.base import Example, Task, tidy
from biomedgpt.tasks.baseline import Baseline
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


@dataclass(frozen=True, kw_only=True)
class Summarization(Task):
    """Conventions of the reference for MeQSum; scores are those of the texts as written."""

    name: ClassVar[str] = "summarization"
    group: ClassVar[str] = "summarization"
    group_title: ClassVar[str] = "text summarization"
    items: ClassVar[str] = "summaries"
    fields: ClassVar[TaskFields] = TaskFields(source=("source",), target="summary")
    decoding: ClassVar[GenerationConfig] = GenerationConfig(
        beam=5, max_len=128, length_penalty=0.7, no_repeat_ngram_size=3
    )
    prose: ClassVar[bool] = True
    measures: ClassVar[tuple[Measure, ...]] = tuple(
        Measure(
            key=key,
            label=label,
            term="ROUGE",
            definition="F1 of words (ROUGE-1), of pairs of words (ROUGE-2), of the longest common "
            "subsequence (ROUGE-L), mean over summaries; of several references the best counts, "
            "for each measure by itself",
            examples=rouge(kind),
            baseline=True,
            logged=key,
        )
        for key, label, kind in (
            ("rouge_1", "ROUGE-1", "rouge1"),
            ("rouge_2", "ROUGE-2", "rouge2"),
            ("rouge_l", "ROUGE-L", "rougeL"),
        )
    )
    primary: ClassVar[str] = "rouge_l"
    headline: ClassVar[tuple[str, ...]] = ("rouge_l",)
    baseline: ClassVar[Baseline] = Baseline(
        name="first sentence",
        meaning="giving the first sentence of the source",
        definition="gives the source up to the first line break, or the first '.', '!' or '?' "
        "before white space",
        key="source",
        answer=lambda record: first_sentence(record["source"]),
    )
    recorded: ClassVar[tuple[str, ...]] = ("source",)
    scorer: ClassVar[str] = "summarization-1.0"
    normalisation: ClassVar[str] = NORMALISATION
    terms: ClassVar[Mapping[str, str]] = {"interval": "95 % percentile bootstrap over summaries"}
    page: ClassVar[PageEntry] = PageEntry(
        title="Summarize a text",
        fields={"source": PageField("Text", "a question, a report or an article", lines=6)},
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
