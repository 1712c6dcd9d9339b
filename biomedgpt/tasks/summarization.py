"""Text summarization."""

from biomedgpt.decoding import GenerationConfig
from biomedgpt.metrics.measures import Measure
from biomedgpt.metrics.summarization import NORMALISATION, first_sentence, rouge
from biomedgpt.tasks.base import Example, Task, tidy
from biomedgpt.tasks.baseline import Baseline
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


class Summarization(Task):
    """Conventions of the reference for MeQSum; scores are those of the texts as written."""

    name = "summarization"
    group = "summarization"
    group_title = "text summarization"
    items = "summaries"
    fields = TaskFields(source=("source",), target="summary")
    decoding = GenerationConfig(beam=5, max_len=128, length_penalty=0.7, no_repeat_ngram_size=3)
    prose = True
    measures = tuple(
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
    primary = "rouge_l"
    headline = ("rouge_l",)
    baseline = Baseline(
        name="first sentence",
        meaning="giving the first sentence of the source",
        definition="gives the source up to the first line break, or the first '.', '!' or '?' "
        "before white space",
        key="source",
        answer=lambda record: first_sentence(record["source"]),
    )
    recorded = ("source",)
    scorer = "summarization-1.0"
    normalisation = NORMALISATION
    terms = {"interval": "95 % percentile bootstrap over summaries"}
    page = PageEntry(
        title="Summarize a text",
        fields={"source": PageField("Text", "a question, a report or an article", lines=6)},
    )

    max_source_words = 512
    max_target_tokens = 128

    def source_text(self, example: Example) -> str:
        """Return the normalised article."""
        return tidy(example["source"])

    def frame(self, text: str, example: Example) -> str:
        """Ask for the summary of the article."""
        return f'what is the summary of article " {text} "?'

    def written(self, answer: str) -> str:
        """Return the summary, normalised like the article."""
        return tidy(answer)
