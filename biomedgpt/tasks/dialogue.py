"""What was said before an instruction, and the marks of images within answers."""

import json
from collections.abc import Sequence

from biomedgpt.errors import DataError

IMAGE_MARK = "<image>"
"""Where an answer shows an image."""
IN_ANSWER = "answer"
"""Value of ``image_in`` where the image is part of the answer; "" where it is shown, or none is."""


def format_history(turns: Sequence[tuple[str, str]]) -> str:
    """Return the field ``history``: a JSON list of what was asked and answered; "" for none."""
    return json.dumps(turns, ensure_ascii=False) if turns else ""


def parse_history(text: str, *, where: str) -> list[tuple[str, str]]:
    """Return what was asked and answered before, the oldest first.

    Raises:
        DataError: not such a list.
    """
    if not text:
        return []
    try:
        turns = json.loads(text)
        pairs = [(human, answer) for human, answer in turns]
    except (ValueError, TypeError, RecursionError):
        pairs = [(None, None)]
    if not all(isinstance(one, str) for pair in pairs for one in pair):
        raise DataError(f'{where}: history is not a JSON list like [["asked", "answered"]]')
    return pairs
