"""The folder of a run: one writer at a time, and only the run that was begun goes on in it.

What a run is to be is noted in the folder once its data, its options and the checkpoint that it
resumes from have been read and fit together: a start that fails changes nothing.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.identity import CHANGEABLE, differences
from biomedgpt.checkpoints.runs import FIX, parse_run, read_run
from biomedgpt.checkpoints.source import LAST, RUN_FILES
from biomedgpt.checkpoints.torch_file import PACKAGES, plain, read_torch_file
from biomedgpt.errors import ConfigError
from biomedgpt.files import remove, write_json, write_text
from biomedgpt.locks import is_held, locked
from biomedgpt.recipes.preflight import refuse
from biomedgpt.recipes.processes import RESUME
from biomedgpt.recipes.programs import Planned

_LOCK, _STAGED, _STOP = ".lock", ".facts.tmp", ".stop.tmp"
STOP_FILE = "BIOMEDGPT_STOP_FILE"
"""Variable with a file whose appearance asks runs to stop."""
_GROUPS = (
    *("optimization", "optimizer", "lr_scheduler", "criterion", "model", "task", "dataset"),
    *("common", "ema", "checkpoint", "distributed_training"),
)
_TOLD = frozenset(
    {"data", "vocabulary", "user_dir", "total_num_update", "warmup_updates", "num_workers"}
    | {"bf16", "fp16", "amp", "cpu", "log_interval", "log_format", "tensorboard_logdir"}
    | {"batch_parts", "allow_changed", "fold", "patch_image_size", "fp16_no_flatten_grads"}
    | {"save_dir", "restore_file", "finetune_from_model", "load_checkpoint_on_all_dp_ranks"}
)
"""Options that change nothing, are fitted, or are compared elsewhere."""
_DEVICES = "distributed_world_size"


@dataclass(frozen=True)
class Begun:
    """What a checkpoint of a run says."""

    path: Path
    updates: int
    epoch: int
    """The one that comes next, or is in the middle."""
    run: Planned
    resumes: bool
    """It has all that a run goes on from."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, making it, and remove what a killed run left half written.

    Raises:
        ConfigError: another process holds it, it has data in it, or it cannot be made or written.
    """
    if any(folder.glob("*.h5")):
        raise ConfigError(f"--save-dir {folder}: holds prepared data; give a folder of its own")
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
            remove(left)
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


def note_stop(folder: Path) -> None:
    """Note that the run has stopped as it was asked to, and did not end by itself meanwhile."""
    stop_file(folder).write_text("stopped", encoding="utf-8")


def has_stopped(folder: Path) -> bool:
    """Say whether it has."""
    return is_asked_to_stop(folder) and bool(stop_file(folder).read_text(encoding="utf-8"))


def all_are_asked_to_stop() -> bool:
    """Say whether the file is there that asks runs to stop."""
    return STOP_FILE in os.environ and Path(os.environ[STOP_FILE]).exists()


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


def resumed(folder: Path, restore: str, now: Planned, *, allowed: Sequence[str]) -> Begun | None:
    """Return what a run goes on from, once it is known to be the run in its folder.

    Args:
        folder: of the run; None is returned where it holds none, and nothing is to be restored.
        restore: fairseq's ``--restore-file``.
        now: the run that is to go on.
        allowed: of `CHANGEABLE`, what may differ.

    Raises:
        CheckpointError: a checkpoint is damaged, or none of ours.
        ConfigError: the folder, or what is to be restored, holds another run, or nothing that a run
            goes on from.
    """
    best, last = (folder / name for name in RUN_FILES)
    own = next((one for one in (last, best, *folder.glob("checkpoint*.pt")) if one.is_file()), None)
    restored = last if restore == LAST else Path(restore)
    if own is not None and not restored.is_file():
        raise ConfigError(
            f"{folder} holds a run (update {read_begun(own).updates} in {own.name}), but no {LAST} "
            f"to resume from; give --restore-file {own}, or another --save-dir"
        )
    if not restored.is_file():
        return None
    begun = read_begun(restored)
    if not begun.resumes:
        raise ConfigError(
            f"{restored}: the optimizer is not in it, so that no run goes on from it; begin one "
            "with --checkpoint in another --save-dir"
        )
    refuse_another(folder, begun, now, allowed=allowed)
    if own not in (None, restored):  # whatever is restored, it is this run that it would replace
        refuse_another(folder, read_begun(own), now, allowed=allowed)
    return begun


def read_begun(path: Path) -> Begun:
    """Return what a checkpoint says of its run.

    Raises:
        CheckpointError: it is damaged, or none of ours.
    """
    state = read_torch_file(path, packages=PACKAGES, fix=FIX)
    stored = read_run(parse_run(state, path))
    return Begun(
        path=path,
        updates=stored.info.settings.get("updates", 0),
        epoch=state["extra_state"].get("train_iterator", {}).get("epoch", 1),
        run=Planned(stored.description, stored.vocabulary.fingerprint, plain(state["cfg"])),
        resumes=bool(state.get("last_optimizer_state")),
    )


def refuse_another(folder: Path, begun: Begun, now: Planned, *, allowed: Sequence[str]) -> None:
    """Compare a run with the one that was begun.

    Args:
        folder: of the run.
        begun: the run in it.
        now: the run that is to go on.
        allowed: of `CHANGEABLE`, what may differ.

    Raises:
        ConfigError: it is another run; the message lists every difference.
    """
    vocabularies = (begun.run.vocabulary, now.vocabulary)
    found = differences(
        begun.run.description, now.description, vocabularies=vocabularies, allowed=allowed
    )
    kinds = {line.partition(":")[0] for line in found}
    remedy = "give another --save-dir"
    if kinds and kinds <= set(CHANGEABLE):
        names = ",".join(kind for kind in CHANGEABLE if kind in kinds)
        remedy += f", or --allow-changed {names} if this is meant"
    where = folder if begun.path.parent == folder else begun.path
    refuse(f"{where} holds another run ({remedy})", found)


def is_finished(begun: Begun, options: Any) -> bool:
    """Say whether there is nothing left to train.

    Args:
        begun: the run.
        options: ``max_epoch`` and ``max_update``.
    """
    return bool(0 < options.max_epoch < begun.epoch or 0 < options.max_update <= begun.updates)


def changes(begun: Begun, now: Planned) -> list[str]:
    """Return a line for all that is not as it was when a run was begun, and may be otherwise."""
    vocabularies = (begun.run.vocabulary, now.vocabulary)
    lines = differences(begun.run.description, now.description, vocabularies=vocabularies)
    found = {}
    for group in _GROUPS:
        before, after = begun.run.options.get(group) or {}, now.options.get(group) or {}
        for name in (after.keys() & before.keys()) - _TOLD:
            if group == "distributed_training" and name != _DEVICES:
                continue  # ports, ranks and the like
            if before[name] != after[name]:
                option = "--" + (group if name == "_name" else name).replace("_", "-")
                found[option] = f"{_show(after[name])} (was {_show(before[name])})"
    return [*lines, *(f"{option} {value}" for option, value in sorted(found.items()))]


def _show(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
