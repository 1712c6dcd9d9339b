"""Torch files: reading those of unknown origin, of which nothing is executed, and writing.

torch's restricted reader (``weights_only``) makes tensors, containers and numbers. Beside these a
file may name classes of the program that wrote it; those listed by the caller become `Inert`
objects, which run no code, and any other is refused. Nothing is allocated that is larger than what
lies in the file.

torch writes a checksum of every record and looks at none, so that a changed byte would be a changed
weight: they are looked at here. Files in torch's layout from before 2020 have none.
"""

import argparse
import collections
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biomedgpt.errors import CheckpointError, reason_of
from biomedgpt.stamps import stamped

PACKAGES = (
    *("argparse", "omegaconf", "fairseq", "fairseq_cli", "numpy", "typing", "pathlib"),
    *("tasks", "models", "data", "criterions", "utils", "ofa_module", "module", "trainer"),
)
"""Packages of fairseq and the published code, and what they kept options in: in checkpoints of
theirs and ours, their classes become `Inert`."""

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_PLACE_IN_TORCH = re.compile(r"^\[enforce fail at [^]]*\]\s*\.?\s*")
_NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")
_CONTAINERS = (collections.defaultdict, dict, list, int, float, str, bool)
_CHECKED = "zip crc"  # what a file is noted to have
_PIECE = 1 << 22  # bytes
_DEEPEST = 30  # levels of options in options; beyond it a file is up to something


class Inert:
    """Stands in for a class that a file names; keeps what it is given and does nothing with it."""

    # Unpickling makes objects without __init__.
    arguments: tuple[object, ...] = ()
    state: object = None

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: object) -> None:
        self.state = state


def plain(value: object, *, depth: int = 0) -> Any:
    """Return options as plain values: numbers, texts, lists and dicts; None for all else.

    What argparse and omegaconf kept options in (see `Inert`) is unfolded.
    """
    if value is None or isinstance(value, bool | int | float | str) or depth > _DEEPEST:
        return value if depth <= _DEEPEST else None
    if isinstance(value, list | tuple):
        return [plain(one, depth=depth + 1) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one, depth=depth + 1) for key, one in value.items()}
    if isinstance(value, Inert):
        state, arguments = value.state, value.arguments
    elif isinstance(value, argparse.Namespace) or type(value).__module__.startswith("omegaconf."):
        # A program that allows these classes itself gets real ones.
        state, arguments = vars(value), ()
    else:
        return None
    if isinstance(state, dict):
        inner = next((state[key] for key in ("_content", "_val") if key in state), state)
        return plain(inner, depth=depth + 1)
    return plain(arguments[0], depth=depth + 1) if arguments else None


def read_torch_file(
    path: Path,
    *,
    inert: Iterable[str] = (),
    packages: Iterable[str] = (),
    mapped: bool = True,
    fix: str,
) -> dict[str, Any]:
    """Read a file that ``torch.save`` wrote from a dict.

    Args:
        path: the file.
        inert: full names of classes that are replaced by `Inert`.
        packages: top-level packages whose classes are replaced, too, whatever they are called.
        mapped: leave tensors in the file until they are used; what is not looked at, mostly the
            optimizer's state, then takes no memory. The file must stay what it is meanwhile.
        fix: what to do about a file that cannot be used, for the message.

    Raises:
        CheckpointError: it is missing, damaged (as a record without its checksum is), not a dict,
            or names a class that is not listed.
    """
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [
        *_CONTAINERS,
        np.dtype,
        *(type(np.dtype(code)) for code in _NUMPY_TYPES),
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),  # the name numpy 1 wrote into files
        *((Inert, name) for name in inert),
    ]
    try:
        if zipfile.is_zipfile(path):
            stamped(path, _CHECKED, _check_archive)
        content = _load(path, allowed, frozenset(packages), mapped=mapped)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; {fix}") from None
    except pickle.UnpicklingError as error:
        # torch's advice is to turn the check off; that must not reach the user.
        found = _GLOBAL.search(str(error))
        what = f"it asks for {found[1]}" if found else "it is damaged, or no torch file"
        raise CheckpointError(
            f"{path}: refused, {what}; nothing was executed. Do not trust this file; {fix}"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        reason = _PLACE_IN_TORCH.sub("", reason).partition(". ")[0]
        raise CheckpointError(f"{path}: damaged or truncated ({reason}); {fix}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a checkpoint (no names in it); {fix}")
    return content


def named_classes(path: Path) -> list[str]:
    """Return the names that a file asks for beyond what torch itself needs; nothing is loaded.

    Empty for files in torch's layout from before 2020, which has no list of them.
    """
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
        return []


def tensors(values: object, *, where: str) -> dict[str, Tensor]:
    """Return a dict of tensors as it is.

    Raises:
        CheckpointError: it is something else, or a tensor claims more values than are stored.
    """
    if not isinstance(values, Mapping) or not all(isinstance(v, Tensor) for v in values.values()):
        raise CheckpointError(f"{where}: expected weights by name, and found something else")
    for key, value in values.items():
        if value.layout is not torch.strided or value.is_quantized:
            raise CheckpointError(f"{where}: {key} is a sparse or quantized tensor")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{where}: {key} claims more values than the file holds")
    return {key: value.detach() for key, value in values.items()}


def write_torch_file(content: Mapping[str, Any], path: Path) -> None:
    """Write what `read_torch_file` reads.

    Raises:
        OSError: it cannot be written. torch's own error for that has no number and many lines.
    """
    with path.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _check_archive(path: Path) -> str:
    """Read an archive against its checksums; return whether it has any.

    Raises:
        RuntimeError: a record does not have its checksum, or the archive unpacks to more than it
            is: torch stores its data as they are.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > path.stat().st_size:
                raise RuntimeError(
                    f"an archive that unpacks to {unpacked:,} bytes, which torch never does"
                )
            # torch.serialization.set_crc32_options(False) leaves them out, all of them.
            if not any(entry.CRC for entry in entries):
                return "none"
            for entry in entries:
                with archive.open(entry) as record:
                    size = sum(map(len, iter(partial(record.read, _PIECE), b"")))
                if size != entry.file_size:
                    raise RuntimeError(f"{entry.filename} is not as long as it should be")
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise RuntimeError(reason_of(error)) from error
    return "right"


def _load(path: Path, allowed: list[Any], packages: frozenset[str], *, mapped: bool) -> Any:
    """Load with the allow-list, and with stand-ins for the classes of packages."""
    with _allowing(allowed):
        names = {name for name in named_classes(path) if _is_of(name, packages)}
    mapped = mapped and zipfile.is_zipfile(path)  # the older layout cannot be mapped
    while True:
        listed = [*allowed, *((Inert, name) for name in sorted(names))]
        with _allowing(listed), warnings.catch_warnings():
            # Of a pickle protocol that torch does not write; the error says what matters.
            warnings.simplefilter("ignore", UserWarning)
            try:
                return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped)
            except pickle.UnpicklingError as error:
                # The older layout has no list of names: they turn up one after the other.
                found = _GLOBAL.search(str(error))
                if found is None or found[1] in names or not _is_of(found[1], packages):
                    raise
                names.add(found[1])


@contextmanager
def _allowing(classes: list[Any]) -> Iterator[None]:
    """Add classes to torch's allow-list for a while.

    torch's own context takes them off at the end, even those that were on the list before.
    """
    before = torch.serialization.get_safe_globals()
    try:
        with torch.serialization.safe_globals(classes):
            yield
    finally:
        torch.serialization.add_safe_globals(before)


def _is_of(name: str, packages: frozenset[str]) -> bool:
    return name.partition(".")[0] in packages
