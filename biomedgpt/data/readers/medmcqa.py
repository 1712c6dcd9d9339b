"""MedMCQA: the official JSON lines, or the hub's Parquet files, to rows.

Expected layout of the raw folder, or of ``data/`` below it::

    train.json, dev.json, test.json    one question per line; "cop" counts the options from 1

or the hub's ``train-*.parquet``, ``validation-*.parquet``, ``test-*.parquet``, where "cop" counts
from 0. The answers of the test questions are not public: what is tested on is dev.json, as in most
publications, and validation rows are held out from train.json.
"""

from functools import partial

from biomedgpt.data.raw.hub import hub_shards
from biomedgpt.data.raw.qa_rows import qa_row, same_question
from biomedgpt.data.raw.tables import Record, good_records, read_lines, read_parquet, require_first
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release

FILES = ("train.json", "dev.json")
"""Trained on and tested on."""
OPTIONS = {"a": "opa", "b": "opb", "c": "opc", "d": "opd"}
KEYS = ("id", "question", *OPTIONS.values(), "cop")
COLUMNS = (*KEYS, "subject_name")
FROM_ONE = dict(zip("1234", OPTIONS, strict=True))
FROM_ZERO = dict(zip("0123", OPTIONS, strict=True))


def read(release: Release) -> RawDataset:
    """Read the official release or the hub's copy.

    Raises:
        DataError: files are missing, are not those of MedMCQA, or a row is bad.
    """
    base = release.base("", "data", having=FILES[0])
    shards = {}
    if not (base / FILES[0]).is_file():
        needed = ("train", "valid")
        shards = hub_shards(release.folder, needed=needed, dataset=release.spec.name)
    if shards:
        layout, parse = "hub", partial(_parse, letters=FROM_ZERO)
        records = [read_parquet(shards[name], columns=COLUMNS) for name in needed]
    else:
        layout, parse = "official", partial(_parse, letters=FROM_ONE)
        release.require_files(FILES, folder=base)
        for name in FILES:
            first = good_records(read_lines(base / name), Skipped(allowed=True))
            wanted = f"no lines of JSON with {', '.join(KEYS)}"
            require_first(first, [KEYS], f"{base / name}: {wanted}; is this the MedMCQA release?")
        records = [
            good_records(read_lines(base / name), release.skipped, columns=KEYS) for name in FILES
        ]
    train, test = (release.rows(one, parse) for one in records)
    return RawDataset(
        splits=release.hold_out(train, test, group=same_question),
        answers=tuple(OPTIONS),
        cleaning=(
            "white space collapsed to one space and stripped",
            "explanations left out",
            "answers are letters",
        ),
        preparation={"layout": layout},
    )


def _parse(record: Record, letters: dict[str, str]) -> Row:
    """Turn one question into a row; ``letters`` are the answers by what "cop" says."""
    answer = record.choice("cop", letters)
    record.text(OPTIONS[answer])
    # A wrong option may be empty; leaving it out would move the letters of the others.
    options = [clean_text(record.optional(key)) for key in OPTIONS.values()]
    return qa_row(
        record.where,
        record.text("id"),
        clean_text(record.text("question")),
        answer,
        options=options,
        subject=record.optional("subject_name"),
    )


SPEC = DatasetSpec(
    name="medmcqa",
    title="MedMCQA: questions of Indian medical entrance exams",
    task="question_answering",
    source="https://github.com/medmcqa/medmcqa",
    licence="Apache-2.0",
    read=read,
    # About as many as there are test questions.
    valid_fraction=0.02,
    expected={"train": 182822, "test": 4183},
)
