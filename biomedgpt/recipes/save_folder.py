"""The folder of a run: one writer at a time, and only the run that was begun goes on in it."""

import argparse
from collections.abc import Iterator, Mapping
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
from biomedgpt.locks import locked
from biomedgpt.recipes.preflight import refuse
from biomedgpt.recipes.programs import Programs

_LOCK = ".lock"
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
        yield


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


def may_resume(
    args: argparse.Namespace,
    begun: Begun,
    fairseq: Programs,
    options: argparse.Namespace,
    vocabulary: Path,
) -> bool:
    """Compare a run with the one that was begun, and say what is new; False if it is finished.

    Args:
        args: options of the recipe.
        begun: the run in the folder.
        fairseq: what trains.
        options: of fairseq-train.
        vocabulary: its folder.

    Raises:
        ConfigError: it is another run; the message lists every difference.
    """
    now, fingerprint = fairseq.describe(options, vocabulary)
    found = differences(
        begun.description,
        now,
        vocabularies=(begun.vocabulary, fingerprint),
        allowed=args.allow_changed,
    )
    kinds = {line.partition(":")[0] for line in found}
    remedy = "give another --save-dir"
    if kinds and kinds <= set(CHANGEABLE):
        names = ",".join(kind for kind in CHANGEABLE if kind in kinds)
        remedy += f", or --allow-changed {names} if this is meant"
    refuse(f"{args.save_dir} holds another run ({remedy})", found)
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
