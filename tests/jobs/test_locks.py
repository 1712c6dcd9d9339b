"""Locks between processes, and after one is killed."""

import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from biomedgpt import locks
from biomedgpt.errors import ConfigError
from biomedgpt.locks import locked

CONTEXT = multiprocessing.get_context("spawn")


def hold(path: Path, connection: Connection) -> None:
    with locked(path, what="runs/a", remedy="wait"):
        connection.send("held")
        connection.recv()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that holds ``tmp_path / "lock"`` until it is told to stop."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=hold, args=(tmp_path / "lock", theirs))
    process.start()
    assert ours.recv() == "held"
    yield process, ours
    process.kill()
    process.join()


def test_a_second_process_is_refused_and_told_by_whom(
    holder: tuple[BaseProcess, Connection], tmp_path: Path
) -> None:
    process, connection = holder
    said = rf"^runs/a is in use by process {process.pid} on {socket.gethostname()} since .*; wait$"
    for _ in range(2):  # to be refused does not take it away
        with (
            pytest.raises(ConfigError, match=said),
            locked(tmp_path / "lock", what="runs/a", remedy="wait"),
        ):
            pytest.fail("two hold one lock")
    connection.send("stop")
    process.join()
    with locked(tmp_path / "lock", what="runs/a", remedy="wait"):
        pass
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_lets_go(
    number: signal.Signals, holder: tuple[BaseProcess, Connection], tmp_path: Path
) -> None:
    process, _ = holder
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    with locked(tmp_path / "lock", what="runs/a", remedy="wait"):
        pass


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock", what="runs/a", remedy="wait"),
        pytest.raises(ConfigError, match="in use by this process"),
        locked(tmp_path / "lock", what="runs/a", remedy="wait"),
    ):
        pytest.fail("held twice")


@pytest.mark.parametrize("age", [0, 600])
def test_a_dead_machine_is_recognised(age: int, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"process": 7, "machine": "node7", "since": "monday", "job": ""}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    if age > locks.DEAD_AFTER:
        with locked(path, what="runs/a", remedy="wait"):
            assert json.loads(path.read_text())["process"] == os.getpid()
        return
    said = f"process 7 on node7 since monday .*remove {path}"
    with pytest.raises(ConfigError, match=said), locked(path, what="runs/a", remedy="wait"):
        pytest.fail("taken from a living machine")
    assert json.loads(path.read_text())["machine"] == "node7"


def test_machines_of_one_job_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    content = json.dumps({"process": 7, "machine": "node7", "since": "monday", "job": "42"})
    path.write_text(content)
    monkeypatch.setenv(locks.JOB, "42")
    with locked(path, what="runs/a", remedy="wait"):
        assert path.read_text() == content
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "\0" * 9])
def test_a_damaged_lock_of_nobody_is_replaced(content: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(content)
    with locked(path, what="runs/a", remedy="wait"):
        assert json.loads(path.read_text())["process"] == os.getpid()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    said = (
        r"^runs/a: cannot be written \(No such file or directory\); fix that, or write elsewhere$"
    )
    with (
        pytest.raises(ConfigError, match=said),
        locked(tmp_path / "none" / "lock", what="runs/a", remedy="wait"),
    ):
        pytest.fail("locked nothing")
