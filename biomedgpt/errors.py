"""Errors that a user can fix.

Every message is one line that says what is wrong, where (file and row, or key), and what to do
next. The command line prints it and exits with status 1; anything else is a bug and keeps its
traceback.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

_LISTED = "\n  "
"""Before each of several things that a message lists."""
TERMINATED = 143
"""Exit status after SIGTERM, as of any program that it ends."""
_OF_THE_MACHINE = frozenset(
    (
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC, errno.EDQUOT),
        *(errno.EROFS, errno.ESTALE, errno.ETIMEDOUT, errno.ENOBUFS),
    )
)
"""Numbers of errors that say nothing of the file that was asked for: files open, memory, disk."""


class BiomedGPTError(Exception):
    """Base of all errors a user can fix."""


class ConfigError(BiomedGPTError):
    """An option, or a combination of options, that makes no sense."""


class DataError(BiomedGPTError):
    """A file, row, image or answer that cannot be used."""


class VocabularyError(BiomedGPTError):
    """A vocabulary that is missing, damaged or does not fit the model."""


class CheckpointError(BiomedGPTError):
    """Weights that are missing, hostile, damaged or of another size."""


_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: of colours, titles and the cursor of a terminal
    "\u200e\u200f\u202a-\u202e\u2066-\u2069"  # those that reverse the order of what is shown
    "\u2028\u2029\ud800-\udfff]"  # ends of lines; bytes of names that are no UTF-8
)


def printable(text: str, *, keep: str = "") -> str:
    r"""Return a text in which characters that do something where it is shown are ``\u001b``.

    Names of files and cells of tables may hold any.

    Args:
        text: to be shown.
        keep: such characters that are meant, as ends of lines are in a text of several.
    """
    return _HIDDEN.sub(lambda one: one[0] if one[0] in keep else f"\\u{ord(one[0]):04x}", text)


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the question whether the nearest name was meant, ``otherwise`` if none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}? " if near else otherwise


def reason_of(error: BaseException) -> str:
    """Return what an exception of somebody else's code says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def machine_fault(error: BaseException | None) -> OSError | None:
    """Return the failure of the machine that an error was raised for; None where it is another's.

    Too many open files, a full or failing disk, no memory: whatever was read or written when it
    happened may be sound.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def optional_import(message: str) -> Iterator[None]:
    """Import, within the block, a package that need not be installed.

    Raises:
        ConfigError: it is not; ``message`` says what needs it and how to install it, and may show
            the failure itself as ``{error}``.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(message.replace("{error}", str(error))) from error


def user_message(error: BaseException) -> str | None:
    """Return the one line to show for an error a user can fix, None for a bug.

    It looks at what the error was raised from, too: fairseq replaces any failure to load weights
    by a sentence of its own, and the cause with the names of the keys is still in the chain. A
    full disk, a missing permission and the like are errors that a user can fix.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, BiomedGPTError):
        found = found.__cause__ or found.__context__
    if found is not None:
        # torch's DataLoader makes the traceback of its worker the message; its end is ours.
        name = f"{type(found).__module__}.{type(found).__qualname__}: "
        message = str(found).rpartition(name)[2].strip()
        return _LISTED.join(map(printable, message.split(_LISTED)))
    if isinstance(error, OSError) and error.strerror is not None:
        name = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return printable(f"{name}{error.strerror}")
    return None
