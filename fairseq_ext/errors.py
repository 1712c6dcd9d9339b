"""One line for errors a user can mend, also where fairseq wraps them in its own."""

import sys
from types import TracebackType

from biomedgpt.errors import BiomedGPTError


def find_user_error(error: BaseException | None) -> BiomedGPTError | None:
    """Return the error a user can mend among ``error`` and what it was raised from.

    fairseq replaces any failure to load weights by a sentence of its own; the cause with the
    names of the keys is still in the chain.
    """
    while error is not None and not isinstance(error, BiomedGPTError):
        error = error.__cause__ or error.__context__
    return error


def install() -> None:
    """Print ``error: ...`` instead of a traceback for such errors; exit status 1 either way."""
    previous = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        found = find_user_error(error)
        if found is None:
            previous(kind, error, traceback)
        else:
            sys.stdout.flush()
            sys.stderr.write(f"error: {found}\n")

    sys.excepthook = hook
