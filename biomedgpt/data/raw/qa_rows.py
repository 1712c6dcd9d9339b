"""Rows of question answering, as its releases have in common."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from biomedgpt.data.raw.tables import Record, good_records, read_lines
from biomedgpt.data.rows import Row, Skipped, hold_out, question_key
from biomedgpt.errors import DataError

QA_FIELDS = ("id", "question", "options", "context", "answer")


def qa_fields(
    row_id: str, question: str, answer: str, *, options: Sequence[str] = (), context: str = ""
) -> dict[str, str]:
    """Return the fields of a row; ``answer`` is a letter where there are options."""
    return {
        "id": row_id,
        "question": question,
        "options": json.dumps(list(options), ensure_ascii=False) if options else "",
        "context": context,
        "answer": answer,
    }


def hold_out_questions(
    rows: Iterable[Row], fraction: float, *, seed: int
) -> tuple[list[Row], list[Row]]:
    """Split training rows into (kept, held out); a question asked twice stays on one side."""
    return hold_out(
        rows, fraction, seed=seed, group=lambda row: question_key(row.fields["question"])
    )


def numbered_records(path: Path, skipped: Skipped) -> Iterator[tuple[int, Record]]:
    """Yield (row, object) of a file with one JSON object per line; bad lines go to ``skipped``."""
    for number, line in enumerate(read_lines(path), start=1):
        for record in good_records([line], skipped):
            yield number, record


def first_record(path: Path, keys: Sequence[Collection[str]], *, dataset: str) -> Record:
    """Return the first object of a file with one JSON object per line.

    Raises:
        DataError: there is none, or it has not all of one of ``keys``: another dataset's file.
    """
    quiet = Skipped(allowed=True)
    records = (record for _, record in numbered_records(path, quiet))
    first = next(records, None)
    # Bad lines before it are passed over: the reader reports them when it comes to them.
    if first is not None and any(set(names) <= first.values.keys() for names in keys):
        return first
    wanted = " or ".join(", ".join(names) for names in keys)
    raise DataError(f"{path}: no lines of JSON with {wanted}; is this the {dataset} release?")
