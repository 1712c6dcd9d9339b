"""MedNLI: the PhysioNet release (three JSON Lines files) to rows.

Expected in the raw folder, or in one folder anywhere below it (PhysioNet's own tree is
``physionet.org/files/mednli/1.0.0/``)::

    mli_train_v1.jsonl, mli_dev_v1.jsonl, mli_test_v1.jsonl

Each line is an object with ``sentence1``, ``sentence2``, ``gold_label``, ``pairID``, and parse
trees that are not used.
"""

from pathlib import Path

from biomedgpt.data.raw.tables import Record, good_records, read_lines
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError
from biomedgpt.tasks.entailment import ANSWER_OF_LABEL, Entailment

FILES = {
    "train": "mli_train_v1.jsonl",
    "valid": "mli_dev_v1.jsonl",
    "test": "mli_test_v1.jsonl",
}
KEYS = ("pairID", "sentence1", "sentence2", "gold_label")


def read(release: Release) -> RawDataset:
    """Read the official release.

    Raises:
        DataError: a file is missing, or a row is bad.
    """
    folder = _find_folder(release)
    return RawDataset(
        splits={
            split: release.rows(
                good_records(read_lines(folder / name), release.skipped, columns=KEYS), _parse
            )
            for split, name in FILES.items()
        },
        answers=tuple(ANSWER_OF_LABEL.values()),
        cleaning=(
            "white space collapsed to one space and stripped",
            Entailment.cleaning[0],
        ),
    )


def _find_folder(release: Release) -> Path:
    """Find the folder that holds the three files."""
    files = release.folder.rglob("mli_*.jsonl")
    folder = min((path.parent for path in files if path.name in FILES.values()), default=None)
    if folder is None:
        raise release.refused(f"no {', '.join(FILES.values())}")
    missing = [name for name in FILES.values() if not (folder / name).is_file()]
    if missing:
        source = release.spec.source
        raise DataError(f"{folder} lacks {' and '.join(missing)}; get them from {source}")
    return folder


def _parse(record: Record) -> Row:
    fields = {
        "id": record.text("pairID"),
        "sentence1": clean_text(record.text("sentence1")),
        "sentence2": clean_text(record.text("sentence2")),
        "answer": record.choice("gold_label", ANSWER_OF_LABEL),
        "label": record.text("gold_label"),
    }
    return Row(fields, None, record.where)


SPEC = DatasetSpec(
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
)
