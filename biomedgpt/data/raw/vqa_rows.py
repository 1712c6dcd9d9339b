"""Rows of visual question answering, as its releases have in common."""

import json
from pathlib import Path

from biomedgpt.data.raw.tables import Record
from biomedgpt.data.rows import Row

CLOSED_ANSWERS = ("yes", "no")


def vqa_row(
    where: str,
    image: tuple[bytes | Path, str],
    row_id: str,
    question: str,
    answer: str,
    *,
    answer_type: str = "",
    question_type: str = "",
    object_name: str = "",
    **others: str,
) -> Row:
    """Return the row of a question with one accepted answer about an image.

    Without an answer type, "yes" and "no" are CLOSED and everything else is OPEN.

    Args:
        where: file and row.
        image: image and its name, "" where it has none.
        row_id, question, answer: the fields that every row has.
        answer_type, question_type, object_name: fields that may be empty.
        others: further fields.
    """
    data, image_name = image
    if not answer_type:
        answer_type = "CLOSED" if answer.lower().rstrip(" .") in CLOSED_ANSWERS else "OPEN"
    fields = {
        "id": row_id,
        "question": question,
        "answer": answer,
        "answer_type": answer_type,
        "question_type": question_type,
        "object": object_name,
        "references": json.dumps([{"answer": answer, "confidence": 1.0}], ensure_ascii=False),
        "image_name": image_name,
    }
    return Row(fields | others, data, where)


def is_unanswered(record: Record, question: str) -> bool:
    """Say whether this is ``question``, without an answer."""
    values = record.values
    return bool(question) and values["question"] == question and values["answer"] in ("", None)
