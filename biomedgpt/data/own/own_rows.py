"""From a record of one's own table to a row of a task."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from biomedgpt.data.own.columns import Columns
from biomedgpt.data.raw.table_files import listed, quote
from biomedgpt.data.raw.table_images import chosen_frame, image_bytes, image_file
from biomedgpt.data.raw.tables import Record
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.errors import DataError
from biomedgpt.tasks import TASKS
from biomedgpt.tasks.answer_options import LETTERS
from biomedgpt.tasks.base import has_word
from biomedgpt.tasks.dialogue import parse_history
from biomedgpt.tasks.fields import TaskFields

AnswerIs = Literal["letter", "text", "index0", "index1"]
"""What names the right option: its letter, its text, or its number from 0 or from 1."""

ANSWER_TYPES = ("CLOSED", "OPEN")


@dataclass
class Classes:
    """Answers that a closed task may have.

    Attributes:
        names: the classes; those of the training rows are added as they come, unless `fixed`.
        fixed: the list is complete.
    """

    names: dict[str, None] = field(default_factory=dict)
    fixed: bool = False

    def admit(self, answer: str, *, split: str, where: str) -> None:
        """Raise a DataError for an answer outside the list."""
        if not self.fixed and split == "train":
            self.names[answer] = None
        if answer in self.names:
            return
        known = listed(self.names)
        if self.fixed:
            raise DataError(f"{where}: answer {quote(answer)} is none of {known}")
        raise DataError(
            f"{where}: answer {quote(answer)} is none of the training answers ({known}); where "
            "such answers are meant to be, name all classes with --answers"
        )


@dataclass(frozen=True, kw_only=True)
class RowMaker:
    """Turns records of one table into rows.

    Attributes:
        name: name of the task.
        task: its fields.
        columns: columns by field.
        fields: fields every row of the dataset has.
        classes: of a closed task.
        images: folder of the images, or None where the table holds them.
        answer_is: what names the right option.
    """

    name: str
    task: TaskFields
    columns: Columns
    fields: Sequence[str]
    classes: Classes
    images: Path | None = None
    answer_is: AnswerIs = "letter"

    @property
    def needed(self) -> list[str]:
        """The columns in use."""
        return list(dict.fromkeys(chain.from_iterable(self.columns.values())))

    def row(self, record: Record, split: str) -> Row:
        """Return the row of a record.

        Raises:
            DataError: it has none; names file and row.
        """
        # Without a column for it, the id is the number that all messages name the row by.
        number = record.where.rpartition(" ")[2]
        row_id = self._one(record, "id") if "id" in self.columns else number
        fields = dict.fromkeys(self.fields, "") | {"id": row_id}
        for name in self.task.source:
            if name in self.columns and name != "options":
                fields[name] = self._one(record, name, empty=name in self.task.optional)
        for name in ("question_type", "object", "answer_type", "modality", "patient", "group"):
            if name in self.fields and name in self.columns and not fields[name]:
                fields[name] = self._one(record, name, empty=True)
        where = record.where if row_id == number else f"{record.where} (id {row_id})"
        image, image_name = self.image(record)
        if image_name:
            fields["image_name"] = image_name
        if image is not None and "frame" in self.columns:
            image = chosen_frame(record, self.columns["frame"][0], image)
        fields |= self._target(record, split)
        if fields.get("history"):
            parse_history(fields["history"], where=where)
        if "answer_type" in self.task.all:
            fields["answer_type"] = _answer_type(
                fields["answer_type"], fields["answer"], record.where
            )
        return Row(fields, image, where)

    def image(self, record: Record) -> tuple[bytes | Path | None, str]:
        """Return the image of a record, None without one, and the name of its file, if it has one.

        Raises:
            DataError: it should have one, or there is no such file.
        """
        column = self.columns.get("image", ("",))[0]
        if not self.task.image or (self.task.image_optional and not record.values.get(column)):
            return None, ""
        if self.images is None:
            return image_bytes(record, column), ""
        return image_file(record, column, self.images)

    def options(self, record: Record) -> list[str]:
        """Return the options of a question.

        Raises:
            DataError: fewer than two, more than there are letters, or one that is empty.
        """
        columns = self.columns["options"]
        if len(columns) == 1:
            items = _listed(record, columns[0])
            if not isinstance(items, list):
                raise DataError(f"{record.where}: {columns[0]} is not a JSON list of options")
        else:
            items = [record.optional(column) for column in columns]
            while items and not items[-1]:  # questions may have fewer options than others
                items.pop()
        options = [clean_text(_plain_text(item, record.where, columns[0])) for item in items]
        if not 2 <= len(options) <= len(LETTERS):
            raise DataError(
                f"{record.where}: {len(options)} options; a question has 2 to {len(LETTERS)}"
            )
        if "" in options:
            letter = LETTERS[options.index("")].upper()
            raise DataError(f"{record.where}: option {letter} is empty")
        return options

    def group(self, record: Record) -> str:
        """Return what rows must share a split with this one for; see `grouping`."""
        by = self.grouping
        if by == "row":
            return record.where
        value = record.values.get(self.columns[by][0])
        if by == "image" and not isinstance(value, str):
            return hashlib.sha256(image_bytes(record, self.columns[by][0])).hexdigest()
        text = self._one(record, by)
        return text if len(text) < 1000 else hashlib.sha256(text.encode()).hexdigest()

    @property
    def grouping(self) -> str:
        """What holds rows together: the group's column, else the patient's, the image, the row."""
        return next((by for by in ("group", "patient", "image") if by in self.columns), "row")

    def _one(self, record: Record, name: str, *, empty: bool = False) -> str:
        """Return the text of a field with one column."""
        column = self.columns[name][0]
        return clean_text(record.optional(column) if empty else record.text(column))

    def _target(self, record: Record, split: str) -> dict[str, str]:
        """Return the target and the fields that come with it."""
        if "references" in self.task.all:
            return self._references(record)
        target = self.task.target
        text = self._one(record, target)
        if not self.task.closed:
            if not has_word(text):  # nothing would be left of it as a target
                column = self.columns[target][0]
                raise DataError(f"{record.where}: {column} is a text without any word")
            return {target: text}
        if "options" in self.columns:
            options = self.options(record)
            answer = self._chosen(text, options, record.where)
            return {target: answer, "options": json.dumps(options, ensure_ascii=False)}
        answer = self._read(text, record.where)
        self.classes.admit(answer, split=split, where=record.where)
        return {target: answer}

    def _chosen(self, text: str, options: Sequence[str], where: str) -> str:
        """Return the letter of the right option."""
        numbers = range(len(options))
        match self.answer_is:
            case "letter":
                found = [n for n in numbers if LETTERS[n] == text.lower()]
                what = f"a letter from A to {LETTERS[len(options) - 1].upper()}"
                hint = "; if the table gives its text or number, add --answer-is"
            case "text":
                found = [n for n in numbers if options[n] == text]
                what, hint = "exactly one of the options", ""
            case "index0" | "index1":
                first = int(self.answer_is == "index1")
                found = [n for n in numbers if str(n + first) == text]
                what, hint = f"a number from {first} to {len(options) - 1 + first}", ""
        if len(found) != 1:
            raise DataError(f"{where}: answer {quote(text)} is not {what}{hint}")
        return LETTERS[found[0]]

    def _references(self, record: Record) -> dict[str, str]:
        """Return the target and all accepted answers, the target first."""
        target = self.task.target
        own, others = (self._accepted(record, name) for name in (target, "references"))
        if not own and target in self.columns:
            raise DataError(f"{record.where}: empty {self.columns[target][0]}")
        if not own + others:
            raise DataError(f"{record.where}: empty {self.columns['references'][0]}")
        confidence = dict(own) | dict(others)
        best = max(confidence, key=lambda text: confidence[text])
        if own and best != own[0][0]:
            raise DataError(
                f"{record.where}: {target} {quote(own[0][0])} is not the reference of highest "
                f"confidence, {quote(best)}"
            )
        references = [{"answer": text, "confidence": n} for text, n in confidence.items()]
        return {target: best, "references": json.dumps(references, ensure_ascii=False)}

    def _accepted(self, record: Record, name: str) -> list[tuple[str, float]]:
        """Return the texts of a field's columns with their confidence, without empty ones."""
        accepted = []
        for column in self.columns.get(name, ()):
            value = _listed(record, column, plain=column in self.columns.get(self.task.target, ()))
            for item in value if isinstance(value, list) else [value]:
                confidence = 1.0
                if isinstance(item, Mapping):
                    confidence = _confidence(item, where=f"{record.where}: {column}")
                    item = item["answer"]
                text = clean_text(_plain_text(item, record.where, column))
                if text:
                    accepted.append((self._read(text, record.where), confidence))
        return accepted

    def _read(self, answer: str, where: str) -> str:
        """Return what an answer of the table means to the task."""
        try:
            return TASKS[self.name].read_answer(answer)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def _answer_type(text: str, answer: str, where: str) -> str:
    if not text:
        return "CLOSED" if answer in ("yes", "no") else "OPEN"
    if text.upper() not in ANSWER_TYPES:
        raise DataError(f"{where}: answer_type {quote(text)} is neither CLOSED nor OPEN")
    return text.upper()


def _listed(record: Record, column: str, *, plain: bool = False) -> Any:
    """Return a value that may be a list, also one written as JSON unless it is ``plain`` text."""
    value = record.values.get(column)
    if plain or not isinstance(value, str) or not value.strip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{record.where}: {column} is not a JSON list ({error})") from error


def _plain_text(item: Any, where: str, column: str) -> str:
    """Return an item of a list as text."""
    return Record(where, {column: item}).optional(column)


def _confidence(item: Mapping[str, Any], *, where: str) -> float:
    """Return the confidence of ``{"answer": ..., "confidence": ...}``."""
    value = item.get("confidence")
    if (
        item.keys() != {"answer", "confidence"}
        or isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0.0 <= value <= 1.0
    ):
        raise DataError(
            f"{where}: a reference is a text, or an object with answer and a confidence from 0 to 1"
        )
    return float(value)
