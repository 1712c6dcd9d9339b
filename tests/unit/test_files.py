"""Files appear complete or not at all."""

import errno
import os
from pathlib import Path

import pytest

from biomedgpt.errors import ConfigError
from biomedgpt.files import atomic_folder, atomic_path


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
