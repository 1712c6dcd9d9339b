"""Image classification, and what all tasks with a closed set of answers share."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.metrics import classification as metrics
from biomedgpt.metrics.measures import Measure, Record
from biomedgpt.metrics.normalize import NORMALISATION
from biomedgpt.tasks.base import Example, Task, count_words, cut_words, plain
from biomedgpt.tasks.baseline import majority
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import CANDIDATES, PageEntry, PageField


class ClosedTask(Task):
    """A task whose answer is one of the dataset's classes; scored as a classification.

    One on texts is of the group of text understanding unless it says otherwise.

    A beam at least as wide as there are classes compares all of them, as the reference does by
    scoring every candidate: the trie has no more paths than that.
    """

    group = "understanding"
    recipes = "understanding"
    group_title = "text understanding"
    decoding = GenerationConfig(beam=8, max_len=30, unnormalized=True)
    cleaning: ClassVar[tuple[str, ...]] = ("answers lower-cased",)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            key="accuracy",
            label="accuracy",
            definition="share of predictions that equal the whole reference after normalisation",
            examples=metrics.correct,
            baseline=True,
            gain=True,
            logged="accuracy",
        ),
        Measure(
            key="macro_f1",
            label="macro F1",
            definition="mean F1 over the classes that occur as a reference; a prediction that is "
            "no such class, an empty one included, misses its reference and forms no class of its "
            "own (as scikit-learn with labels=reference classes)",
            corpus=metrics.f1,
        ),
        Measure(
            key="weighted_f1",
            label="weighted F1",
            definition="the same F1 values, weighted by how often each class is the reference",
            corpus=metrics.f1,
            part=1,
        ),
        Measure(
            key="auc",
            label="AUC",
            definition="area under the ROC curve of the difference of the two class scores, equal "
            "ones counting half (as scikit-learn); only for two classes, and if every prediction "
            "has their scores",
            corpus=metrics.auc,
        ),
    )
    primary = "accuracy"
    headline: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "auc")
    baseline = majority("accuracy of always answering with the commonest training answer")
    scorer = "classification-1.0"
    normalisation = NORMALISATION
    terms: ClassVar[Mapping[str, str]] = {"interval": "95 % percentile bootstrap over examples"}

    constrained = True
    max_target_tokens = 30

    @classmethod
    def read_answer(cls, text: str) -> str:
        """Return the name of the class in lower case."""
        return text.lower()

    @classmethod
    def check_record(cls, record: Record, where: str) -> None:
        """Refuse class scores of another form."""
        if not isinstance(record.get("class_scores", {}), dict):
            raise DataError(f"{where}: key 'class_scores' must be an object of numbers by class")

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """Return how often each class is the reference."""
        return {"support": metrics.support(records)}


class ClosedTextTask(ClosedTask):
    """A question about one or more texts, of each of which `max_source_words` are kept.

    Text is lower-cased and white space collapsed, and nothing else.
    """

    question: ClassVar[str]
    """The instruction, with the names of the sources where they belong."""

    max_source_words = 512

    def source_text(self, example: Example) -> str:
        """Return the first source; `frame` adds the others."""
        return plain(example[self.fields.source[0]])

    def frame(self, text: str, example: Example) -> str:
        """Ask the question."""
        first, *others = self.fields.source
        texts = {name: cut_words(plain(example[name]), self.max_source_words) for name in others}
        return self.question.format(**{first: text}, **texts)

    def is_cut(self, example: Example) -> bool:
        """Say whether words of any of the texts are dropped."""
        lengths = [count_words(plain(example[name])) for name in self.fields.source]
        return max(lengths) > self.max_source_words


class Classification(ClosedTask):
    """Image classification; the answer is the name of the class.

    Instruction and limits of the reference for MedMNIST.
    """

    name = "classification"
    group = "classification"
    recipes = "classification"
    group_title = "image classification"
    fields = TaskFields(image=True, closed=True)
    decoding = GenerationConfig(beam=16, max_len=64, unnormalized=True)
    page = PageEntry(
        title="Classify an image",
        fields={CANDIDATES: PageField("Labels, one per line", "nodule\ncyst", lines=3)},
    )

    max_source_words = 128
    max_target_tokens = 64

    def source_text(self, example: Example) -> str:
        """Return the instruction, the same for all images."""
        return "what does the image describe?"
