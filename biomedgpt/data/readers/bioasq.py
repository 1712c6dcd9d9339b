"""BioASQ task 7b, yes/no questions: the official JSON files, or BLURB's tables, to rows.

Expected layout of the raw folder (the files may lie up to two folders below it)::

    training7b.json (trainining7b.json in the archive)    {"questions": [...]}, all types
    7B1_golden.json ... 7B5_golden.json                   the test batches with answers

or what BLURB's script makes of them, also in ``BioASQ/``::

    train.tsv, dev.tsv, test.tsv    id, question, text, answer; no header
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from biomedgpt.data.raw.qa_rows import QA_FIELDS, hold_out_questions, qa_fields
from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.tables import Record, read_csv, read_json
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import DatasetSpec, PublishedResult
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


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read the official release or BLURB's tables; see `biomedgpt.data.prepare`.

    Raises:
        DataError: files are missing, are not those of BioASQ task 7b, or a row is bad.
    """
    training = next((path for name in TRAINING_FILES if (path := _find(raw, name))), None)
    batches = {name: _find(raw, name) for name in TEST_FILES}
    tables = raw / "BioASQ" if (raw / "BioASQ" / TABLES["train"]).is_file() else raw
    if training is None and not any(batches.values()) and (tables / TABLES["train"]).is_file():
        return _read_tables(tables, skipped)
    missing = [name for name, path in batches.items() if path is None]
    if training is None or missing:
        wanted = ([] if training else [TRAINING_FILES[0]]) + missing
        raise DataError(
            f"{raw} is not the BioASQ 7b release: missing {', '.join(wanted)}; get it from "
            f"{spec.source} (after registration)"
        )
    train = good_rows(_questions(training), _parse, skipped)
    kept, held_out = hold_out_questions(train, options.valid_fraction or 0.0, seed=options.seed)
    tests = [list(_questions(path)) for path in batches.values() if path]
    test = good_rows((record for batch in tests for record in batch), _parse, skipped)
    return RawDataset(
        splits={"train": kept, **({"valid": held_out} if held_out else {}), "test": test},
        fields=QA_FIELDS,
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
    content = read_json(path, dataset="BioASQ")
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
    return _row(
        Record(
            record.where,
            {
                "id": record.values.get("id"),
                "question": record.values.get("body"),
                "context": " ".join(texts),
                "answer": answer,
            },
        )
    )


def _row(record: Record) -> Row:
    """Turn id, question, context and answer into a row."""
    text = record.text("answer").lower().rstrip(".")
    if text not in ANSWERS:
        raise DataError(f"{record.where}: answer is {text!r}, must be one of {', '.join(ANSWERS)}")
    fields = qa_fields(
        record.text("id"),
        clean_text(record.text("question")),
        text,
        context=clean_text(record.optional("context")),
    )
    return Row(fields, where=record.where)


def _parse_table_row(record: Record) -> Row:
    record.text("context")  # in a table, an empty one is damage
    return _row(record)


def _read_tables(folder: Path, skipped: Skipped) -> RawDataset:
    """Read the tables of BLURB."""
    missing = [name for name in TABLES.values() if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder}: missing {', '.join(missing)} beside {TABLES['train']}")
    splits: dict[str, Iterable[Row]] = {
        split: good_rows(
            read_csv(folder / name, delimiter="\t", header=TABLE_COLUMNS, skipped=skipped),
            _parse_table_row,
            skipped,
        )
        for split, name in TABLES.items()
    }
    return RawDataset(
        splits=splits,
        fields=QA_FIELDS,
        answers=ANSWERS,
        cleaning=CLEANING[2:],
        preparation={"layout": "BLURB"},
    )


SPECS = (
    DatasetSpec(
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
    ),
)
