"""Reading torch files of unknown origin: tensors and plain values, and nothing is executed.

torch's restricted reader (``weights_only``) makes tensors, containers and numbers. Beside these a
file may name classes of the program that wrote it; those listed by the caller become `Inert`
objects, which keep no state and run no code, and any other is refused.
"""

import pickle
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biomedgpt.errors import CheckpointError

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_PLACE_IN_TORCH = re.compile(r"^\[enforce fail at [^]]*\]\s*\.?\s*")
_NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")


class Inert:
    """Stands in for a class that a file names; ignores what it is given."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        del state


def read_torch_file(path: Path, *, inert: Iterable[str] = (), mend: str) -> dict[str, Any]:
    """Read a file that ``torch.save`` wrote from a dict.

    Args:
        path: the file.
        inert: full names of classes that are replaced by `Inert`.
        mend: what to do about a file that cannot be used, for the message.

    Raises:
        CheckpointError: it is missing, damaged, not a dict, or names a class that is not listed.
    """
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [
        np.dtype,
        *(type(np.dtype(code)) for code in _NUMPY_TYPES),
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),  # the name numpy 1 wrote into files
        *((Inert, name) for name in inert),
    ]
    try:
        with (
            path.open("rb") as file,
            torch.serialization.safe_globals(allowed),
            warnings.catch_warnings(),
        ):
            # Of a pickle protocol that torch does not write; the error says what matters.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; {mend}") from None
    except pickle.UnpicklingError as error:
        # torch's advice is to turn the check off; that must not reach the user.
        found = _GLOBAL.search(str(error))
        what = f"it asks for {found[1]}" if found else "it is damaged, or no torch file"
        raise CheckpointError(
            f"{path}: refused, {what}; nothing was executed. Do not trust this file; {mend}"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        reason = _PLACE_IN_TORCH.sub("", reason).partition(". ")[0]
        raise CheckpointError(f"{path}: damaged or truncated ({reason}); {mend}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a checkpoint (no names in it); {mend}")
    return content
