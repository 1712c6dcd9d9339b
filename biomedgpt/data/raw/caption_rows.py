"""Rows of image captioning, as its releases have in common."""

import json
from collections.abc import Sequence
from pathlib import Path

from biomedgpt.data.raw.tables import check_text
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.errors import DataError

CAPTION_CLEANING = ("white space, line ends included, collapsed to one space and stripped",)


def caption_row(
    row_id: str, captions: Sequence[str], image: Path, *, where: str, **extra: str
) -> Row:
    """Return the row of an image with all its captions; the first one is what is learned.

    Raises:
        DataError: a caption is not text or has no word.
    """
    texts = [clean_text(caption) for caption in captions]
    for text in texts:
        check_text(text, where=f"{where}: caption")
        if not any(map(str.isalnum, text)):
            raise DataError(f"{where}: empty caption")
    references = [{"answer": text, "confidence": 1.0} for text in texts]
    fields = {
        "id": row_id,
        "caption": texts[0],
        "references": json.dumps(references, ensure_ascii=False),
        "image_name": image.name,
    }
    return Row(fields | extra, image, where)


def plain_name(name: str, *, where: str, column: str = "") -> str:
    """Return a file name as it is; DataError when it is empty or leads to another folder."""
    check_text(name, where=f"{where}: file name")
    if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
        raise DataError(f"{where}: {f'{column} {name!r}'.strip()} is not a plain file name")
    return name
