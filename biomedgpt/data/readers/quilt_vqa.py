"""Quilt-VQA: questions of pathologists in teaching videos to rows.

Expected layout of the raw folder: the hub's Parquet files (``train-*.parquet``, the only split),
with ``image``, ``question``, ``answer`` and ``answer_type`` (OPEN or CLOSED). The answer to a
closed question is yes or no, or a sentence that begins with one (``yes_no_answer`` where there is
one).
"""

from biomedgpt.data.raw.suite_rows import suite_row
from biomedgpt.data.raw.tables import Record, parquet_image, parquet_shards, read_parquet
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError

COLUMNS = ("image", "question", "answer", "answer_type")
TYPES = {"OPEN": "OPEN", "CLOSED": "CLOSED", "open": "OPEN", "closed": "CLOSED", "other": "OPEN"}


def read(release: Release) -> RawDataset:
    """Read the hub's files.

    Raises:
        DataError: files are missing or hold something else, or a row is bad.
    """
    shards = parquet_shards(release.folder, "train") or parquet_shards(release.folder, "test")
    if not shards:
        raise release.refused("no train-*.parquet")

    def parse(item: tuple[int, Record]) -> Row:
        number, record = item
        kind = record.choice("answer_type", TYPES)
        answer = clean_text(record.text("answer"))
        if kind == "CLOSED":
            answer = _yes_or_no(record.optional("yes_no_answer") or answer, record.where)
        return suite_row(
            record.where,
            (parquet_image(record.values["image"], where=record.where), ""),
            f"test-{number}",
            record.text("question"),
            answer,
            answer_type=kind,
            modality="histopathology",
        )

    records = enumerate(read_parquet(shards, columns=COLUMNS), start=1)
    return RawDataset(
        splits={"test": release.rows(records, parse)},
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


SPEC = DatasetSpec(
    name="quilt-vqa",
    title="Quilt-VQA: questions about histopathology from teaching videos",
    task="vqa",
    access="registration",
    source="https://huggingface.co/datasets/wisdomik/Quilt_VQA",
    licence="CC-BY-NC-ND-3.0",
    read=read,
    kind="evaluation",
    expected={"test": 1283},
)
