"""SLAKE: the English questions of the official release, or the hub's Parquet files, to rows.

Expected layout of the raw folder::

    train.json, validate.json (or validation.json), test.json    questions in two languages
    imgs/xmlab*/source.jpg                                       642 images

The hub's English copy (``train-*.parquet``, ``validation-*.parquet``, ``test-*.parquet``) has
images, questions and answers only.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from biomedgpt.data.raw.tables import Record, object_record, read_json
from biomedgpt.data.raw.vqa_hub import read_hub
from biomedgpt.data.raw.vqa_rows import is_unanswered, vqa_row
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

IMAGE_FOLDER = "imgs"
VALID_FILES = ("validate.json", "validation.json")
ANSWER_TYPES = {"OPEN": "OPEN", "CLOSED": "CLOSED"}
KEYS = ("qid", "q_lang", "img_name", "question", "answer", "answer_type")
ENGLISH = "en"
UNANSWERED = "Does the picture contain liver?"
"""Question of the one English row (qid 1622, in train.json) that was released without an answer."""
LEFT_OUT = "the one question released without an answer left out"
COUNTS = {"train": 4918, "valid": 1053, "test": 1061}
HUB_CLEANING = (
    LEFT_OUT,
    "white space collapsed to one space and stripped",
    "answer_type made up: yes and no are CLOSED, everything else OPEN",
)


def read(release: Release) -> RawDataset:
    """Read the official release or the hub's copy.

    Raises:
        DataError: files are missing, are not those of SLAKE, or a row is bad.
    """
    raw = release.folder
    if not (raw / "train.json").is_file():
        hub = read_hub(release, cleaning=HUB_CLEANING, expected=COUNTS, unanswered=UNANSWERED)
        if hub is not None:
            return hub
    valid_file = next((name for name in VALID_FILES if (raw / name).is_file()), VALID_FILES[0])
    names = {"train": "train.json", "valid": valid_file, "test": "test.json"}
    release.require_files([*names.values(), f"{IMAGE_FOLDER}/"])
    # All three are looked at before any row is written.
    contents = {split: _load(raw / name) for split, name in names.items()}
    parse = partial(_parse, images=raw / IMAGE_FOLDER)
    return RawDataset(
        splits={
            split: release.rows(_english(raw / names[split], content, release.skipped), parse)
            for split, content in contents.items()
        },
        cleaning=(
            "questions in Chinese left out",
            LEFT_OUT,
            "white space collapsed to one space and stripped",
            "question_type is content_type, object is location",
        ),
    )


def _load(path: Path) -> list[Any]:
    content = read_json(path, hint="is this the SLAKE release?")
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, Mapping) or not {"img_name", "q_lang"} & first.keys():
        raise DataError(
            f"{path}: not a list of questions with img_name and q_lang; is this the SLAKE release?"
        )
    return content


def _english(path: Path, content: list[Any], skipped: Skipped) -> Iterator[Record]:
    """Yield the records in English."""
    for number, values in enumerate(content, start=1):
        with skipped.catching():
            where = f"{path}: row {number}"
            record = object_record(values, where=where, columns=KEYS)
            if values["q_lang"] == ENGLISH and not is_unanswered(record, UNANSWERED):
                yield Record(f"{where} (qid {json.dumps(values['qid'])})", values)


def _parse(record: Record, *, images: Path) -> Row:
    """Turn one record into a row."""
    name = record.text("img_name")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(mark in name for mark in "\\\0"):
        raise DataError(f"{record.where}: img_name {name!r} leads out of {IMAGE_FOLDER}/")
    return vqa_row(
        record.where,
        (images / name, name),
        record.text("qid"),
        clean_text(record.text("question")),
        clean_text(record.text("answer")),
        answer_type=record.choice("answer_type", ANSWER_TYPES),
        question_type=record.optional("content_type"),
        object_name=clean_text(record.optional("location")),
    )


SPEC = DatasetSpec(
    name="slake",
    title="SLAKE: questions about radiology images, with and without medical knowledge",
    task="vqa",
    source="https://www.med-vqa.com/slake",
    licence="CC-BY-4.0",
    read=read,
    expected={**COUNTS, "test CLOSED": 416, "test OPEN": 645},
    published=(
        PublishedResult("BiomedGPT-B", "accuracy", 0.861, NATURE_MEDICINE),
        PublishedResult("BiomedGPT-B", "accuracy_open", 0.843, NATURE_MEDICINE),
    ),
)
