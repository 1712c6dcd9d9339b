"""The folder of a run: one writer at a time, and only the run that was begun goes on in it.

What a run is to be is noted in the folder once its data, its options and the checkpoint that it
resumes from have been read and fit together: a start that fails changes nothing.
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.description import Description
from biomedgpt.checkpoints.identity import CHANGEABLE, differences
from biomedgpt.checkpoints.runs import FIX, parse_run, read_run
from biomedgpt.checkpoints.source import LAST
from biomedgpt.checkpoints.torch_file import PACKAGES, read_torch_file
from biomedgpt.errors import ConfigError
from biomedgpt.files import write_json, write_text
from biomedgpt.locks import is_held, locked
from biomedgpt.recipes.preflight import refuse
from biomedgpt.recipes.processes import RESUME

_LOCK, _STAGED, _STOP = ".lock", ".facts.tmp", ".stop.tmp"
_TOLD = ("updates", "devices", "precision", "started_from", "fold", "warmup_updates")
"""Settings that are no choice of the user, or are compared elsewhere."""


@dataclass(frozen=True)
class Begun:
    """What the last checkpoint of a run says."""

    updates: int
    epoch: int
    """The one that comes next, or is in the middle."""
    description: Description
    vocabulary: str
    """Fingerprint."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, making it, and remove what a killed run left half written.

    Raises:
        ConfigError: another process holds it, or it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--save-dir {folder}: cannot be made or used as a folder ({error.strerror}); "
            "give another one"
        ) from error
    remedy = "wait for its end, or give another --save-dir"
    with locked(folder / _LOCK, what=f"--save-dir {folder}", remedy=remedy):
        for left in (*folder.glob("*.pt.tmp"), *folder.glob(".*.tmp")):
            print(f"removing {left}, which a run that was killed left half written", flush=True)
            left.unlink()
        try:
            yield
        finally:
            for name in (_STAGED, _STOP):
                (folder / name).unlink(missing_ok=True)


def is_claimed(folder: Path) -> bool:
    """Say whether `writing` holds the folder for this process, or for the one that started it."""
    return is_held(folder / _LOCK)


@contextmanager
def stopping_at_sigterm(folder: Path) -> Iterator[None]:
    """Let SIGTERM end the run in a folder after an update, with a checkpoint; a second one at once.

    fairseq's processes look for the file, see `fairseq_ext.preemption`: a signal reaches one of
    them, and they end together or not at all.
    """

    def ask(*_: object) -> None:
        if is_asked_to_stop(folder):
            raise KeyboardInterrupt(RESUME)
        stop_file(folder).touch()
        print("SIGTERM: saving after this update (once more: without)", file=sys.stderr, flush=True)

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_file(folder: Path) -> Path:
    """Return the file that asks the run in a folder to stop."""
    return folder / _STOP


def is_asked_to_stop(folder: Path) -> bool:
    """Say whether SIGTERM has come."""
    return stop_file(folder).exists()


def stage(folder: Path, files: Mapping[str, str]) -> None:
    """Keep texts, by the names of their files, until the run begins."""
    write_json(folder / _STAGED, files)


def begin(folder: Path) -> None:
    """Write what was staged."""
    staged = folder / _STAGED
    if staged.is_file():
        for name, text in json.loads(staged.read_text(encoding="utf-8")).items():
            write_text(folder / name, text)
        staged.unlink()


def read_begun(folder: Path) -> Begun | None:
    """Return what a folder's last checkpoint says; None where there is none.

    Raises:
        CheckpointError: it is damaged, or none of ours.
    """
    path = folder / LAST
    if not path.is_file():
        return None
    state = read_torch_file(path, packages=PACKAGES, fix=FIX)
    stored = read_run(parse_run(state, path))
    return Begun(
        updates=stored.info.settings.get("updates", 0),
        epoch=state["extra_state"].get("train_iterator", {}).get("epoch", 1),
        description=stored.description,
        vocabulary=stored.vocabulary.fingerprint,
    )


def refuse_another(
    folder: Path, begun: Begun, now: Description, vocabulary: str, *, allowed: Sequence[str]
) -> None:
    """Compare a run with the one that was begun.

    Args:
        folder: of the run.
        begun: the run in it.
        now: the run that is to go on.
        vocabulary: its fingerprint.
        allowed: of `CHANGEABLE`, what may differ.

    Raises:
        ConfigError: it is another run; the message lists every difference.
    """
    vocabularies = (begun.vocabulary, vocabulary)
    found = differences(begun.description, now, vocabularies=vocabularies, allowed=allowed)
    kinds = {line.partition(":")[0] for line in found}
    remedy = "give another --save-dir"
    if kinds and kinds <= set(CHANGEABLE):
        names = ",".join(kind for kind in CHANGEABLE if kind in kinds)
        remedy += f", or --allow-changed {names} if this is meant"
    refuse(f"{folder} holds another run ({remedy})", found)


def may_resume(begun: Begun, now: Description, options: argparse.Namespace) -> bool:
    """Say what is new of a run that is to go on; False if it is finished.

    Args:
        begun: the run in the folder.
        now: the run that is to go on.
        options: of fairseq-train.
    """
    if _is_finished(begun, options):
        print(
            f"already finished: {begun.updates} updates; nothing was trained and nothing changed. "
            "To go on give a larger --max-epoch or --max-update"
        )
        return False
    for line in _changes(begun.description.info.settings, now.info.settings):
        print(f"from update {begun.updates} on: {line}", flush=True)
    return True


def _is_finished(begun: Begun, options: argparse.Namespace) -> bool:
    return bool(0 < options.max_epoch < begun.epoch or 0 < options.max_update <= begun.updates)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in before.keys() | after.keys():
        if name not in _TOLD and before.get(name) != after.get(name):
            yield f"{name} {after.get(name, 'none')} (was {before.get(name, 'none')})"
