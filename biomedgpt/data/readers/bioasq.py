"""BioASQ task 7b, yes/no questions: the official JSON files, or BLURB's tables, to rows.

Expected layout of the raw folder (the files may lie up to two folders below it)::

    training7b.json (trainining7b.json in the archive)    {"questions": [...]}, all types
    7B1_golden.json ... 7B5_golden.json                   the test batches with answers

or what BLURB's script makes of them, also in ``BioASQ/``::

    train.tsv, dev.tsv, test.tsv    id, question, text, answer; no header
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from biomedgpt.data.raw.qa_rows import qa_row, same_question
from biomedgpt.data.raw.tables import Record, read_csv, read_json
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

TRAINING_FILES = ("training7b.json", "trainining7b.json", "BioASQ-training7b.json")
TEST_FILES = tuple(f"7B{batch}_golden.json" for batch in range(1, 6))
TABLES = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}
TABLE_COLUMNS = ("id", "question", "context", "answer")
ANSWERS = ("yes", "no")
CLEANING = (
    "only yes/no questions",
    "snippets joined with one space",
    "white space collapsed to one space and stripped",
    "answers lower-cased, a final full stop removed",
)


def read(release: Release) -> RawDataset:
    """Read the official release or BLURB's tables.

    Raises:
        DataError: files are missing, are not those of BioASQ task 7b, or a row is bad.
    """
    raw = release.folder
    training = next((path for name in TRAINING_FILES if (path := _find(raw, name))), None)
    batches = {name: _find(raw, name) for name in TEST_FILES}
    tables = release.base("BioASQ", having=TABLES["train"])
    if training is None and not any(batches.values()) and (tables / TABLES["train"]).is_file():
        return _read_tables(tables, release)
    missing = [name for name, path in batches.items() if path is None]
    if training is None or missing:
        wanted = ([] if training else [TRAINING_FILES[0]]) + missing
        source = f"{release.spec.source} (after registration)"
        raise release.refused(f"missing {', '.join(wanted)}", source=source)
    train = release.rows(_questions(training), _parse)
    tests = [record for path in batches.values() if path for record in _questions(path)]
    return RawDataset(
        splits=release.hold_out(train, release.rows(tests, _parse), group=same_question),
        answers=ANSWERS,
        cleaning=CLEANING,
        preparation={"layout": "official"},
    )


def _find(raw: Path, name: str) -> Path | None:
    """Return a file of the release, in the folder or up to two below it."""
    return next(
        (path for depth in ("", "*/", "*/*/") for path in sorted(raw.glob(f"{depth}{name}"))), None
    )


def _questions(path: Path) -> Iterator[Record]:
    """Yield the yes/no questions of an official file."""
    content = read_json(path, hint="is this the BioASQ release?")
    questions = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(questions, list) or not questions:
        raise DataError(f'{path}: has no list "questions"; is this the BioASQ release?')
    for number, values in enumerate(questions, start=1):
        if not isinstance(values, dict):
            raise DataError(f"{path}: row {number}: not a question; is this the BioASQ release?")
        if values.get("type") == "yesno":
            yield Record(f"{path}: row {number} (id {values.get('id')})", values)


def _parse(record: Record) -> Row:
    """Turn one official question into a row."""
    answer: Any = record.values.get("exact_answer")
    if isinstance(answer, list) and len(answer) == 1:  # in some early questions
        answer = answer[0]
    snippets: Any = record.values.get("snippets")
    if not isinstance(snippets, list) or not all(isinstance(one, dict) for one in snippets):
        raise DataError(f"{record.where}: the snippets are no list of objects")
    texts = [Record(f"{record.where}: snippet", one).text("text") for one in snippets]
    values = {"question": record.values.get("body"), "context": " ".join(texts), "answer": answer}
    return _row(Record(record.where, {**record.values, **values}))


def _row(record: Record) -> Row:
    """Turn id, question, context and answer into a row."""
    text = record.text("answer").lower().rstrip(".")
    if text not in ANSWERS:
        raise DataError(f"{record.where}: answer is {text!r}, must be one of {', '.join(ANSWERS)}")
    return qa_row(
        record.where,
        record.text("id"),
        clean_text(record.text("question")),
        text,
        context=clean_text(record.optional("context")),
    )


def _parse_table_row(record: Record) -> Row:
    record.text("context")  # in a table, an empty one is damage
    return _row(record)


def _read_tables(folder: Path, release: Release) -> RawDataset:
    """Read the tables of BLURB."""
    missing = [name for name in TABLES.values() if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder}: missing {', '.join(missing)} beside {TABLES['train']}")
    read_table = partial(read_csv, delimiter="\t", header=TABLE_COLUMNS, skipped=release.skipped)
    return RawDataset(
        splits={
            split: release.rows(read_table(folder / name), _parse_table_row)
            for split, name in TABLES.items()
        },
        answers=ANSWERS,
        cleaning=CLEANING[2:],
        preparation={"layout": "BLURB"},
    )


SPEC = DatasetSpec(
    name="bioasq",
    title="BioASQ 7b: yes or no from snippets of abstracts",
    task="question_answering",
    access="registration",
    source="http://participants-area.bioasq.org/datasets/",
    licence="terms of BioASQ; abstracts by the National Library of Medicine",
    read=read,
    valid_fraction=0.1,
    expected={"train": 745, "test": 140},
    published=(
        PublishedResult("BioLinkBERT-large", "accuracy", 0.948, "Yasunaga et al., ACL 2022"),
    ),
)
