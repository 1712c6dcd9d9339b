"""Every command that writes, on a disk that is full: one line, and what was there is still there.

The disk is a small one in memory, which only root may mount.
"""

import argparse
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from writing_commands import JOBS, LARGE, NOTHING, Job, samples_in

from biomedgpt.cli.main import build_parser, main

SIZE = LARGE // 2
LONG = ("data prepare", "corpus prepare", "vqgan train", "convert", "predict", "evaluate", "fetch")
"""Commands that are also looked at when the disk is full half way."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path]]:
    """What the commands read, by the name that stands for it in `JOBS`."""
    with samples_in(tmp_path_factory.mktemp("samples")) as samples:
        yield samples


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to be root to mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, *, free: int) -> None:
    """Let so many bytes of a disk be free, in whole pages."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(file.tell() - free, 0))


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the names of all commands, those within others after them."""
    inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not inner:
        yield " ".join(path)
    for one in inner:
        for name, command in one.choices.items():
            yield from commands(command, (*path, name))


def test_every_command_is_looked_at() -> None:
    assert {*JOBS, *NOTHING} == set(commands(build_parser()))
    assert not JOBS.keys() & set(NOTHING)


@pytest.mark.parametrize(
    ("command", "job", "free"),
    [
        pytest.param(command, job, free, id=f"{command} {job.words} {free}")
        for command, jobs in JOBS.items()
        for job in jobs
        for free in ((0, 100_000) if command in LONG else (0,))
    ],
)
def test_a_full_disk_is_one_line(
    samples: Mapping[str, Path],
    disk: Path,
    command: str,
    job: Job,
    free: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    job.bring(samples, disk)
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    fill(disk, free=free)
    status = main([*command.split(), *job.arguments(samples, disk)])
    said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("note: ")]
    if free:
        assert status == 0 or len(said) == 1, said
    else:
        assert status == 1
        assert len(said) == 1, said
    if status:
        assert said[0].startswith("error: ")
        after = {path: path.read_bytes() for path in before}
        assert after == before
        left = {path for path in disk.rglob("*") if path.is_file()} - before.keys()
        left -= {disk / "filler"}
        kept = {path for path in left if any(path.match(one) for one in job.keeps)}
        assert left == kept, left
