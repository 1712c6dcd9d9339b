"""MedMCQA: the official JSON lines, or the hub's Parquet files, to rows.

Expected layout of the raw folder, or of ``data/`` below it::

    train.json, dev.json, test.json    one question per line; "cop" counts the options from 1

or the hub's ``train-*.parquet``, ``validation-*.parquet``, ``test-*.parquet``, where "cop" counts
from 0. The answers of the test questions are not public: what is tested on is dev.json, as in most
publications, and validation rows are held out from train.json.
"""

from collections.abc import Iterable
from pathlib import Path

from biomedgpt.data.raw.hub import hub_shards
from biomedgpt.data.raw.qa_rows import (
    QA_FIELDS,
    first_record,
    hold_out_questions,
    numbered_records,
    qa_fields,
)
from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.tables import Record, read_parquet, require_files
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import DatasetSpec
from biomedgpt.errors import DataError

FILES = {"train": "train.json", "test": "dev.json"}
OPTIONS = {"a": "opa", "b": "opb", "c": "opc", "d": "opd"}
KEYS = ("id", "question", *OPTIONS.values(), "cop")
COLUMNS = (*KEYS, "subject_name")
FROM_ONE = dict(zip("1234", OPTIONS, strict=True))
FROM_ZERO = dict(zip("0123", OPTIONS, strict=True))
CLEANING = (
    "white space collapsed to one space and stripped",
    "explanations left out",
    "answers are letters",
)


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read the official release or the hub's copy; see `biomedgpt.data.prepare`.

    Raises:
        DataError: files are missing, are not those of MedMCQA, or a row is bad.
    """
    base = next((one for one in (raw, raw / "data") if (one / FILES["train"]).is_file()), raw)
    shards = {}
    if not (base / FILES["train"]).is_file():
        shards = hub_shards(raw, needed=("train", "valid"), dataset=spec.name)
    records: dict[str, Iterable[Record]]
    if shards:
        letters, layout = FROM_ZERO, "hub"
        records = {
            "train": read_parquet(shards["train"], columns=COLUMNS),
            "test": read_parquet(shards["valid"], columns=COLUMNS),
        }
    else:
        letters, layout = FROM_ONE, "official"
        require_files(base, FILES.values(), dataset="MedMCQA", source=spec.source)
        for name in FILES.values():
            first_record(base / name, [KEYS], dataset="MedMCQA")
        records = {
            split: (record for _, record in numbered_records(base / name, skipped))
            for split, name in FILES.items()
        }

    def parse(record: Record) -> Row:
        return _parse(record, letters)

    train = good_rows(records["train"], parse, skipped)
    kept, held_out = hold_out_questions(train, options.valid_fraction or 0.0, seed=options.seed)
    valid = {"valid": held_out} if held_out else {}
    return RawDataset(
        splits={"train": kept, **valid, "test": good_rows(records["test"], parse, skipped)},
        fields=(*QA_FIELDS, "subject"),
        answers=tuple(OPTIONS),
        cleaning=CLEANING,
        preparation={"layout": layout},
    )


def _parse(record: Record, letters: dict[str, str]) -> Row:
    """Turn one question into a row; ``letters`` are the answers by what "cop" says."""
    missing = [key for key in KEYS if key not in record.values]
    if missing:
        raise DataError(f"{record.where}: lacks {', '.join(missing)}")
    answer = record.choice("cop", letters)
    record.text(OPTIONS[answer])
    # A wrong option may be empty; leaving it out would move the letters of the others.
    options = [clean_text(record.optional(key)) for key in OPTIONS.values()]
    fields = qa_fields(
        record.text("id"), clean_text(record.text("question")), answer, options=options
    )
    return Row(fields | {"subject": record.optional("subject_name")}, where=record.where)


SPECS = (
    DatasetSpec(
        name="medmcqa",
        title="MedMCQA: questions of Indian medical entrance exams",
        task="question_answering",
        access="open",
        source="https://github.com/medmcqa/medmcqa",
        licence="Apache-2.0",
        read=read,
        # About as many as there are test questions.
        valid_fraction=0.02,
        expected={"train": 182822, "test": 4183},
    ),
)
