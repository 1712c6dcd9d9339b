"""Rows of question answering, as its releases have in common."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from biomedgpt.data.raw.tables import Record, good_records, read_lines
from biomedgpt.data.rows import Row, Skipped, question_key


def qa_row(
    where: str,
    row_id: str,
    question: str,
    answer: str,
    *,
    options: Sequence[str] = (),
    context: str = "",
    **others: str,
) -> Row:
    """Return the row of a question; ``answer`` is a letter where there are options."""
    fields = {
        "id": row_id,
        "question": question,
        "options": json.dumps(list(options), ensure_ascii=False) if options else "",
        "context": context,
        "answer": answer,
    }
    return Row(fields | others, where=where)


def same_question(row: Row) -> str:
    """Return what rows share whose question must stay on one side of a split."""
    return question_key(row.fields["question"])


def numbered_records(path: Path, skipped: Skipped) -> Iterator[tuple[int, Record]]:
    """Yield (row, object) of a file with one JSON object per line; bad lines go to ``skipped``."""
    for number, line in enumerate(read_lines(path), start=1):
        for record in good_records([line], skipped):
            yield number, record
