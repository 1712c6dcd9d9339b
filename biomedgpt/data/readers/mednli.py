"""MedNLI: the PhysioNet release (three JSON Lines files) to rows.

Expected in the raw folder, or in one folder anywhere below it (PhysioNet's own tree is
``physionet.org/files/mednli/1.0.0/``)::

    mli_train_v1.jsonl, mli_dev_v1.jsonl, mli_test_v1.jsonl

Each line is an object with ``sentence1``, ``sentence2``, ``gold_label``, ``pairID``, and parse
trees that are not used.
"""

from collections.abc import Iterator
from pathlib import Path

from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.tables import Record, good_records, read_lines
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult
from biomedgpt.errors import DataError
from biomedgpt.tasks.entailment import ANSWER_OF_LABEL, Entailment

FILES = {
    "train": "mli_train_v1.jsonl",
    "valid": "mli_dev_v1.jsonl",
    "test": "mli_test_v1.jsonl",
}
KEYS = ("pairID", "sentence1", "sentence2", "gold_label")
FIELDS = ("id", "sentence1", "sentence2", "answer", "label")
CLEANING = (
    "white space collapsed to one space and stripped",
    Entailment.cleaning[0],
)


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read the official release; see `biomedgpt.data.prepare`.

    Raises:
        DataError: a file is missing, or a row is bad.
    """
    del options
    folder = _folder(raw, source=spec.source)
    return RawDataset(
        splits={split: _rows(folder / name, skipped) for split, name in FILES.items()},
        fields=FIELDS,
        answers=tuple(ANSWER_OF_LABEL.values()),
        cleaning=CLEANING,
    )


def _folder(raw: Path, *, source: str) -> Path:
    """Find the folder that holds the three files."""
    found = sorted({p.parent for p in raw.rglob("mli_*.jsonl") if p.name in FILES.values()})
    if not found:
        raise DataError(
            f"{raw} is not the MedNLI release: no {', '.join(FILES.values())}; get it from {source}"
        )
    missing = [name for name in FILES.values() if not (found[0] / name).is_file()]
    if missing:
        raise DataError(f"{found[0]} lacks {' and '.join(missing)}; get them from {source}")
    return found[0]


def _rows(path: Path, skipped: Skipped) -> Iterator[Row]:
    return good_rows(good_records(read_lines(path), skipped, columns=KEYS), _parse, skipped)


def _parse(record: Record) -> Row:
    fields = {
        "id": record.text("pairID"),
        "sentence1": clean_text(record.text("sentence1")),
        "sentence2": clean_text(record.text("sentence2")),
        "answer": record.choice("gold_label", ANSWER_OF_LABEL),
        "label": record.text("gold_label"),
    }
    return Row(fields, None, record.where)


SPECS = (
    DatasetSpec(
        name="mednli",
        title="MedNLI: inference between sentences of clinical notes",
        task="entailment",
        access="credentialed",
        source="https://physionet.org/content/mednli/1.0.0/",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        read=read,
        expected={"train": 11232, "valid": 1395, "test": 1422},
        published=(
            PublishedResult("BiomedGPT-B", "accuracy", 0.838, NATURE_MEDICINE),
            PublishedResult("prior best", "accuracy", 0.866, NATURE_MEDICINE),
        ),
    ),
)
