"""Kills every command that writes, again and again, and looks at what it leaves.

    PYTHONPATH=tests/helpers python tests/helpers/kill_trials.py --count 20

After a kill each output is whole or absent. After the same command again all of them are whole and
those of a run that was not interrupted, and nothing is left over. Half of the kills come at a step
of the command in its files (something is opened, made, renamed or removed), the others at a time.
While the first process waits half way, a second one is refused, if the command has a lock.
"""

import argparse
import hashlib
import importlib
import os
import pkgutil
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads of torch's cannot fork
os.environ["no_proxy"] = "127.0.0.1"

from writing_commands import JOBS, Job, samples_in

import biomedgpt
from biomedgpt.cli.main import main as command
from biomedgpt.cli.score import main as score

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS = {signal.SIGTERM: (143, "terminated"), signal.SIGINT: (130, "interrupted")}
STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.utime")
MEANT = re.compile(r"\..+\.stamp|\..+\.lengths-[0-9a-f]+")
"""Names of what commands leave beside data on purpose."""
SEVERAL = ("vqgan train", "vqgan encode", "evaluate", "fetch", "calibrate")
"""Commands with outputs that appear one after the other, each of them whole or absent."""
DONE = re.compile(r"exists|holds|--overwrite")
"""What a command says that has nothing more to do."""
SCORE = Job("PREDICTED/predictions.jsonl --json DISK/out.json")


@dataclass(frozen=True)
class Writer:
    """A command, with its samples."""

    name: str
    command: str
    job: Job
    samples: Mapping[str, Path]

    def prepare(self, place: Path) -> None:
        """Make the folder that it writes into."""
        shutil.rmtree(place, ignore_errors=True)
        (place / "tmp").mkdir(parents=True)
        self.job.bring(self.samples, place)

    def call(self, place: Path) -> int:
        """Run the command in this process."""
        words = self.job.arguments(self.samples, place)
        if self.command == "score":
            return score("vqa", words)
        return command([*self.command.split(), *words])


@dataclass(frozen=True)
class Ending:
    """How a process ended."""

    status: int
    """As a shell gives it."""
    said: str
    steps: int
    seconds: float


def start(writer: Writer, place: Path, at: Callable[[str, str], None]) -> int:
    """Fork a process that runs a command; ``at`` is called before every step."""
    ready, says_so = os.pipe()
    process = os.fork()
    if process:
        os.close(says_so)
        os.read(ready, 1)
        os.close(ready)
        return process
    status = 70
    try:
        for number, name in ((1, "out"), (2, "err")):
            target = os.open(f"{place}.{os.getpid()}.{name}", os.O_CREAT | os.O_WRONLY)
            os.dup2(target, number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        tempfile.tempdir = os.environ["TMPDIR"] = str(place / "tmp")
        sys.addaudithook(_hook(place, at))
        os.write(says_so, b".")
        status = writer.call(place)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _hook(place: Path, at: Callable[[str, str], None]) -> Callable[[str, tuple[Any, ...]], None]:
    begins = str(place)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in STEPS:
            path = os.fsdecode(args[0]) if isinstance(args[0], str | bytes | os.PathLike) else ""
            if path.startswith(begins):
                at(event, path)

    return hook


def end_of(process: int, place: Path, since: float, steps: Path | None = None) -> Ending:
    """Wait for a process."""
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    said = Path(f"{place}.{process}.err")
    text = said.read_text(errors="replace") if said.exists() else ""
    for name in ("out", "err"):
        Path(f"{place}.{process}.{name}").unlink(missing_ok=True)
    count = steps.stat().st_size if steps is not None else 0
    return Ending(128 - code if code < 0 else code, text, count, time.monotonic() - since)


def run(writer: Writer, place: Path) -> Ending:
    """Run a command to its end, and count its steps."""
    counted = Path(f"{place}.steps")
    counted.write_bytes(b"")
    descriptor = os.open(counted, os.O_WRONLY | os.O_APPEND)
    since = time.monotonic()
    process = start(writer, place, lambda *_: os.write(descriptor, b".") and None)
    ending = end_of(process, place, since, counted)
    os.close(descriptor)
    return ending


def killed(writer: Writer, place: Path, number: int, *, step: int = 0, wait: float = 0) -> Ending:
    """Run a command that gets a signal at a step, or after a wait in seconds."""
    begun = 0

    def at(*_: str) -> None:
        nonlocal begun
        begun += 1
        if begun == step:
            os.kill(os.getpid(), number)

    since = time.monotonic()
    process = start(writer, place, at)
    if not step:
        time.sleep(wait)
        os.kill(process, number)
    return end_of(process, place, since)


def refused(writer: Writer, place: Path) -> str | None:
    """Stop a process that holds a lock, start a second; return what is wrong with its refusal.

    None where there is nothing wrong; ``no lock`` where there is none.
    """
    locked = stopped = False

    def at(event: str, path: str) -> None:
        nonlocal locked, stopped
        if stopped:
            return
        if locked and not (event == "os.remove" and path.endswith(".lock")):
            stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)
        locked = event == "open" and path.endswith(".lock")

    first = start(writer, place, at)
    if not os.WIFSTOPPED(os.waitpid(first, os.WUNTRACED)[1]):
        return "no lock"
    second = run(writer, place)
    os.kill(first, signal.SIGCONT)
    ended = end_of(first, place, time.monotonic())
    lines = said(second)
    whole = f"in use by process {first} on {socket.gethostname()} since "
    if second.status != 1 or len(lines) != 1 or whole not in lines[0]:
        return f"two at once: status {second.status}, {second.said!r}"
    return None if ended.status == 0 else f"the first of two: {ended.said!r}"


def listing(place: Path) -> dict[str, str]:
    """Return all that is in a folder with its hash; of folders the names of those left empty."""
    found = {}
    for path in sorted(place.rglob("*")):
        if MEANT.fullmatch(path.name) or "dask-scratch-space" in path.parts:
            continue
        if path.is_file():
            found[str(path.relative_to(place))] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.is_dir() and not any(path.iterdir()):
            found[f"{path.relative_to(place)}/"] = ""
    return found


def said(ending: Ending) -> list[str]:
    """Return the lines on standard error without notes."""
    return [line for line in ending.said.splitlines() if not line.startswith(("note: ", "warning"))]


def halves(
    writer: Writer, before: Mapping[str, str], expected: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[str]:
    """Yield the outputs that are neither whole nor absent."""
    new = {name for name in expected if before.get(name) != expected[name]}
    for name in new & after.keys():
        if after[name] not in (expected[name], before.get(name)) and expected[name] != "varies":
            yield name
    if writer.command not in SEVERAL:
        there = {name for name in new if after.get(name, before.get(name)) != before.get(name)}
        if there not in (set(), new):
            yield f"only {sorted(there)}"


def trials(writer: Writer, place: Path, count: int, seed: int, *, timed: bool) -> Iterator[str]:
    """Kill a command ``count`` times with each signal; yield all that is wrong."""
    draw = random.Random(f"{seed} {writer.name}")
    runs = []
    for _ in range(2):
        writer.prepare(place)
        before = listing(place)
        reference = run(writer, place)
        if reference.status:
            yield f"does not run: {reference.said}"
            return
        runs.append(listing(place))
    expected = {
        name: found if runs[0].get(name) == found else "varies" for name, found in runs[1].items()
    }
    varies = {name for name, found in expected.items() if found == "varies"}
    if varies:
        print(f"    no two runs write the same {', '.join(sorted(varies))}", flush=True)
    writer.prepare(place)
    wrong = refused(writer, place)
    if wrong not in (None, "no lock"):
        yield str(wrong)
    ends: Counter[str] = Counter()
    for number in SIGNALS:
        for trial in range(count):
            writer.prepare(place)
            if timed and trial % 2:
                moment: dict[str, Any] = {
                    "wait": draw.uniform(0.01, 0.01 + 0.9 * reference.seconds)
                }
            else:
                moment = {"step": draw.randint(1, reference.steps)}
            ending = killed(writer, place, number, **moment)
            where = f"{number.name} at {moment}: "
            status, word = ENDS.get(number, (137, ""))
            ends["finished before" if ending.status == 0 else number.name] += 1
            if ending.status not in (0, status):
                yield f"{where}status {ending.status}, {ending.said}"
            if ending.status and word and (len(said(ending)) != 1 or word not in ending.said):
                if ending.status == 143 and not ending.said and "wait" in moment:
                    pass  # before Python has a handler for it
                else:
                    yield f"{where}it says {ending.said!r}"
            if "Traceback" in ending.said:
                yield f"{where}{ending.said}"
            for name in halves(writer, before, expected, listing(place)):
                yield f"{where}half written: {name}"
            again = run(writer, place)
            lines = said(again)
            refusal = again.status == 1 and len(lines) == 1 and DONE.search(lines[0])
            if again.status and not refusal:
                yield f"{where}the next run: status {again.status}, {again.said}"
            after = listing(place)
            for name in sorted(after.keys() | expected.keys()):
                if name not in expected:
                    yield f"{where}left over: {name}"
                elif name not in after:
                    yield f"{where}missing: {name}"
                elif expected[name] not in ("varies", after[name]):
                    yield f"{where}other than without a kill: {name}"
    lock = "the second refused" if wrong is None else "no lock"
    counted = ", ".join(f"{name} {n}" for name, n in ends.items())
    print(f"{writer.name}: {counted}; {reference.steps} steps; {lock}", flush=True)


def writers(samples: Mapping[str, Path], only: str) -> Iterator[Writer]:
    """Yield the commands whose names begin in one of the ways of ``only`` (a pattern)."""
    for name, jobs in {**JOBS, "score": (SCORE,)}.items():
        for place, job in enumerate(jobs):
            if re.match(only, f"{name} {place}"):
                yield Writer(f"{name} {place}", name, job, samples)


def main() -> int:
    """Print a line for each command, and all that is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, metavar="N", help="of each signal (20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="of names of commands")
    parser.add_argument("--steps", action="store_true", help="no kills at times: always the same")
    args = parser.parse_args()
    problems = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "samples").mkdir()
        samples = stack.enter_context(samples_in(folder / "samples"))
        for module in pkgutil.walk_packages(biomedgpt.__path__, "biomedgpt."):
            with suppress(ImportError):  # of what is not installed
                importlib.import_module(module.name)
        for writer in writers(samples, args.only):
            place = folder / "disk"
            for line in trials(writer, place, args.count, args.seed, timed=not args.steps):
                print(f"{writer.name}: {line}", file=sys.stderr, flush=True)
                problems += 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
