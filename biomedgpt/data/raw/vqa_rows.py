"""Rows of visual question answering, as its releases have in common."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from biomedgpt.data.raw.tables import Record, parquet_image, read_parquet
from biomedgpt.data.rows import Row, Skipped, clean_text, hold_out

HUB_COLUMNS = ("image", "question", "answer")
"""Columns of the hub's copies of VQA-RAD, SLAKE and PathVQA; they have no others."""
CLOSED_ANSWERS = ("yes", "no")


def vqa_fields(
    row_id: str,
    question: str,
    answer: str,
    *,
    answer_type: str = "",
    question_type: str = "",
    object_name: str = "",
    image_name: str = "",
) -> dict[str, str]:
    """Return the fields of a row with one accepted answer.

    Without an answer type, "yes" and "no" are CLOSED and everything else is OPEN.
    """
    if not answer_type:
        answer_type = "CLOSED" if answer.lower().rstrip(" .") in CLOSED_ANSWERS else "OPEN"
    return {
        "id": row_id,
        "question": question,
        "answer": answer,
        "answer_type": answer_type,
        "question_type": question_type,
        "object": object_name,
        "references": json.dumps([{"answer": answer, "confidence": 1.0}], ensure_ascii=False),
        "image_name": image_name,
    }


def hub_rows(
    paths: Sequence[Path],
    split: str,
    skipped: Skipped,
    *,
    lower_answers: bool = False,
    unanswered: str = "",
) -> Iterator[Row]:
    """Yield the rows of one split of a hub download; ids count its rows from 1.

    ``unanswered`` is a question that the release is known to have without an answer; such a row is
    left out.
    """

    for number, record in enumerate(read_parquet(paths, columns=HUB_COLUMNS), start=1):
        if is_unanswered(record, unanswered):
            continue
        with skipped.catching():
            question = clean_text(record.text("question"))
            answer = clean_text(record.text("answer"))
            answer = answer.lower() if lower_answers else answer
            image = parquet_image(record.values["image"], where=record.where)
            yield Row(vqa_fields(f"{split}-{number}", question, answer), image, record.where)


def is_unanswered(record: Record, question: str) -> bool:
    """Say whether this is ``question``, without an answer."""
    values = record.values
    return bool(question) and values["question"] == question and values["answer"] in ("", None)


def hold_out_hub_images(
    paths: Sequence[Path],
    fraction: float,
    *,
    seed: int,
    skipped: Skipped,
    lower_answers: bool = False,
) -> tuple[Iterator[Row], Iterator[Row]]:
    """Split the training rows of a hub download by images into (kept, held out).

    The files are read three times, so that no more than a digest per row is in memory. Bad rows
    are reported once, with the kept ones.
    """
    quiet = Skipped(allowed=True)

    def read(taker: Skipped) -> Iterator[Row]:
        return hub_rows(paths, "train", taker, lower_answers=lower_answers)

    outline = []
    for row in read(quiet):
        assert isinstance(row.image, bytes)
        outline.append((row.fields["id"], hashlib.sha256(row.image).hexdigest()))
    _, chosen = hold_out(outline, fraction, seed=seed, group=lambda one: one[1])
    held = {name for name, _ in chosen}
    kept_rows = (row for row in read(skipped) if row.fields["id"] not in held)
    held_rows = (row for row in read(quiet) if row.fields["id"] in held)
    return kept_rows, held_rows
