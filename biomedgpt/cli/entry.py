"""How every command begins and ends: options judged in one line, and so are failures."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NoReturn, TextIO, cast

from biomedgpt.errors import TERMINATED, printable, user_message


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the options."""

    def error(self, message: str) -> NoReturn:
        """End with status 2, as argparse does, but without the usage in front."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def add_commands(parser: argparse.ArgumentParser) -> Any:
    """Return where to add subcommands; without one the help is shown, with status 2."""

    def show_help(args: argparse.Namespace) -> int:
        del args
        parser.print_help(sys.stderr)
        return 2

    parser.set_defaults(func=show_help)
    return parser.add_subparsers(metavar="COMMAND")


def run_command(command: Callable[[], int | None]) -> int:
    """Call ``command`` and return the exit status, 0 where it returns none.

    Errors a user can fix become one line on standard error and status 1; bugs keep their
    traceback. A reader that closes the pipe (``| head``) ends the command without a word. SIGTERM
    ends it as Ctrl-C does: what is half done is removed, or kept for the next call. Whatever is
    printed, nothing in it controls the terminal.
    """
    if threading.current_thread() is threading.main_thread():
        _come.clear()
        signal.signal(signal.SIGTERM, _terminate)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
    out, err = PlainStream(sys.stdout, keep="\n\t"), PlainStream(sys.stderr, keep="\n\t\r")
    with redirect_stdout(cast(TextIO, out)), redirect_stderr(cast(TextIO, err)), _insisting():
        return _run(command)


_come: list[type[KeyboardInterrupt]] = []
"""The interrupts that have come: what they break off may end in an error of its own instead."""


class PlainStream:
    """A text stream that shows control characters instead of sending them.

    Args:
        stream: where the text goes.
        keep: control characters that are sent: those that progress is shown with.
    """

    def __init__(self, stream: TextIO, *, keep: str) -> None:
        self._stream = stream
        self._keep = keep

    def write(self, text: str) -> int:
        """Write a text and return its length."""
        self._stream.write(printable(text, keep=self._keep))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _run(command: Callable[[], int | None]) -> int:
    try:
        status = command() or 0
        sys.stdout.flush()  # a closed pipe or a full disk shows here, not when Python exits
    except BrokenPipeError:
        _drop_output()
        return 1
    except KeyboardInterrupt as interrupt:
        return _end(interrupt)
    except Exception as error:
        if _come:
            return _end(KeyboardInterrupt())
        message = user_message(error)
        if message is None:
            raise
        if isinstance(error, OSError):
            _drop_output()  # standard output itself may be what cannot be written
        print(f"error: {message}", file=sys.stderr)
        return 1
    return status


@contextmanager
def resumable(hint: str = "give the command again: it goes on from there") -> Iterator[None]:
    """Let an interrupt say what is left, unless it does already."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt) or hint) from interrupt
    except Exception as error:
        if not _come:
            raise
        raise KeyboardInterrupt(hint) from error


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the next one does not wait for anything
    _come.append(Terminated)
    raise Terminated


def _interrupt(*_: object) -> None:
    _come.append(KeyboardInterrupt)
    raise KeyboardInterrupt


def _end(interrupt: KeyboardInterrupt) -> int:
    """Say in one line how a command was ended; return its exit status."""
    how, status = ("terminated", TERMINATED) if Terminated in _come else ("interrupted", 130)
    hint = f"; {interrupt}" if str(interrupt) else ""
    print(f"{how}{hint}", file=sys.stderr)
    return status


@contextmanager
def _insisting() -> Iterator[None]:
    """Let an interrupt come again that Python has dropped.

    It drops all that is raised in what it calls on its own, as when an object is freed.
    """
    usual = sys.unraisablehook

    def again(dropped: Any) -> None:
        error = dropped.exc_value
        if not isinstance(error, KeyboardInterrupt):
            usual(dropped)
            return

        def interrupt(*_: object) -> NoReturn:
            raise type(error)

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # not at once, which would be here

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = usual


def _drop_output() -> None:
    """Write nothing more if that fails: Python flushes at exit, and would fail once again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
