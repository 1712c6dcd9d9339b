"""Options of a question: their letters, how they are stored in a row, how they are listed."""

import string
from collections.abc import Sequence

from biomedgpt.errors import DataError
from biomedgpt.files import parse_json

LETTERS = string.ascii_lowercase
"""Names of the options, in order."""


def parse_options(text: str, *, where: str) -> tuple[str, ...]:
    """Return the options of the field ``options``, none where it is empty.

    Raises:
        DataError: not a JSON list of 2 to 26 texts.
    """
    if not text:
        return ()
    options = parse_json(text)
    if (
        not isinstance(options, list)
        or not all(isinstance(one, str) for one in options)
        or not 2 <= len(options) <= len(LETTERS)
    ):
        raise DataError(
            f"{where}: field 'options' is not a JSON list of 2 to {len(LETTERS)} texts; prepare "
            "the dataset again"
        )
    return tuple(options)


def list_options(options: Sequence[str]) -> str:
    """Return "options: a) ... b) ...", as every question with options ends."""
    listed = (f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    return f"options: {' '.join(listed)}"
