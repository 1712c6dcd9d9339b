"""VQA-RAD: the official release (OSF 89kps), or the hub's Parquet files, to rows.

Expected layout of the raw folder::

    VQA_RAD Dataset Public.json    a list of 2,248 questions
    VQA_RAD Image Folder/          315 JPEG files, 314 of them asked about

The official test set is ``phrase_type`` "test_freeform" and "test_para" (451 questions); the rest
is for training (1,797). There is no official validation split.

The hub's copy (``train-*.parquet``, ``test-*.parquet``) has images, questions and answers only;
four training questions that occur twice are not in it (1,793).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedgpt.data.raw.caption_rows import plain_name
from biomedgpt.data.raw.tables import read_json
from biomedgpt.data.raw.vqa_hub import read_hub
from biomedgpt.data.raw.vqa_rows import vqa_row
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

JSON_FILE = "VQA_RAD Dataset Public.json"
IMAGE_FOLDER = "VQA_RAD Image Folder"
SPLIT_OF_PHRASE = {
    "freeform": "train",
    "para": "train",
    "test_freeform": "test",
    "test_para": "test",
}
ANSWER_TYPES = ("CLOSED", "OPEN")
KEYS = (
    "qid",
    "phrase_type",
    "image_name",
    "image_organ",
    "question",
    "question_type",
    "answer",
    "answer_type",
)


def read(release: Release) -> RawDataset:
    """Read the official release or the hub's copy.

    Raises:
        DataError: files are missing, are not those of VQA-RAD, or a row is bad.
    """
    raw = release.folder
    if not (raw / JSON_FILE).is_file():
        hub = read_hub(
            release,
            cleaning=(
                "white space collapsed to one space and stripped",
                "answers lower-cased",
                "answer_type made up: yes and no are CLOSED, everything else OPEN",
            ),
            expected={"train": 1793, "test": 451},
            lower_answers=True,
        )
        if hub is not None:
            return hub
    release.require_files([JSON_FILE, f"{IMAGE_FOLDER}/"])
    path, images = raw / JSON_FILE, raw / IMAGE_FOLDER
    records = _load(path)
    splits: dict[str, list[Row]] = {"train": [], "test": []}
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        with release.skipped.catching():
            split, row = _parse(record, images, where=f"{path}: row {number}")
            if row.fields["id"] in seen:
                raise DataError(f"{row.where}: this qid was there before")
            seen.add(row.fields["id"])
            splits[split].append(row)
    found = {
        "questions": len(records),
        "images in the folder": sum(path.suffix.lower() == ".jpg" for path in images.iterdir()),
        "images asked about": len({row.image for rows in splits.values() for row in rows}),
    }
    return RawDataset(
        splits=release.hold_out(splits["train"], splits["test"], group=lambda row: row.image),
        cleaning=(
            "white space, tabs included, collapsed to one space and stripped",
            "answers lower-cased, numbers written as text; questions keep their case",
            "answer_type stripped ('CLOSED ' occurs)",
            "question_type upper-cased; combined types ('POS, PRES') and misspelt ones ('PRSE', "
            "'ATRIB') kept as released",
        ),
        found=found,
    )


def _load(path: Path) -> list[Any]:
    """Return the records of the JSON file."""
    records = read_json(path, hint="get it again from https://osf.io/89kps")
    if not isinstance(records, list) or not records:
        raise DataError(f"{path}: not a list of questions; is this the VQA-RAD release?")
    return records


def _parse(record: Any, images: Path, *, where: str) -> tuple[str, Row]:
    """Turn one record into its split and row."""
    if not isinstance(record, Mapping) or not record.keys() >= set(KEYS):
        missing = sorted(set(KEYS) - set(record)) if isinstance(record, Mapping) else KEYS
        raise DataError(f"{where}: lacks {', '.join(missing)} (is this the VQA-RAD release?)")
    text = {}
    for key in KEYS:
        if not isinstance(record[key], str | int) or isinstance(record[key], bool):
            raise DataError(f"{where}: {key} is neither text nor a whole number")
        text[key] = clean_text(str(record[key]))
    where = f"{where} (qid {text['qid']})"
    for key in ("qid", "question", "answer", "image_name"):
        if not text[key]:
            raise DataError(f"{where}: empty {key}")
    if text["phrase_type"] not in SPLIT_OF_PHRASE:
        raise DataError(f"{where}: unknown phrase_type {text['phrase_type']!r}")
    answer_type = text["answer_type"].upper()
    if answer_type not in ANSWER_TYPES:
        raise DataError(f"{where}: unknown answer_type {text['answer_type']!r}")
    name = plain_name(text["image_name"], where=where, column="image_name")
    row = vqa_row(
        where,
        (images / name, name),
        text["qid"],
        text["question"],
        text["answer"].lower(),
        answer_type=answer_type,
        question_type=text["question_type"].upper(),
        object_name=text["image_organ"].lower(),
    )
    return SPLIT_OF_PHRASE[text["phrase_type"]], row


SPEC = DatasetSpec(
    name="vqa-rad",
    title="VQA-RAD: clinicians' questions about radiology images",
    task="vqa",
    source="https://osf.io/89kps",
    licence="CC0-1.0",
    read=read,
    valid_fraction=0.0,
    expected={
        "questions": 2248,
        "images in the folder": 315,
        "images asked about": 314,
        "train": 1797,
        "test": 451,
        "test CLOSED": 272,
        "test OPEN": 179,
    },
    published=(
        PublishedResult("BiomedGPT-B", "weighted_f1", 0.732, NATURE_MEDICINE),
        PublishedResult("Med-PaLM M 12B (prior best)", "weighted_f1", 0.507, NATURE_MEDICINE),
    ),
)
