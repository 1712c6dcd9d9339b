"""Many questions from a table or a folder of images."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from biomedgpt.corpora.image_folders import SUFFIXES
from biomedgpt.corpora.reader import relative_name, visible_files
from biomedgpt.data.own.columns import SPLITTING, resolve_columns
from biomedgpt.data.own.own_rows import AnswerIs, Classes, RowMaker
from biomedgpt.data.raw.table_files import TableFile, open_file, quote
from biomedgpt.data.raw.table_images import frame_number
from biomedgpt.data.raw.tables import UTF8, Record
from biomedgpt.data.rows import Skipped, clean_text
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.tasks import askable
from biomedgpt.tasks.fields import TaskFields

SPLIT = "input"
"""What takes the place of a split's name in the predictions."""


@dataclass(frozen=True, kw_only=True)
class InputRow:
    """One question of many.

    Attributes:
        id: unique among all rows.
        fields: the task's fields by name, the answer included where the table has one.
        image: file or bytes, or None.
        where: file and row, for messages.
    """

    id: str
    fields: Mapping[str, Any]
    image: Path | bytes | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Rows of a table, or the images of a folder; `open_inputs` makes it.

    Attributes:
        path: the table or folder.
        task: what is asked.
        fields: fields of the task.
        shared: fields that are the same in all rows.
        table: the table, or None for a folder.
        maker: makes the rows of the table.
        files: images of the folder.
        left_out: files of the folder that are no images.
    """

    path: Path
    task: str
    fields: TaskFields
    shared: Mapping[str, str]
    table: TableFile | None = None
    maker: RowMaker | None = None
    files: tuple[Path, ...] = ()
    left_out: int = 0

    def rows(self, skipped: Skipped) -> Iterator[InputRow]:
        """Yield the rows; those that cannot be used go to ``skipped``.

        Raises:
            DataError: an id is used twice.
        """
        for path in self.files:
            name = relative_name(path, self.path)
            yield InputRow(id=name, fields=self.shared, image=path, where=str(path))
        if self.table is None or self.maker is None:
            return
        seen: dict[str, str] = {}
        for record in self.table.records(self.maker.needed, skipped):
            with skipped.catching():
                row = self._row(record, self.maker)
                if row.id in seen:
                    raise DataError(f"{row.where}: id {quote(row.id)} is that of {seen[row.id]}")
                seen[row.id] = row.where.rpartition(": ")[2]
                yield row

    def hash(self) -> str:
        """Return a short hash (16 hex digits) of what is asked: the table, or names and sizes."""
        digest = hashlib.sha256(json.dumps(dict(self.shared), sort_keys=True).encode())
        if self.table is not None:
            with self.path.open("rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    digest.update(block)
        for path in self.files:
            digest.update(f"{relative_name(path, self.path)} {path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]

    def _row(self, record: Record, maker: RowMaker) -> InputRow:
        if self.fields.target in maker.columns:
            made = maker.row(record, "train")  # where classes are not known beforehand
            return InputRow(
                id=made.fields["id"],
                fields={**made.fields, **self.shared},
                image=made.image,
                where=record.where,
            )
        number = record.where.rpartition(" ")[2]
        row_id = record.text(maker.columns["id"][0]) if "id" in maker.columns else number
        values: dict[str, Any] = dict(self.shared)
        for name, (column, *_) in maker.columns.items():
            value = record.values.get(column)
            if name in ("id", "image"):
                continue
            if name == "options":
                values[name] = maker.options(record) if value else ""
            elif name == "frame":
                values[name] = frame_number(record, column)
            elif isinstance(value, list | dict):  # of JSON Lines: a box, references
                values[name] = json.dumps(value, ensure_ascii=False)
            else:
                values[name] = record.optional(column)
        image, _ = maker.image(record)
        return InputRow(id=clean_text(row_id), fields=values, image=image, where=record.where)


def open_inputs(
    path: Path,
    task: str,
    *,
    shared: Mapping[str, str] | None = None,
    images: Path | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    encoding: str = UTF8,
    answer_is: AnswerIs = "letter",
) -> Inputs:
    """Look at a table or folder.

    Args:
        path: a CSV, TSV, JSON Lines or Parquet file, or a folder of images.
        task: what is asked; a name of `biomedgpt.tasks.askable`.
        shared: fields that are the same in all rows, such as one question for all images.
        images: folder of the images that a table names; by default that of the table, and the
            image column itself for Parquet files.
        columns: columns by field, where they have other names.
        encoding: of the table's text.
        answer_is: what names the right one of several options, where the table has answers.

    Raises:
        DataError: there is no such file or folder, or nothing in it.
        ConfigError: columns are missing; or a folder, but the task reads more than images.
    """
    shared = dict(shared or {})
    fields = askable()[task]
    if unknown := [name for name in shared if name not in fields.all]:
        raise ConfigError(
            f"{task} has no field {unknown[0]!r}; it has {', '.join(fields.all) or 'none'}"
        )
    inputs = Inputs(path=path, task=task, fields=fields, shared=shared)
    if path.is_dir():
        return _with_images(inputs)
    table = open_file(path, encoding=encoding)
    found = resolve_columns(
        columns or {},
        table.columns,
        name=task,
        # What is the same for all needs no column, and neither does the answer.
        task=replace(fields, optional=(*fields.optional, *shared, fields.target)),
        where=str(path),
    )
    if images is None and table.kind != "parquet":
        images = path.parent
    if images is not None and not images.is_dir():
        raise DataError(f"{images}: no such folder of images")
    maker = RowMaker(
        name=task,
        task=fields,
        columns={name: one for name, one in found.items() if name not in {*shared, *SPLITTING}},
        fields=("id", *fields.all),
        classes=Classes(),
        images=images,
        answer_is=answer_is,
    )
    return replace(inputs, table=table, maker=maker)


def _with_images(inputs: Inputs) -> Inputs:
    """Return the inputs of a folder with the images in it."""
    path, fields, shared = inputs.path, inputs.fields, inputs.shared
    if not fields.image:
        raise ConfigError(f"{path}: a folder, but {inputs.task} reads texts; give a table of them")
    missing = [name for name in fields.source if not shared.get(name) and name in fields.required]
    if missing:
        raise ConfigError(f"{path}: what is the {missing[0]} for these images? Add --text")
    files = visible_files(path)
    pictures = tuple(one for one in files if one.name.lower().endswith(SUFFIXES))
    if not pictures:
        raise DataError(f"{path}: no image in it ({', '.join(SUFFIXES)})")
    return replace(inputs, files=pictures, left_out=len(files) - len(pictures))
