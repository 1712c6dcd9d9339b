"""What every task defines, once for training, generation, the command line and scoring."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from inspect import get_annotations
from itertools import islice
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.measures import Measure, Record
from biomedgpt.tasks.baseline import MAJORITY, Baseline
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField
from biomedgpt.tasks.prediction import COMMON_KEYS, RunInfo

Example = Mapping[str, str]
"""The text fields of one row of a prepared dataset."""

PromptType = Literal["none", "prev_output", "src"]
"""What the decoder is given before the answer: only <s>; the source; the source and </s>."""


@dataclass(frozen=True)
class Reference:
    """One accepted answer and how much it counts, from 0 to 1."""

    answer: str
    confidence: float


# Thai, Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^ {_UNSPACED}]+|(?<= )(?= )")
"""What spaces part (nothing, between two of them), or a character of a script without spaces."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """All that is known of one task: every list of tasks and measures is a view of this class.

    A task is its class attributes, two or three short methods, and a few options with defaults,
    which `with_` changes. `biomedgpt.tasks.register` adds it to what can be imported, trained,
    asked and scored. Nothing here depends on tensors or on how the text is tokenized.
    """

    name: ClassVar[str]
    fields: ClassVar[TaskFields]
    """What its rows hold, by role."""
    group: ClassVar[str]
    """Kind of task, whose predictions are scored alike."""
    group_title: ClassVar[str]
    """Name of the kind for people."""
    recipes: ClassVar[str] = ""
    """Group whose recipes train it; "" for its own, which a task of one's own has none of."""
    items: ClassVar[str] = "examples"
    """What the examples are called."""

    decoding: ClassVar[GenerationConfig] = GenerationConfig()
    """How answers are generated unless a run says otherwise."""
    default_answers: ClassVar[tuple[str, ...]] = ()
    """Answers to choose from where a checkpoint brings none."""
    prose: ClassVar[bool] = False
    """Whether every answer is a sentence or more."""
    cleaning: ClassVar[tuple[str, ...]] = ()
    """What `read_answer` does to answers in one's own tables, in words."""
    samples: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Two values of each source that is no plain text, to try the instruction with."""

    measures: ClassVar[tuple[Measure, ...]]
    """In the order in which they are printed."""
    primary: ClassVar[str]
    """Key of the measure that is compared with the baselines and picks the best checkpoint."""
    headline: ClassVar[tuple[str, ...]]
    """Keys of the measures that a table of many datasets shows."""
    baseline: ClassVar[Baseline | None] = None
    recorded: ClassVar[tuple[str, ...]] = ()
    """Fields of a row that its line in a prediction file repeats."""
    scorer: ClassVar[str]
    """Name and version of what computes the measures."""
    normalisation: ClassVar[str]
    """What is done to texts before they are compared, in words."""
    terms: ClassVar[Mapping[str, str]] = {}
    """What else a table of its measures explains."""
    page: ClassVar[PageEntry | None] = None
    """Its entry on the page; by default the sources, for checkpoints trained for the task."""

    prompt_type: PromptType = "none"
    constrained: bool = False
    """Whether answers are limited to the dataset's candidate answers."""
    max_source_words: int = 80
    max_target_tokens: int = 40
    max_source_tokens: int = 1024
    """Tokens of the whole source, <s> and </s> included; the model's positions are a limit too."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a class change options as it changes everything else: ``max_source_words = 3``.

        To a dataclass, a value without annotation is no field, and its parent's default would win.
        """
        super().__init_subclass__(**options)
        inherited = {one.name: one.type for one in dataclass_fields(cls)}
        changed = {name: inherited[name] for name in inherited if name in vars(cls)}
        cls.__annotations__ = changed | get_annotations(cls)

    def __post_init__(self) -> None:
        if self.prompt_type not in get_args(PromptType):
            raise ConfigError(
                f"prompt type {self.prompt_type!r} is unknown; choose one of "
                f"{', '.join(get_args(PromptType))}"
            )
        for option in ("max_source_words", "max_target_tokens", "max_source_tokens"):
            if getattr(self, option) < 1:
                raise ConfigError(f"{option} must be at least 1, got {getattr(self, option)}")

    def with_(self, **options: Any) -> Self:
        """Return this task with some options changed; those given as None stay as they are."""
        return replace(self, **{name: v for name, v in options.items() if v is not None})

    @abstractmethod
    def source_text(self, example: Example) -> str:
        """Return the text that `max_source_words` applies to, normalised."""

    def frame(self, text: str, example: Example) -> str:
        """Put ``text`` (the source text, cut to its limit) into the task's instruction."""
        return text

    def instruction(self, example: Example) -> str:
        """Return the source the encoder reads, without the leading space it is encoded with."""
        return self.frame(cut_words(self.source_text(example), self.max_source_words), example)

    def shorten(self, example: Example) -> Example | None:
        """Return the example with less to say before its question, where it can be spared."""
        return None

    def is_cut(self, example: Example) -> bool:
        """Say whether `instruction` had to drop words."""
        return count_words(self.source_text(example)) > self.max_source_words

    def references(self, example: Example) -> list[Reference]:
        """Return the accepted answers, the best one first.

        Raises:
            DataError: no answer, or a malformed list of references.
        """
        accepted = [Reference(example[self.fields.target], 1.0)]
        if example.get("references"):
            accepted = _parse_references(example["references"], example["id"])
        accepted = [one for one in accepted if one.answer.strip()]
        if not accepted:
            raise DataError(f"example {example['id']!r} has no answer; check the prepared dataset")
        return sorted(accepted, key=lambda one: -one.confidence)

    def is_answered(self, example: Example) -> bool:
        """Say whether the row has an answer to compare with."""
        return bool(example.get("references") or example[self.fields.target].strip())

    def target(self, example: Example) -> str:
        """Return the text to be generated: the accepted answer with the highest confidence.

        Raises:
            DataError: there is none, or nothing is left of it as it is `written`.
        """
        text = self.written(self.references(example)[0].answer)
        if not text:
            raise DataError(
                f"example {example['id']!r} has a {self.fields.target} without any word; check the "
                "prepared dataset"
            )
        return text

    def written(self, answer: str) -> str:
        """Return an accepted answer as the model is to write it."""
        return answer

    def confidence(self, example: Example) -> float:
        """Return the weight of `target` in the loss."""
        return self.references(example)[0].confidence

    def answer(self, text: str) -> str:
        """Turn generated text into an answer."""
        return text.strip()

    @classmethod
    def read_answer(cls, text: str) -> str:
        """Return what an answer in one's own table means; see `cleaning`.

        Raises:
            DataError: it means nothing.
        """
        return text

    # Predictions and scores

    @classmethod
    def prediction_keys(cls) -> dict[str, type]:
        """Return the keys that every line of a prediction file must have, with their types."""
        baseline = () if cls.baseline is None else (cls.baseline.key,)
        return {**COMMON_KEYS, **dict.fromkeys((*cls.recorded, *baseline), str)}

    @classmethod
    def check_record(cls, record: Record, where: str) -> None:
        """Look closer at a line that has all keys; DataError begins with ``where``."""
        del record, where

    def prediction_record(
        self,
        example: Example,
        *,
        text: str,
        score: float,
        run: RunInfo,
        candidate_scores: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Return one line of a prediction file.

        Args:
            example: the row that was answered; one without a reference gets an empty one.
            text: decoded hypothesis.
            score: its score.
            run: what all lines share.
            candidate_scores: log-probability of every candidate answer, where all were scored;
                kept where the candidates are classes.
        """
        references = self.references(example) if self.is_answered(example) else []
        record = {
            "id": example["id"],
            "prediction": self.answer(text),
            "reference": references[0].answer if references else "",
            "references": [
                {"answer": one.answer, "confidence": one.confidence} for one in references
            ],
            "dataset": run.dataset,
            "dataset_hash": run.dataset_hash,
            "split": run.split,
            "decoding": dict(run.decoding),
            "score": score,
            **{name: example[name] for name in self.recorded},
        }
        if self.baseline is not None and self.baseline.key == MAJORITY:
            record[MAJORITY] = run.majority.get(example.get("question_type", ""), "")
        if candidate_scores is not None and self.fields.closed:
            record["class_scores"] = candidate_scores
        return record

    @classmethod
    def primary_measure(cls) -> Measure:
        """Return the measure that `primary` names."""
        return next(one for one in cls.measures if one.key == cls.primary)

    @property
    def metric(self) -> str:
        """Score that picks the best checkpoint, as validation's log names it; higher is better."""
        return self.primary_measure().logged

    @classmethod
    def is_built_in(cls) -> bool:
        """Say whether it is one of this package, rather than of somebody's own."""
        return cls.__module__.startswith("biomedgpt.")

    def sums(self, records: Sequence[Record]) -> dict[str, tuple[float, int]]:
        """Return sum and count per name in validation's log, so that batches and processes add up.

        Args:
            records: lines of a prediction file.
        """
        found = {}
        for measure in self.measures:
            if measure.logged and measure.examples is not None:
                values = measure.examples(records)
                values = values[~np.isnan(values)]
                found[measure.logged] = (float(values.sum()), len(values))
        return found

    @classmethod
    def normalised(cls) -> str:
        """Return what is done to texts on this machine before they are compared."""
        return cls.normalisation

    @classmethod
    def remarks(cls, n: int, problems: Mapping[str, str]) -> list[str]:
        """Return what a reader must know of the very numbers.

        Args:
            n: number of examples.
            problems: why measures have no value, by key.
        """
        return []

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """Return what a score file holds beside the measures."""
        return {}

    @classmethod
    def page_entry(cls) -> PageEntry:
        """Return the entry on the page."""
        if cls.page is not None:
            return cls.page
        texts = [name for name in cls.fields.source if name != "options"]
        labels = {name: name.replace("_", " ").capitalize() for name in texts}
        return PageEntry(
            title=cls.name.replace("_", " ").capitalize(),
            fields={
                name: PageField(label, required=name not in cls.fields.optional, lines=4)
                for name, label in labels.items()
            },
            specialist=True,
        )


def tidy(text: str) -> str:
    """Normalise instruction text as the reference does.

    Lower case, leading ``,.!?*#:;~`` removed, ``-`` and ``/`` to spaces, white space collapsed.
    """
    return plain(text.lstrip(",.!?*#:;~").replace("-", " ").replace("/", " "))


def has_word(text: str) -> bool:
    """Say whether there is a letter or digit in a text: of others nothing is left as a target."""
    return any(character.isalnum() for character in text)


def plain(text: str) -> str:
    """Return ``text`` in lower case with white space collapsed, and nothing else changed."""
    return " ".join(text.lower().split())


def count_words(text: str) -> int:
    """Return how many words a text has; without spaces, each character is one."""
    return sum(1 for _ in _WORD.finditer(text))


def cut_words(text: str, most: int) -> str:
    """Return a text up to its ``most``-th word; see `count_words`."""
    words = (word.end() for word in _WORD.finditer(text))
    return text[: next(islice(words, most - 1, None), len(text))]


def _parse_references(text: str, row: str) -> list[Reference]:
    try:
        items: Iterable[Mapping[str, Any]] = json.loads(text)
        return [Reference(str(item["answer"]), float(item["confidence"])) for item in items]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"example {row!r}: field 'references' is not a JSON list of answer and confidence; "
            "prepare the dataset again"
        ) from error
