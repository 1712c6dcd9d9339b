"""How the commands begin and end, whatever they do in between."""

import os
import random
import signal
import sys
import threading
from pathlib import Path

import pytest

from biomedgpt.cli import main as cli
from biomedgpt.cli.data_shared import print_limited, print_warnings, table
from biomedgpt.cli.entry import resumable, run_command
from biomedgpt.errors import CheckpointError, DataError, user_message
from biomedgpt.report.html import render


@pytest.mark.parametrize(("words", "command"), [([], "doctor"), (["data"], "prepare")])
def test_without_a_subcommand_the_help_is_shown(
    words: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: biomedgpt")
    assert command in captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lern"], "error: argument COMMAND: invalid choice: 'lern'"),
        (["data", "check", "x", "--foo"], "error: unrecognized arguments: --foo; see biomedgpt --"),
        (
            ["data", "prepare", "phantoms", "--out", "x", "--seed", "one"],
            "invalid int value: 'one'; see biomedgpt data prepare --help",
        ),
    ],
)
def test_bad_words_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_failures_of_the_file_system_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read() -> int:
        return len((tmp_path / "none").read_bytes())

    assert run_command(read) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'none'}: No such file or directory\n"


def test_interrupting_is_no_traceback_but_a_bug_is(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    def fail() -> int:
        raise ZeroDivisionError

    assert run_command(interrupt) == 130
    assert capsys.readouterr().err == "interrupted\n"
    with pytest.raises(ZeroDivisionError):
        run_command(fail)


def test_user_errors_are_found_under_what_fairseq_makes_of_them() -> None:
    def load() -> None:
        try:
            raise CheckpointError("keys are missing")
        except Exception:
            raise RuntimeError("Cannot load model parameters")  # noqa: B904  (as fairseq does)

    with pytest.raises(RuntimeError) as caught:
        load()
    assert user_message(caught.value) == "keys are missing"
    assert user_message(ValueError("a bug")) is None


def test_of_the_traceback_of_a_worker_only_the_message_is_shown() -> None:
    error = DataError(
        "Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call "
        "last):\n  ...\nbiomedgpt.errors.DataError: a.h5: row 3: damaged image\n"
    )
    assert user_message(error) == "a.h5: row 3: damaged image"


HIDDEN = "\x00\a\b\x1b\x7f\x9b\u200f\u202e\u2066\u2028\udcff"
"""One of each kind: a terminal's commands, the order of what is shown, bytes that are no UTF-8."""


@pytest.mark.parametrize("seed", range(10))
def test_names_and_cells_control_no_terminal(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(seed)
    name = "".join(draw.choices(f"{HIDDEN}ab\u00e9/", k=12)) + draw.choice(HIDDEN)

    def command() -> int:
        print(table(["name\n", "rows"], [[f"{name}\n\t", 1]]))
        print(name, file=draw.choice([sys.stdout, sys.stderr]))
        sys.stdout.writelines([name])
        print_limited("lines", [f"{name}\r\n"])
        print_warnings([f"{name}\n"])
        raise DataError(f"{name}\nsecond: bad")

    assert run_command(command) == 1
    shown = capsys.readouterr()
    assert not set(HIDDEN) & set(shown.out + shown.err)
    said = shown.err.splitlines()[-1]
    assert said.startswith("error: ")
    assert said.endswith("\\u000asecond: bad")  # on one line
    warning = next(line for line in shown.err.splitlines() if line.startswith("warning: "))
    assert warning.endswith("\\u000a")
    for one in set(name) & set(HIDDEN):
        assert f"\\u{ord(one):04x}" in said
    missing = OSError(2, "No such file", f"{name}.png")
    assert not set(HIDDEN) & set(user_message(missing) or "")


def test_a_report_hides_nothing() -> None:
    page = render("base.html", title=f"run{HIDDEN}")
    assert not set(HIDDEN) & set(page)
    assert "run\\u0000\\u0007" in page


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_an_interrupt_that_python_drops_comes_again(number, status, word, capsys):
    """One that comes while an object is freed, where whatever is raised is dropped."""

    class Freed:
        def __del__(self):
            os.kill(os.getpid(), number)
            self.freed = True

    def command():
        Freed()
        threading.Event().wait(60)
        pytest.fail("went on")

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGALRM)}
    try:
        assert run_command(command) == status
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert capsys.readouterr().err == f"{word}\n"


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_an_interrupt_stays_one_where_a_library_makes_an_error_of_it(number, status, said, capsys):
    """As torch does whose file is not finished, and as others do without a word of the cause."""

    def broken_off():
        with resumable("give it again"):
            try:
                os.kill(os.getpid(), number)
                threading.Event().wait(60)
            except KeyboardInterrupt:
                pass
            raise RuntimeError("unexpected pos 9984512")

    def bad():
        raise RuntimeError("a bug")

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert run_command(broken_off) == status
        assert capsys.readouterr().err == f"{said}; give it again\n"
        with pytest.raises(RuntimeError, match="a bug"):  # the next command knows nothing of it
            run_command(bad)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
