"""What the machine fails in (files open, memory, a disk) is never a bad row that can be skipped."""

import builtins
import errno
import io
import random
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from preparing import run
from raw_releases.all import build, builders

from biomedgpt.data.registry import get_spec
from biomedgpt.data.rows import Skipped
from biomedgpt.errors import DataError, machine_fault, user_message

FAULTS = (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.ENOSPC)
TRIED = 6
"""Opened files of each release that cannot be opened once."""


@contextmanager
def failing(folder: Path, at: int | None, number: int) -> Iterator[list[str]]:
    """Let the ``at``-th opening of a file below a folder fail, once; gives the files opened."""
    opened: list[str] = []
    true_open = io.open

    def open_or_fail(file: Any, *args: Any, **options: Any) -> Any:
        if isinstance(file, str | Path) and Path(file).is_relative_to(folder):
            opened.append(str(file))
            if len(opened) - 1 == at:
                raise OSError(number, "the fault", str(file))
        return true_open(file, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((io, "open"), (builtins, "open"), (tarfile, "bltn_open")):
            patch.setattr(module, name, open_or_fail)
        yield opened


@pytest.mark.parametrize("name", sorted(builders()))
def test_a_file_that_cannot_be_opened_for_a_moment_is_not_left_out(
    name: str, tmp_path: Path
) -> None:
    raw = build(name, tmp_path / "raw")
    parts = get_spec(name).parts
    options: dict[str, Any] = {"skip_bad": True} | ({"part": next(iter(parts))} if parts else {})
    with failing(raw, None, 0) as opened:
        whole = run(name, raw, tmp_path / "whole", **options)
    draw = random.Random(name)
    for at in draw.sample(range(len(opened)), min(TRIED, len(opened))):
        out = tmp_path / f"out{at}"
        caught: Exception | None = None
        try:
            with failing(raw, at, draw.choice(FAULTS)):
                card = run(name, raw, out, **options)
        except Exception as error:
            caught = error
        if caught is None:
            assert card == whole, opened[at]
            continue
        message = user_message(caught)
        assert message is not None, opened[at]
        assert "\n" not in message
        assert "--skip-bad" not in message
        assert machine_fault(caught) is not None
        assert not out.exists()


def unreadable(number: int) -> None:
    try:
        raise OSError(number, "fault")
    except OSError as error:
        raise DataError("row 1: no image") from error


def note_unreadable(skipped: Skipped, number: int) -> None:
    try:
        raise OSError(number, "fault")
    except OSError as error:
        skipped.take(DataError(f"row 1: {error}"))


@pytest.mark.parametrize("number", FAULTS)
def test_a_fault_is_raised_even_where_bad_rows_are_skipped(number: int) -> None:
    skipped = Skipped(allowed=True)
    with pytest.raises(DataError, match=r"row 1: .*the machine's fault"), skipped.catching():
        unreadable(number)
    with pytest.raises(DataError, match=r"row 1: .*the machine's fault"):
        note_unreadable(skipped, number)
    with skipped.catching():
        unreadable(errno.ENOENT)
    assert skipped.reasons == ["row 1: no image"]
