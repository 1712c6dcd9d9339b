"""Files appear complete or not at all."""

import errno
import os
import socket
from pathlib import Path

import pytest

from biomedgpt import files
from biomedgpt.errors import ConfigError
from biomedgpt.files import atomic_folder, atomic_path, scratch_folder

HERE = socket.gethostname().replace(".", "_")
DEAD = 2**22 + 1
"""No process has this number."""
LONG_AGO = (1_600_000_000, 1_600_000_000)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ConfigError, match=r"cannot write .*score\.json: No space left on device"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["none/x.json", ""])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot write"), atomic_path(tmp_path / name):
        pass


def test_a_folder_is_replaced_as_a_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with atomic_folder(folder) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(ConfigError, match="exists; give --overwrite"), atomic_folder(folder):
        pass

    def write(*names: str) -> None:
        with atomic_folder(folder, overwrite=True) as temporary:
            for name in names:
                (temporary / name).write_text("new")

    with pytest.raises(ConfigError, match=r"cannot write .*model: No such file"):
        write("new", "no folder/new")
    assert [path.name for path in folder.iterdir()] == ["old"]
    write("new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def leave(path: Path, *, at: tuple[int, int] | None = None) -> Path:
    """Make what a killed process has left: a folder with a file."""
    path.mkdir()
    (path / "half").write_text("ha")
    if at is not None:
        os.utime(path, at)
    return path


def test_what_killed_processes_left_goes_and_nothing_else(tmp_path: Path) -> None:
    gone = [
        leave(tmp_path / f".data.{HERE}-{DEAD}.tmp"),
        leave(tmp_path / f".my.data.csv.{DEAD}.tmp"),  # of an earlier version
        leave(tmp_path / ".other.elsewhere-1.tmp", at=LONG_AGO),
    ]
    kept = [
        leave(tmp_path / f".data.{HERE}-{os.getpid()}.tmp"),
        leave(tmp_path / f".data.{HERE}-1.tmp"),  # of a process of somebody else
        leave(tmp_path / ".other.elsewhere-2.tmp"),  # still being written, for all we know
        leave(tmp_path / ".notes.tmp"),
        leave(tmp_path / "data.7.tmp"),
    ]
    with atomic_path(tmp_path / "score.json") as temporary:
        temporary.write_text("new")
    assert not [path for path in gone if path.exists()]
    assert all((path / "half").read_text() == "ha" for path in kept)


def test_who_alone_writes_a_folder_knows_what_is_left_of_it(tmp_path: Path) -> None:
    """Whatever the machine, as of containers, of which each has a name of its own."""
    left = leave(tmp_path / ".model.elsewhere-2.tmp")
    other = leave(tmp_path / ".model2.elsewhere-2.tmp")
    with atomic_folder(tmp_path / "model") as temporary:
        assert not left.exists()
        with (
            pytest.raises(ConfigError, match=r"model is in use by this process; wait for its end"),
            atomic_folder(tmp_path / "model"),
        ):
            pytest.fail("two write one folder")
        (temporary / "new").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"model", other.name}


@pytest.mark.parametrize("swaps", [True, False])
def test_the_old_folder_is_there_until_the_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool
) -> None:
    """Killed between any two steps: the one or the other has the name, or gets it back."""
    folder = tmp_path / "model"
    leave(folder)
    if not swaps:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    elif not files._exchange(folder, folder):
        pytest.skip("this system cannot swap two folders")

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    # The first step after which there are two: the old one is removed, or the new one moved in.
    if swaps:
        monkeypatch.setattr(files, "remove", kill)
    else:
        made = []
        monkeypatch.setattr(Path, "rename", lambda path, to: made.append(to) or kill())
    monkeypatch.setattr(files, "_beside", lambda path, end: path.with_name(f".model.{DEAD}.{end}"))
    with pytest.raises(Killed), atomic_folder(folder, overwrite=True) as temporary:
        (temporary / "new").write_text("new")
    monkeypatch.undo()
    if not swaps:  # as if the first rename had been made
        folder.rename(made[0])
    files._tidied.clear()
    with atomic_path(tmp_path / "score.json") as path:
        path.write_text("1")
    assert [path.name for path in folder.iterdir()] == (["new"] if swaps else ["half"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "score.json"]


def test_scratch_of_killed_processes_goes_and_nothing_else(tmp_path: Path) -> None:
    gone = leave(tmp_path / f".biomedgpt-a1.{HERE}-{DEAD}.tmp")
    kept = [
        leave(tmp_path / f".biomedgpt-a2.{HERE}-{os.getpid()}.tmp"),
        leave(tmp_path / f".another-program.{DEAD}.tmp"),
    ]
    with scratch_folder(tmp_path) as folder:
        (folder / "file").write_text("1")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not gone.exists()
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_the_lock_of_a_killed_process_goes_when_all_is_written(tmp_path: Path) -> None:
    folder, lock = leave(tmp_path / "model"), tmp_path / ".model.lock"
    lock.write_text(f'{{"process": {DEAD}, "machine": "{socket.gethostname()}"}}')
    with pytest.raises(ConfigError, match="exists; give --overwrite"), atomic_folder(folder):
        pass
    assert list(tmp_path.iterdir()) == [folder]
