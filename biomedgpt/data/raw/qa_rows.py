"""Rows of question answering, as its releases have in common."""

import json
from collections.abc import Sequence

from biomedgpt.data.rows import Row, question_key


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
