"""What every task defines, once for training, generation, the command line and scoring."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError

Example = Mapping[str, str]
"""The text fields of one row of a prepared dataset."""

PromptType = Literal["none", "prev_output", "src"]
"""What the decoder is given before the answer: only <s>; the source; the source and </s>."""

_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Reference:
    """One accepted answer and how much it counts, from 0 to 1."""

    answer: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What all predictions of one run share."""

    dataset: str
    dataset_hash: str
    split: str
    decoding: Mapping[str, Any]
    majority: Mapping[str, str]
    """Commonest training answer by question type."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """Instruction, target, decoding and metric of one task.

    A task is its class attributes, three short methods and a few options with defaults; `with_`
    changes options. Nothing here depends on tensors or on how the text is tokenized.
    """

    name: ClassVar[str]
    group: ClassVar[str]
    """Which of the six kinds of task this is: folder of its recipes, name of its scoring script."""
    fields: ClassVar[tuple[str, ...]]
    """Text fields that a row must have, besides ``id``."""
    uses_image: ClassVar[bool]
    answer_field: ClassVar[str] = "answer"
    """The field that holds what is to be generated."""
    metric: ClassVar[str]
    """Score that picks the best checkpoint in validation; higher is better."""
    decoding: ClassVar[GenerationConfig] = GenerationConfig()
    """How answers are generated unless a run says otherwise."""

    prompt_type: PromptType = "none"
    constrained: bool = False
    """Whether answers are limited to the dataset's candidate answers."""
    max_source_words: int = 80
    max_target_tokens: int = 40
    max_source_tokens: int = 1024
    """Tokens of the whole source, <s> and </s> included; the model's positions are a limit too."""

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
        del example
        return text

    def instruction(self, example: Example) -> str:
        """Return the source the encoder reads, without the leading space it is encoded with."""
        words = self.source_text(example).split(" ")
        return self.frame(" ".join(words[: self.max_source_words]), example)

    def shorten(self, example: Example) -> Example | None:
        """Return the example with less to say before its question, where it can be spared."""
        del example
        return None

    def is_cut(self, example: Example) -> bool:
        """Say whether `instruction` had to drop words."""
        return len(self.source_text(example).split(" ")) > self.max_source_words

    def references(self, example: Example) -> list[Reference]:
        """Return the accepted answers, the best one first.

        Raises:
            DataError: no answer, or a malformed list of references.
        """
        accepted = [Reference(example[self.answer_field], 1.0)]
        if example.get("references"):
            accepted = _parse_references(example["references"], example["id"])
        accepted = [one for one in accepted if one.answer.strip()]
        if not accepted:
            raise DataError(f"example {example['id']!r} has no answer; check the prepared dataset")
        return sorted(accepted, key=lambda one: -one.confidence)

    def is_answered(self, example: Example) -> bool:
        """Say whether the row has an answer to compare with."""
        return bool(example.get("references") or example[self.answer_field].strip())

    def target(self, example: Example) -> str:
        """Return the text to be generated: the accepted answer with the highest confidence."""
        return self.references(example)[0].answer

    def confidence(self, example: Example) -> float:
        """Return the weight of `target` in the loss."""
        return self.references(example)[0].confidence

    def answer(self, text: str) -> str:
        """Turn generated text into an answer."""
        return text.strip()

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
            candidate_scores: log-probability of every candidate answer, where all were scored.
        """
        del candidate_scores
        references = self.references(example) if self.is_answered(example) else []
        return {
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
        }

    @abstractmethod
    def sums(self, records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
        """Return sum and count per score name, so that batches and processes add up.

        `metric` is among the names; records are those of `prediction_record`.
        """

    @abstractmethod
    def score(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the scores of a whole split, as ``evaluation/`` reports them."""


def tidy(text: str) -> str:
    """Normalise instruction text as the reference does.

    Lower case, leading ``,.!?*#:;~`` removed, ``-`` and ``/`` to spaces, white space collapsed.
    """
    text = text.lower().lstrip(",.!?*#:;~").replace("-", " ").replace("/", " ")
    return _SPACES.sub(" ", text).strip()


def plain(text: str) -> str:
    """Return ``text`` in lower case with white space collapsed, and nothing else changed."""
    return " ".join(text.lower().split())


def _parse_references(text: str, row: str) -> list[Reference]:
    try:
        items: Iterable[Mapping[str, Any]] = json.loads(text)
        return [Reference(str(item["answer"]), float(item["confidence"])) for item in items]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"example {row!r}: field 'references' is not a JSON list of answer and confidence; "
            "prepare the dataset again"
        ) from error
