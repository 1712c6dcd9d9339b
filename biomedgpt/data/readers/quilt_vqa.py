"""Quilt-VQA: questions of pathologists in teaching videos to rows.

Expected layout of the raw folder: the hub's Parquet files (``train-*.parquet``, the only split),
with ``image``, ``question``, ``answer`` and ``answer_type`` (OPEN or CLOSED). The answer to a
closed question is yes or no, or a sentence that begins with one (``yes_no_answer`` where there is
one).
"""

from pathlib import Path

from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.suite_rows import SUITE_FIELDS, suite_fields
from biomedgpt.data.raw.tables import Record, parquet_image, parquet_shards, read_parquet
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import DatasetSpec
from biomedgpt.errors import DataError

COLUMNS = ("image", "question", "answer", "answer_type")
TYPES = {"OPEN": "OPEN", "CLOSED": "CLOSED", "open": "OPEN", "closed": "CLOSED", "other": "OPEN"}


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read the hub's files; see `biomedgpt.data.prepare`.

    Raises:
        DataError: files are missing or hold something else, or a row is bad.
    """
    del options
    shards = parquet_shards(raw, "train") or parquet_shards(raw, "test")
    if not shards:
        raise DataError(f"{raw}: no train-*.parquet; get Quilt-VQA from {spec.source}")

    def parse(item: tuple[int, Record]) -> Row:
        number, record = item
        kind = record.choice("answer_type", TYPES)
        answer = clean_text(record.text("answer"))
        if kind == "CLOSED":
            answer = _yes_or_no(record.optional("yes_no_answer") or answer, record.where)
        fields = suite_fields(f"test-{number}", record.text("question"), answer, answer_type=kind)
        image = parquet_image(record.values["image"], where=record.where)
        return Row({**fields, "modality": "histopathology"}, image, record.where)

    records = enumerate(read_parquet(shards, columns=COLUMNS), start=1)
    return RawDataset(
        splits={"test": good_rows(records, parse, skipped)},
        fields=SUITE_FIELDS,
        cleaning=(
            "white space collapsed",
            "of closed answers the first word, yes or no",
            "the only split, which the hub calls train, is test",
        ),
    )


def _yes_or_no(answer: str, where: str) -> str:
    word = answer.split()[0].strip(".,;:!").lower()
    if word not in ("yes", "no"):
        raise DataError(
            f"{where}: the closed answer {answer[:60]!r} begins with neither yes nor no"
        )
    return word


SPECS = (
    DatasetSpec(
        name="quilt-vqa",
        title="Quilt-VQA: questions about histopathology from teaching videos",
        task="vqa",
        access="registration",
        source="https://huggingface.co/datasets/wisdomik/Quilt_VQA",
        licence="CC-BY-NC-ND-3.0",
        read=read,
        expected={"test": 1283},
    ),
)
