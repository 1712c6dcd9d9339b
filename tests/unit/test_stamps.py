"""What is noted of a file holds until the file changes, whatever kind of change it is."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from biomedgpt.files import file_hash
from biomedgpt.stamps import forget, stamped, stamped_hash

LONG_AGO = (1_600_000_000, 1_600_000_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.h5"
    path.write_bytes(b"content")
    os.utime(path, LONG_AGO)
    return path


def reads(path: Path) -> int:
    """Return how often the file is read to find something of it."""
    count = 0

    def find(path: Path) -> str:
        nonlocal count
        count += 1
        return path.read_text()

    stamped(path, "text", find)
    return count


def test_a_file_is_read_once(file: Path) -> None:
    assert [reads(file), reads(file)] == [1, 0]
    assert stamped_hash(file) == stamped_hash(file) == file_hash(file)
    assert reads(file) == 0  # one thing that is found does not lose the other


@pytest.mark.parametrize("how", ["in place", "same time", "replaced", "copied", "longer"])
def test_every_change_is_seen(file: Path, how: str) -> None:
    assert reads(file) == 1
    match how:
        case "in place":
            with file.open("r+b") as opened:
                opened.write(b"x")
        case "same time":  # and the same size
            file.write_bytes(b"CONTENT")
            os.utime(file, LONG_AGO)
        case "replaced":
            other = file.with_name("other")
            other.write_bytes(b"CONTENT")
            os.utime(other, LONG_AGO)
            other.replace(file)
        case "copied":
            shutil.copytree(file.parent, file.parent / "copy")
            file = file.parent / "copy" / file.name
        case "longer":
            with file.open("ab") as opened:
                opened.write(b"x")
    assert reads(file) == 1


def test_what_has_just_been_written_is_not_trusted(file: Path) -> None:
    os.utime(file)
    assert [reads(file), reads(file)] == [1, 1]


def test_a_failure_and_a_damaged_stamp_are_not_noted(file: Path) -> None:
    def fail(path: Path) -> str:
        raise ValueError(path)

    for _ in range(2):
        with pytest.raises(ValueError, match="train"):
            stamped(file, "text", fail)
    file.with_name(".train.h5.stamp").write_text("[1")
    assert [reads(file), reads(file)] == [1, 0]


def test_of_a_folder_that_cannot_be_written_it_is_noted_in_the_cache(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write = Path.write_text

    def refuse(path: Path, *args: Any, **options: Any) -> int:
        if path.parent == file.parent:
            raise PermissionError(13, "Permission denied")
        return write(path, *args, **options)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert [reads(file), reads(file)] == [1, 0]
    forget(file)
    assert [reads(file), reads(file)] == [1, 0]
    with file.open("ab") as opened:
        opened.write(b"x")
    os.utime(file, LONG_AGO)
    assert [reads(file), reads(file)] == [1, 0]


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert [reads(file), reads(file)] == [1, 1]
