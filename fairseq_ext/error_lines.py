"""One line for errors a user can fix, also where fairseq wraps them in its own."""

import sys
from types import TracebackType

from biomedgpt.errors import BiomedGPTError, user_message

MOST_NAMED = 3
"""Rows that an error lists."""


class LossNotFiniteError(BiomedGPTError, RuntimeError):
    """A loss that is infinite or no number.

    A RuntimeError too: of other exceptions fairseq would write a further checkpoint, crash.pt.
    """


def install() -> None:
    """Print ``error: ...`` instead of a traceback for such errors; exit status 1 either way."""
    previous = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        message = user_message(error)
        if message is None:
            previous(kind, error, traceback)
        else:
            sys.stdout.flush()
            sys.stderr.write(f"error: {message}\n")

    sys.excepthook = hook
