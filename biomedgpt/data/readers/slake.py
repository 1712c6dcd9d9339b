"""SLAKE: the English questions of the official release, or the hub's Parquet files, to rows.

Expected layout of the raw folder::

    train.json, validate.json (or validation.json), test.json    questions in two languages
    imgs/xmlab*/source.jpg                                       642 images

The hub's English copy (``train-*.parquet``, ``validation-*.parquet``, ``test-*.parquet``) has
images, questions and answers only.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from biomedgpt.data.raw.hub import hub_shards
from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.tables import Record, read_json, require_files
from biomedgpt.data.raw.vqa_rows import hub_rows, is_unanswered, vqa_fields
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult
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
CLEANING = (
    "questions in Chinese left out",
    LEFT_OUT,
    "white space collapsed to one space and stripped",
    "question_type is content_type, object is location",
)
HUB_CLEANING = (
    LEFT_OUT,
    "white space collapsed to one space and stripped",
    "answer_type made up: yes and no are CLOSED, everything else OPEN",
)


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read the official release or the hub's copy; see `biomedgpt.data.prepare`.

    Raises:
        DataError: files are missing, are not those of SLAKE, or a row is bad.
    """
    del options
    if not (raw / "train.json").is_file():
        shards = hub_shards(raw, needed=("train", "valid", "test"), dataset=spec.name)
        if shards:
            return RawDataset(
                splits={
                    name: hub_rows(paths, name, skipped, unanswered=UNANSWERED)
                    for name, paths in shards.items()
                },
                cleaning=HUB_CLEANING,
                expected=COUNTS,
                preparation={"layout": "hub"},
            )
    valid_file = next((name for name in VALID_FILES if (raw / name).is_file()), VALID_FILES[0])
    names = {"train": "train.json", "valid": valid_file, "test": "test.json"}
    require_files(raw, (*names.values(), f"{IMAGE_FOLDER}/"), dataset="SLAKE", source=spec.source)
    splits: dict[str, Iterable[Row]] = {}
    for split, name in names.items():
        records = _english(raw / name, skipped)
        splits[split] = good_rows(records, partial(_parse, images=raw / IMAGE_FOLDER), skipped)
    return RawDataset(splits=splits, cleaning=CLEANING)


def _english(path: Path, skipped: Skipped) -> Iterator[Record]:
    """Yield the records in English; the file as a whole is looked at right away."""
    content = read_json(path, dataset="SLAKE")
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, Mapping) or not {"img_name", "q_lang"} & first.keys():
        raise DataError(
            f"{path}: not a list of questions with img_name and q_lang; is this the SLAKE release?"
        )
    return _records(path, content, skipped)


def _records(path: Path, content: list[object], skipped: Skipped) -> Iterator[Record]:
    for number, values in enumerate(content, start=1):
        where = f"{path}: row {number}"
        keys = values.keys() if isinstance(values, Mapping) else ()
        missing = [key for key in KEYS if key not in keys]
        if missing:
            skipped.take(DataError(f"{where}: lacks {', '.join(missing)}"))
        elif isinstance(values, Mapping) and values["q_lang"] == ENGLISH:
            record = Record(f"{where} (qid {json.dumps(values['qid'])})", values)
            if not is_unanswered(record, UNANSWERED):
                yield record


def _parse(record: Record, *, images: Path) -> Row:
    """Turn one record into a row."""
    name = record.text("img_name")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(mark in name for mark in "\\\0"):
        raise DataError(f"{record.where}: img_name {name!r} leads out of {IMAGE_FOLDER}/")
    fields = vqa_fields(
        record.text("qid"),
        clean_text(record.text("question")),
        clean_text(record.text("answer")),
        answer_type=record.choice("answer_type", ANSWER_TYPES),
        question_type=record.optional("content_type"),
        object_name=clean_text(record.optional("location")),
        image_name=name,
    )
    return Row(fields, images / name, record.where)


SPECS = (
    DatasetSpec(
        name="slake",
        title="SLAKE: questions about radiology images, with and without medical knowledge",
        task="vqa",
        access="open",
        source="https://www.med-vqa.com/slake",
        licence="CC-BY-4.0",
        read=read,
        expected={**COUNTS, "test CLOSED": 416, "test OPEN": 645},
        published=(
            PublishedResult("BiomedGPT-B", "accuracy", 0.861, NATURE_MEDICINE),
            PublishedResult("BiomedGPT-B", "accuracy_open", 0.843, NATURE_MEDICINE),
        ),
    ),
)
