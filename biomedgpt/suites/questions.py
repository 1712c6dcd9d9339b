"""Rows of prepared benchmarks as questions, with what their answers are judged by."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.rows import Skipped
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.answer_extraction import (
    Asked,
    Kind,
    choices_in,
    find_judgement,
    is_number,
    key_of,
    words_of,
)
from biomedgpt.tasks import TASKS, Task, get_task
from biomedgpt.tasks.answer_options import LETTERS, list_options, parse_options

MOST_PHRASE_WORDS = 8
"""Words of a reference that is a phrase; a longer one is a sentence."""
GROUPS = {
    "modality": ("modality",),
    "organ": ("organ", "object"),
    "question type": ("question_type",),
}
"""What scores are broken down by, and the fields that may say it."""
_JUDGED = ("yes", "no")
_POLAR = frozenset(
    (
        *("is", "are", "was", "were", "do", "does", "did", "can", "could"),
        *("has", "have", "had", "will", "would", "should", "may", "might"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question as it is put, and as its answer is judged.

    Attributes:
        id: of its row.
        task: name of the task that it is of.
        fields: text fields of the row; of a question with options, without them.
        text: what is asked, for people.
        asked: what the answer is judged by.
        options: texts in the order of their letters; empty where the task itself lists them.
        image: number of the image in its split, None without one.
        groups: modality and the like, by name.
        pair, role: see `biomedgpt.suites.suite_score`.
        where: file and row.
    """

    id: str
    task: str
    fields: Mapping[str, str]
    text: str
    asked: Asked
    options: tuple[str, ...] = ()
    image: int | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    answer_type: str = ""
    pair: str = ""
    role: str = ""
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The questions of one split of a prepared dataset.

    Attributes:
        dataset: the prepared dataset.
        name: of the dataset.
        split_name: of the split.
        rows: numbers of the rows that are asked, in order.
    """

    dataset: PreparedDataset
    name: str
    split_name: str
    rows: Sequence[int]

    @classmethod
    def open(
        cls, folder: Path, *, split: str = "test", limit: int | None = None, seed: int = 0
    ) -> "Benchmark":
        """Open a prepared dataset.

        Args:
            folder: of the prepared dataset.
            split: whose questions are asked.
            limit: most questions; drawn at random from ``seed``, whole pairs at a time.

        Raises:
            DataError: not a prepared dataset, or without that split.
            ConfigError: its task asks nothing that could be answered.
        """
        dataset = PreparedDataset(folder)
        if dataset.card.task not in TASKS:
            raise ConfigError(
                f"{folder} holds {dataset.card.task} for pretraining, not questions; give a "
                "benchmark"
            )
        if split not in dataset.splits:
            raise DataError(
                f"{folder} has no split {split!r}; name one of {', '.join(dataset.splits)} with "
                "--split"
            )
        rows: Sequence[int] = range(len(dataset.split(split)))
        if limit is not None and limit < len(rows):
            rows = _draw(dataset, split, limit, seed)
        return cls(dataset=dataset, name=dataset.card.name, split_name=split, rows=rows)

    @cached_property
    def task(self) -> Task:
        """The task of its rows."""
        return get_task(self.dataset.card.task)

    @cached_property
    def split(self) -> PreparedSplit:
        """The rows."""
        return self.dataset.split(self.split_name)

    @property
    def facts(self) -> dict[str, str]:
        """What the lines of predictions and the results say about where the questions are from."""
        return {"dataset": self.name, "dataset_hash": self.dataset.hash, "split": self.split_name}

    def questions(self, skipped: Skipped) -> Iterator[Question]:
        """Yield the questions; rows without a usable answer go to ``skipped``."""
        for row in self.rows:
            with skipped.catching():
                yield self._question(row)

    def _question(self, row: int) -> Question:
        split = self.split
        where = split.locate(row)
        fields = {name: split.text(name, row) for name in split.fields}
        number = split.image_number(row)
        # Where the task itself lists them, they are asked for by their letters.
        listed = "" if self.task.fields.has_options else fields.get("options", "")
        options = parse_options(listed, where=where)
        references = [one.answer for one in self.task.references(fields) if one.confidence > 0]
        asked = asked_in(
            self.task.name,
            fields,
            references,
            options=options,
            classes=self.dataset.card.answers,
            where=where,
        )
        return Question(
            id=fields["id"],
            task=self.task.name,
            fields=fields,
            text=_text(fields),
            asked=asked,
            options=options,
            image=None if number < 0 else number,
            groups={
                name: next((fields[one] for one in known if fields.get(one)), "")
                for name, known in GROUPS.items()
            },
            answer_type=_answer_type(fields, asked, options),
            pair=fields.get("pair", ""),
            role=fields.get("role", ""),
            where=where,
        )


def asked_in(
    task: str,
    fields: Mapping[str, str],
    references: Sequence[str],
    *,
    options: Sequence[str] = (),
    classes: Sequence[str] = (),
    where: str = "",
) -> Asked:
    """Return which kind of answer a row asks for; its references say so.

    With options it is one of them, also where the question itself names them ("left or right?");
    of a task with classes, a class; else yes or no, a number, a phrase of up to
    `MOST_PHRASE_WORDS` words, or a sentence, as the reference is. A question that begins like "is
    there" asks for yes or no also where the reference says more than that.

    Raises:
        DataError: the right answer is none of the options.
    """
    if TASKS[task].fields.has_options:
        options = parse_options(fields.get("options", ""), where=where)
        if options:
            places = dict(zip(LETTERS, options, strict=False))
            references = [places.get(one, "") for one in references]
    if options:
        if not {key_of(one) for one in references} & {key_of(one) for one in options}:
            raise DataError(f"{where}: the answer {references[0]!r} is none of the options")
        return Asked(kind="option", references=references, choices=options)
    if TASKS[task].fields.closed:
        return Asked(kind="class", references=references, choices=tuple(classes))
    if TASKS[task].prose:
        return Asked(kind="sentence", references=references)
    first = references[0]
    question = _text(fields)
    kind: Kind = "phrase"
    said = find_judgement(first, _JUDGED)
    if key_of(first) in _JUDGED or (said and _POLAR.intersection(words_of(question)[:1])):
        return Asked(kind="yes/no", references=[said or key_of(first)])
    named = choices_in(question)
    if key_of(first) in map(key_of, named):
        return Asked(kind="option", references=references, choices=tuple(named))
    if is_number(first):
        kind = "number"
    elif len(words_of(first)) > MOST_PHRASE_WORDS:
        kind = "sentence"
    return Asked(kind=kind, references=references)


def _text(fields: Mapping[str, str]) -> str:
    return fields.get("question") or fields.get("instruction") or ""


def _answer_type(fields: Mapping[str, str], asked: Asked, options: Sequence[str]) -> str:
    """Return OPEN or CLOSED, "" for answers that Llama3-Med's measures are not about."""
    known = fields.get("answer_type", "")
    if options or asked.kind == "class" or (asked.kind == "sentence" and not known):
        return ""
    return known or ("CLOSED" if asked.kind == "yes/no" else "OPEN")


def with_options(text: str, options: Sequence[str]) -> str:
    """Return a question with its options, named a, b, c and so on."""
    return f"{text} {list_options(options)}" if options else text


def _draw(dataset: PreparedDataset, split: str, limit: int, seed: int) -> list[int]:
    """Return numbers of rows at random, pairs as a whole."""
    rows = dataset.split(split)
    pairs = rows.column("pair") if "pair" in rows.fields else [""] * len(rows)
    sets: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        sets.setdefault(pair or f"row {row}", []).append(row)
    order = list(sets.values())
    random.Random(seed).shuffle(order)
    chosen: list[int] = []
    while len(chosen) < limit:  # fewer than there are rows
        chosen += order.pop(0)
    return sorted(chosen)
