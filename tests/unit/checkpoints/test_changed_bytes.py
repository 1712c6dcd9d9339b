"""A changed byte is refused, in whatever file of weights it is, or means nothing."""

import os
import zipfile
from pathlib import Path

import changed_bytes
import pytest
import torch

from biomedgpt.checkpoints import torch_file
from biomedgpt.checkpoints.torch_file import read_torch_file
from biomedgpt.errors import CheckpointError


@pytest.mark.parametrize("name", changed_bytes.KINDS)
def test_no_changed_byte_goes_unnoticed(tmp_path: Path, name: str) -> None:
    found = changed_bytes.outcomes(name, tmp_path, count=12, seed=2)
    assert not any(found[one] for one in changed_bytes.BAD), found
    assert found["refused"] > 6, found  # few bytes mean nothing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint_best.pt"
    torch.save({"model": {"a": torch.arange(1000.0)}}, path)
    os.utime(path, changed_bytes.LONG_AGO)
    return path


def flip_weight(path: Path) -> None:
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        place = content.index(archive.read("checkpoint_best/data/0")) + 401
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def test_a_changed_weight_is_one_line_that_names_its_record(file: Path) -> None:
    flip_weight(file)
    with pytest.raises(CheckpointError, match=r"damaged .*data/0.*; get it again") as caught:
        read_torch_file(file, fix="get it again")
    assert "\n" not in str(caught.value)


def test_a_file_is_read_against_its_checksums_once(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_torch_file(file, fix="")
    monkeypatch.setattr(torch_file, "_check_archive", lambda _: pytest.fail("read in whole again"))
    read_torch_file(file, fix="")


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    """torch leaves them out if it is asked to; then none is wrong."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(read_torch_file(tmp_path / "a.pt", fix="")["a"], torch.ones(3))
