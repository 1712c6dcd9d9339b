"""HealthCareMagic: the English text files of MedDialog to rows.

Expected layout of the raw folder (or of one folder inside it)::

    healthcaremagic_dialogue_1.txt, healthcaremagic_dialogue_2.txt, ...

A file is a list of records; ``icliniq_dialogue.txt``, which comes in the same download, is another
dataset and not read::

    id=1
    https://www.healthcaremagic.com/questions/...

    Description
    Q. What does abutment of the nerve root mean?

    Dialogue
    Patient:
    Hi doctor, ...

    Doctor:
    Hi. ...

The summary is the description, its source the whole dialogue, as in the reference. The release has
no splits and the reference shuffles without a seed; here the draw has one.
"""

import random
import re
from collections.abc import Iterator
from itertools import chain, compress
from pathlib import Path

from biomedgpt.data.raw.tables import check_text
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError
from biomedgpt.files import open_bytes

SOURCE = "https://github.com/UCSD-AI4H/Medical-Dialogue-System"
FILES = "healthcaremagic*.txt"
SPLITS = ("train", "valid", "test")
TRAIN_ROWS, VALID_ROWS = 181_122, 22_641
"""Rows of the reference's splits; the rest is its test split. Fewer records are split 8 : 1 : 1."""
_RECORD = re.compile(rb"(?:\xef\xbb\xbf)?id=\s*\d+\s*")
_MARK = re.compile(r"\AQ\s*\.\s*")


def read(release: Release) -> RawDataset:
    """Read the official files.

    The files are read once to count the records and once per split to yield its rows, so that
    memory holds the split of each record, never the texts.

    Raises:
        DataError: no such files, a file of another kind, or a bad record.
    """
    paths = _find_files(release.folder)

    def records() -> Iterator[tuple[Path, int, bytes]]:
        return chain.from_iterable(map(_records, paths))

    splits = _draw(sum(1 for _ in records()), seed=release.options.seed)
    return RawDataset(
        splits={
            name: release.rows(compress(records(), map(number.__eq__, splits)), _parse)
            for number, name in enumerate(SPLITS)
        },
        cleaning=(
            "white space, line ends included, collapsed to one space and stripped",
            "the mark 'Q.' before a description left out",
        ),
    )


def _find_files(raw: Path) -> list[Path]:
    """Return the dialogue files in the order of their numbers."""
    for folder in (raw, *sorted(path for path in raw.iterdir() if path.is_dir())):
        paths = [path for path in folder.glob(FILES) if path.is_file()]
        if paths:
            return sorted(paths, key=lambda path: (len(path.name), path.name))
    raise DataError(
        f"{raw} is not the HealthCareMagic release: no file {FILES!r}; get the English files of "
        f"MedDialog from {SOURCE}"
    )


def _records(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Yield (file, number in the file from 1, bytes) of its records.

    Raises:
        DataError: the file does not begin with a record.
    """
    number = 0
    lines: list[bytes] = []
    with open_bytes(path) as file:
        for line in file:
            if _RECORD.fullmatch(line):
                if number:
                    yield path, number, b"".join(lines)
                number, lines = number + 1, []
            elif not number and line.strip():
                break
            lines.append(line)
    if not number:
        raise DataError(
            f"{path}: does not begin with a record 'id=...'; is this the HealthCareMagic release?"
        )
    yield path, number, b"".join(lines)


def _draw(count: int, *, seed: int) -> bytes:
    """Return the number of the split of each record."""
    train, valid = TRAIN_ROWS, VALID_ROWS
    if count <= train + valid:
        train, valid = count * 8 // 10, count // 10
    splits = bytearray(train + valid).ljust(count, b"\2")
    splits[train : train + valid] = b"\1" * valid
    random.Random(seed).shuffle(splits)
    return bytes(splits)


def _parse(record: tuple[Path, int, bytes]) -> Row:
    """Turn a record into a row; its number in the file is its id, as files may share theirs."""
    path, number, data = record
    text = data.decode(errors="surrogateescape").removeprefix("\ufeff")
    lines = [line.strip() for line in text.splitlines()]
    where = f"{path}: record {number} ({lines[0]})"
    check_text(text, where=where)
    if "Description" not in lines:
        raise DataError(f"{where}: no line 'Description'")
    start = lines.index("Description") + 1
    if "Dialogue" not in lines[start:]:
        raise DataError(f"{where}: no line 'Dialogue' after the description")
    end = lines.index("Dialogue", start)
    description = clean_text(" ".join(lines[start:end]))
    fields = {
        "id": f"{path.stem}-{number}",
        "source": clean_text(" ".join(lines[end + 1 :])),
        "summary": _MARK.sub("", description, count=1),
    }
    if not any(map(str.isalnum, fields["summary"])):
        raise DataError(f"{where}: empty description")
    if not fields["source"]:
        raise DataError(f"{where}: empty dialogue")
    return Row(fields, where=where)


SPEC = DatasetSpec(
    name="healthcaremagic",
    title="HealthCareMagic: patients' questions to doctors, summarized in a line (MedDialog)",
    task="summarization",
    source=SOURCE,
    licence="all copyrights with healthcaremagic.com; no licence named",
    read=read,
    expected={"train": TRAIN_ROWS, "valid": VALID_ROWS},
)
