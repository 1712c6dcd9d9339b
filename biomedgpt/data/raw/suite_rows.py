"""Rows of benchmarks that models are evaluated on without training: options, pairs, modalities."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from biomedgpt.data.prepared.card import VQA_FIELDS
from biomedgpt.data.raw.table_images import image_file
from biomedgpt.data.raw.tables import Record
from biomedgpt.data.raw.vqa_rows import vqa_row
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.errors import DataError, machine_fault

SUITE_FIELDS = (*VQA_FIELDS, "options", "modality", "pair", "role")
"""``options`` is a JSON list, and the answer then the text of one of them; questions of one
``pair`` must all be right; ``role`` says which one a question is of its pair."""

_LETTER = re.compile(r"^\s*\(?([A-Z])\s*[):.]\s*")


def suite_row(
    where: str,
    image: tuple[bytes | Path, str],
    row_id: str,
    question: str,
    answer: str,
    *,
    options: Sequence[str] = (),
    answer_type: str = "",
    question_type: str = "",
    organ: str = "",
    modality: str = "",
    pair: str = "",
    role: str = "",
) -> Row:
    """Return the row of a question about an image; questions with options are CLOSED.

    Args:
        where: file and row.
        image: image and its name, see `find_image`.
        row_id, question, answer: the fields that every row has.
        options, answer_type, question_type, organ, modality, pair, role: see `SUITE_FIELDS`.
    """
    return vqa_row(
        where,
        image,
        row_id,
        clean_text(question),
        clean_text(answer),
        answer_type="CLOSED" if options else answer_type,
        question_type=question_type,
        object_name=organ,
        options=json.dumps(list(options), ensure_ascii=False) if options else "",
        modality=modality,
        pair=pair,
        role=role,
    )


def without_letter(text: str) -> str:
    """Return an option without the letter that a release writes before it ("A) ...", "A: ...")."""
    return clean_text(_LETTER.sub("", text, count=1))


def right_option(answer: str, options: Sequence[str], *, where: str) -> str:
    """Return the option that an answer names by its letter or its text.

    Raises:
        DataError: it names none, or there are fewer than two options.
    """
    if len(options) < 2:
        raise DataError(f"{where}: {len(options)} options; a question has two or more")
    answer = clean_text(answer)
    marked = _LETTER.match(answer)
    letter = answer if len(answer) == 1 else marked[1] if marked else ""
    texts = [text for text in options if text == without_letter(answer) or text == answer]
    if texts:
        return texts[0]
    place = ord(letter.upper()) - ord("A") if letter else -1
    if not 0 <= place < len(options):
        raise DataError(f"{where}: answer {answer[:60]!r} is none of the options")
    return options[place]


def lettered(record: Record, columns: Sequence[str]) -> list[str]:
    """Return the options in their columns, without those that are empty at the end."""
    options = [without_letter(record.optional(column)) for column in columns]
    while options and not options[-1]:
        options.pop()
    if "" in options:
        raise DataError(f"{record.where}: empty {columns[options.index('')]}")
    return options


def find_image(record: Record, column: str, folders: Sequence[Path]) -> tuple[Path, str]:
    """Return the file and name of an image in the first of some folders that has it.

    Raises:
        DataError: none has it, or the name leads out of them.
    """
    name = record.text(column)
    existing = [folder for folder in folders if folder.is_dir()]
    for folder in existing:
        try:
            return image_file(record, column, folder)
        except DataError as error:
            if folder is existing[-1] or machine_fault(error):
                raise
    raise DataError(
        f"{record.where}: no image {name[:80]!r}; none of the folders "
        f"{', '.join(str(folder) for folder in folders)} is there"
    )
