"""MMMU, Health & Medicine: the hub's validation files to rows.

Expected layout of the raw folder: a folder per subject (``Clinical_Medicine/``, ...) with
``validation-*.parquet``, as the hub has them. The answers of its test split are not public, so what
is tested on is the validation split, as in most publications. Our models look at one image:
questions with several are left out and counted. ``options`` is a list written as text.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

from biomedgpt.data.raw.suite_rows import right_option, suite_row
from biomedgpt.data.raw.tables import Record, parquet_image, parquet_shards, read_parquet
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError

SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)
COLUMNS = ("id", "question", "options", "answer", "image_1", "image_2", "question_type")
SEVERAL = "questions with several images"
_IMAGE = re.compile(r"<image \d+>")


def read(release: Release) -> RawDataset:
    """Read the subjects that are there.

    Raises:
        DataError: no subject is there, or a row is bad.
    """
    shards = {
        subject: found
        for subject in SUBJECTS
        if (release.folder / subject).is_dir()
        and (found := parquet_shards(release.folder / subject, "validation"))
    }
    missing = [subject for subject in SUBJECTS if subject not in shards]
    if missing:
        raise release.refused(f"no validation-*.parquet in {', '.join(missing)}")
    left_out = {SEVERAL: 0}

    def records() -> Iterator[tuple[str, Record]]:
        for subject, paths in shards.items():
            for record in read_parquet(paths, columns=COLUMNS):
                if record.values.get("image_2") is not None:
                    left_out[SEVERAL] += 1
                else:
                    yield subject, record

    def parse(item: tuple[str, Record]) -> Row:
        subject, record = item
        choices = [clean_text(str(one)) for one in _listed(record, "options")]
        answers = [clean_text(str(one)) for one in _listed(record, "answer")]
        answer = answers[0]
        if choices:
            answer = right_option(answer, choices, where=record.where)
        return suite_row(
            record.where,
            (parquet_image(record.values["image_1"], where=record.where), ""),
            record.text("id"),
            _IMAGE.sub("", record.text("question")),
            answer,
            options=choices,
            answer_type="OPEN",
            question_type=subject,
            modality=clean_text(str(record.values.get("img_type") or "")).strip("[]'").lower(),
        )

    return RawDataset(
        splits={"test": release.rows(records(), parse)},
        cleaning=(
            "marks of images removed from questions",
            "questions with several images left out",
            "the validation split is test",
            "question_type is the subject",
        ),
        counts={"left out": left_out},
    )


def _listed(record: Record, key: str) -> list[Any]:
    """Return a list that is written as text; other text is a list of one, "" of none."""
    text = record.optional(key)
    if not text.startswith("["):
        return [text] if text else []
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DataError(f"{record.where}: {key} is not a list") from error
    if not isinstance(found, list):
        raise DataError(f"{record.where}: {key} is not a list")
    return found


SPEC = DatasetSpec(
    name="mmmu-medical",
    title="MMMU, Health & Medicine: college examinations with figures",
    task="vqa",
    source="https://huggingface.co/datasets/MMMU/MMMU",
    licence="Apache-2.0",
    read=read,
    kind="evaluation",
)
