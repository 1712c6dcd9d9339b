"""Visual question answering: the question is the instruction, the answer a short text."""

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.metrics import vqa as metrics
from biomedgpt.metrics.measures import Examples, Measure, Record
from biomedgpt.metrics.normalize import NORMALISATION
from biomedgpt.tasks.base import Example, Task, tidy
from biomedgpt.tasks.baseline import majority
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


def _accuracy(key: str, label: str, examples: Examples, *, logged: str) -> Measure:
    return Measure(
        key=key,
        label=label,
        term="accuracy",
        definition="mean confidence of the reference that equals the whole prediction after "
        "normalisation, 0 where none does",
        examples=examples,
        baseline=True,
        gain=True,
        logged=logged,
    )


def _open(examples: Examples) -> Examples:
    return metrics.of_type(metrics.OPEN, examples)


class Vqa(Task):
    """Conventions and defaults of the reference for VQA-RAD, SLAKE and PathVQA."""

    name = "vqa"
    group = "vqa"
    group_title = "visual question answering"
    items = "questions"
    fields = TaskFields(
        source=("question",),
        optional=("answer_type", "question_type", "object", "references"),
        image=True,
    )
    decoding = GenerationConfig(beam=5, max_len=40, unnormalized=True)
    cleaning = ("answers lower-cased",)
    measures = (
        _accuracy("accuracy", "accuracy", metrics.credits, logged="vqa_score"),
        _accuracy("accuracy_open", "accuracy, open", _open(metrics.credits), logged="vqa_open"),
        _accuracy(
            "accuracy_closed",
            "accuracy, closed",
            metrics.of_type(metrics.CLOSED, metrics.credits),
            logged="vqa_closed",
        ),
        Measure(
            key="open_token_recall",
            label="open token recall",
            term="token recall",
            definition="share of the reference's distinct words found among the prediction's "
            "words, mean over open questions; words are split at white space, punctuation at "
            "their ends removed",
            examples=_open(metrics.recalls),
        ),
        Measure(
            key="weighted_f1",
            label="weighted F1",
            definition="F1 of each distinct reference answer taken as a class, weighted by how "
            "often it is the reference (scikit-learn, average='weighted')",
            corpus=metrics.weighted_f1,
            interval=False,
        ),
    )
    primary = "accuracy"
    headline = ("accuracy", "accuracy_open", "accuracy_closed")
    # Empty where training has no question of that type, or no split.
    baseline = majority(
        "always answers with the commonest training answer of the question's type; a type without "
        "one is answered wrongly"
    )
    recorded = ("question", "answer_type", "question_type")
    scorer = "vqa-1.0"
    normalisation = NORMALISATION
    terms = {"interval": "95 % percentile bootstrap over questions"}
    page = PageEntry(
        title="Ask about an image",
        fields={"question": PageField("Question", "what kind of lesion is shown?")},
    )

    prompt_type = "prev_output"
    constrained = True
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

    @classmethod
    def read_answer(cls, text: str) -> str:
        """Return the answer in lower case."""
        return text.lower()

    @classmethod
    def check_record(cls, record: Record, where: str) -> None:
        """Refuse a type of answers that there is not."""
        if record["answer_type"] not in (metrics.OPEN, metrics.CLOSED):
            raise DataError(
                f"{where}: key 'answer_type' is {record['answer_type']!r}, must be OPEN or CLOSED"
            )
