"""MedQA-USMLE with four options: the official JSON lines, or the hub's copies, to rows.

Expected layout of the raw folder, or of ``4_options/``, ``US/4_options/``,
``questions/US/4_options/`` or ``data_clean/questions/US/4_options/`` below it::

    phrases_no_exclude_{train,dev,test}.jsonl    {"question", "options": {"A": ...}, "answer_idx"}

Also read are plain ``{train,dev,test}.jsonl`` (or ``.json``, one object per line), and Parquet
files, with these columns or with ``sent1``, ``ending0`` ... ``ending3`` and ``label``. The hub's
commonest copy has no dev questions: then some training questions are held out.
"""

import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from biomedgpt.data.raw.hub import SPLIT_NAMES, hub_shards
from biomedgpt.data.raw.qa_rows import qa_row, same_question
from biomedgpt.data.raw.tables import (
    Record,
    good_records,
    parquet_columns,
    read_lines,
    read_parquet,
    require_first,
)
from biomedgpt.data.rows import Row, Skipped, clean_text, hold_out
from biomedgpt.data.spec import DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

FOLDERS = ("", "4_options", "US/4_options", "questions/US/4_options")
OFFICIAL = "data_clean/questions/US/4_options"
NAMES = ("phrases_no_exclude_{}.jsonl", "{}.jsonl", "{}.json")
KEYS = ("question", "options", "answer_idx")
HUB_KEYS = ("sent1", "ending0", "ending1", "ending2", "ending3", "label")
OPTION_COUNTS = (4, 5)
"""Five are in the official files beside ``4_options/``; they are read when given on their own."""
HELD_OUT = 0.1
"""Share of the training questions held out where there are no dev questions."""


def read(release: Release) -> RawDataset:
    """Read the official release or one of the hub's copies.

    Raises:
        DataError: files are missing, are not those of MedQA, or a row is bad.
    """
    files = _find(release)
    first = _first(files["train"][0])
    count = len(_options(first))
    if count not in OPTION_COUNTS:
        raise DataError(f"{first.where}: {count} options; is this the MedQA release?")
    splits: dict[str, Iterable[Row]] = {
        split: release.rows(
            _numbered(paths, release.skipped), partial(_parse, split=split, count=count)
        )
        for split, paths in files.items()
    }
    dataset = RawDataset(
        splits=splits,
        answers=tuple(string.ascii_lowercase[:count]),
        cleaning=(
            "white space collapsed to one space and stripped",
            "answers are letters in lower case",
            "phrases found by MetaMap left out",
        ),
        preparation={"options": count},
    )
    if "valid" in splits:
        return dataset
    train = list(splits["train"])
    kept, held_out = hold_out(train, HELD_OUT, seed=release.options.seed, group=same_question)
    expected = release.spec.expected
    return replace(
        dataset,
        splits={"train": kept, "valid": held_out, "test": splits["test"]},
        found={"training questions": len(train)},
        expected={"training questions": expected["train"], "test": expected["test"]},
        preparation={"options": count, "held_out_from_train": HELD_OUT},
    )


def _find(release: Release) -> dict[str, list[Path]]:
    """Return the files of each split; only the dev questions may be missing."""
    raw = release.folder
    for name in NAMES:
        for folder in (*FOLDERS, OFFICIAL):
            found = {
                split: [
                    path for known in names if (path := raw / folder / name.format(known)).is_file()
                ][:1]
                for split, names in SPLIT_NAMES.items()
            }
            if found["train"]:
                _check_whole(raw / folder, found, name)
                return {split: paths for split, paths in found.items() if paths}
    shards = hub_shards(raw, needed=("train", "test"), dataset=release.spec.name)
    if not shards:
        wanted = [f"{OFFICIAL}/{NAMES[0].format(split)}" for split in ("train", "dev", "test")]
        raise DataError(
            f"{raw} is not the MedQA release: it needs {', '.join(wanted)}; get them from "
            f"{release.spec.source}"
        )
    return shards


def _check_whole(folder: Path, found: Mapping[str, list[Path]], name: str) -> None:
    """Refuse a folder without test questions, or one of the official release without dev ones."""
    missing = [name.format("test")] if not found["test"] else []
    if not found["valid"] and folder.name in ("4_options", "US"):
        missing.append(name.format("dev"))
    if missing:
        raise DataError(
            f"{folder}: missing {' and '.join(missing)} beside {found['train'][0].name}; give the "
            "whole release"
        )


def _first(path: Path) -> Record:
    """Return the first question of a file that is one of MedQA's."""
    if path.suffix == ".parquet":
        for record in read_parquet([path], columns=_columns(path)):
            return record
        raise DataError(f"{path}: has no rows; download it again")
    records = good_records(read_lines(path), Skipped(allowed=True))
    wanted = f"{', '.join(KEYS)} or {', '.join(HUB_KEYS)}"
    error = f"{path}: no lines of JSON with {wanted}; is this the MedQA release?"
    return require_first(records, [KEYS, HUB_KEYS], error)


def _columns(path: Path) -> tuple[str, ...]:
    return HUB_KEYS if "sent1" in parquet_columns(path) else KEYS


def _numbered(paths: list[Path], skipped: Skipped) -> Iterator[tuple[int, Record]]:
    """Yield the questions of a split with their number; bad lines count and go to ``skipped``."""
    if paths[0].suffix == ".parquet":
        yield from enumerate(read_parquet(paths, columns=_columns(paths[0])), start=1)
        return
    for number, line in enumerate(read_lines(paths[0]), start=1):
        for record in good_records([line], skipped):
            yield number, record


def _parse(item: tuple[int, Record], *, split: str, count: int) -> Row:
    """Turn one question into a row."""
    number, record = item
    options = _options(record)
    if len(options) != count:
        raise DataError(f"{record.where}: {len(options)} options where there should be {count}")
    letters = string.ascii_lowercase[:count]
    if "sent1" in record.values:
        question = record.text("sent1")
        answer = record.choice("label", {str(place): key for place, key in enumerate(letters)})
    else:
        question = record.text("question")
        answer = record.choice("answer_idx", {key.upper(): key for key in letters})
    return qa_row(record.where, f"{split}-{number}", clean_text(question), answer, options=options)


def _options(record: Record) -> list[str]:
    """Return the options in the order of their letters.

    They are ``{"A": text, ...}``, ``[{"key": "A", "value": text}, ...]`` or ``ending0`` and so on.
    """
    if "sent1" in record.values:
        return [clean_text(record.text(key)) for key in HUB_KEYS[1:-1]]
    content: Any = record.values.get("options")
    if isinstance(content, list) and all(isinstance(one, Mapping) for one in content):
        content = {one.get("key"): one.get("value") for one in content}
    if not isinstance(content, Mapping):
        raise DataError(f"{record.where}: options are no texts by letter")
    letters = list(string.ascii_uppercase[: len(content)])
    if set(content) != set(letters):
        raise DataError(f"{record.where}: options are not named {', '.join(letters)}")
    texts = Record(f"{record.where}: options", content)
    return [clean_text(texts.text(letter)) for letter in letters]


SPEC = DatasetSpec(
    name="medqa",
    title="MedQA-USMLE: questions of US medical licensing exams, four options",
    task="question_answering",
    source="https://github.com/jind11/MedQA",
    licence="MIT (as the official repository)",
    read=read,
    expected={"train": 10178, "valid": 1272, "test": 1273},
    published=(
        PublishedResult("BioLinkBERT-large", "accuracy", 0.446, "Yasunaga et al., ACL 2022"),
    ),
)
