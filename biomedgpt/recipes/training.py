"""Starting fairseq-train: in this process on one device, under torchrun on several."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.errors import ConfigError
from biomedgpt.files import atomic_path
from biomedgpt.recipes.commands import Devices
from biomedgpt.recipes.processes import run_processes
from biomedgpt.recipes.programs import Loader, Programs
from biomedgpt.recipes.screen import Screen, logged_failures, start_logging
from biomedgpt.vocabulary import BPE_VARIABLE, Vocabulary

RUN_FILE = "run.json"
WORKER = "worker"
"""First argument of the program in the processes that torchrun starts."""


def in_use(folder: Path) -> bool:
    """Say whether a folder holds a run; what else is in it a failed start may have left behind."""
    return any(folder.glob("checkpoint*.pt"))


def keep_vocabulary(vocabulary: Path, folder: Path) -> Path:
    """Copy a vocabulary into the folder of a run, which then has all that evaluation needs.

    Raises:
        ConfigError: the folder cannot be written, or holds a run with another vocabulary.
    """
    kept = folder / VOCABULARY_FOLDER
    loaded = Vocabulary.load(vocabulary)
    resumes = in_use(folder) and kept.is_dir()
    if resumes and Vocabulary.load(kept).fingerprint != loaded.fingerprint:
        raise ConfigError(f"{folder} holds a run with another vocabulary; use a new folder")
    try:
        loaded.save(kept)
    except OSError as error:
        raise ConfigError(
            f"--save-dir {folder}: cannot be made or used as a folder ({error.strerror}); "
            "give another one"
        ) from error
    return kept


def find_vocabulary(args: argparse.Namespace, *, folder: Path, beside: Path) -> Path | None:
    """Return the folder of the vocabulary: as asked for, the run's, the data's, or BPE files.

    Args:
        args: the options of a recipe.
        folder: of the run, whose vocabulary counts once there is a checkpoint.
        beside: where the data may have one; weights to start from have another.
    """
    kept = folder / VOCABULARY_FOLDER
    choices: tuple[Path | None, ...] = (
        args.vocabulary,
        kept if kept.is_dir() and in_use(folder) else None,
        beside if args.checkpoint is None and beside.is_dir() else None,
        Path(os.environ[BPE_VARIABLE]) if BPE_VARIABLE in os.environ else None,
    )
    return next((path for path in choices if path is not None), None)


def write_facts(folder: Path, command: Sequence[str], **facts: str) -> None:
    """Note in ``run.json`` what is run."""
    content = facts | {"command": " ".join(["fairseq-train", *command])}
    write_json(folder / RUN_FILE, content)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file for people to read."""
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def run_training(
    fairseq: Programs, command: list[str], *, folder: Path, updates: int, devices: Devices
) -> None:
    """Train until the end; on several devices it does not return.

    Args:
        fairseq: what trains.
        command: arguments of fairseq-train.
        folder: of the run; ``train.log`` is in it.
        updates: of the whole run.
        devices: what to run on.
    """
    log = folder / "train.log"
    print(f"training {updates} updates on {devices}; details in {log}", flush=True)
    if devices.count > 1:
        worker = [sys.argv[0], WORKER, str(log), str(updates), *command]
        sys.exit(run_processes(worker, count=devices.count))
    start_logging(log, Screen(updates))
    try:
        run_fairseq(fairseq.train, command, log)
    except KeyboardInterrupt as interrupt:
        hint = "give the command again to go on from the last checkpoint"
        raise KeyboardInterrupt(hint) from interrupt


def run_worker(arguments: Sequence[str], load: Loader) -> int:
    """Be one process of a run on several devices, as torchrun starts them.

    Args:
        arguments: the log, the number of updates, and those of fairseq-train.
        load: imports what trains.
    """
    log, updates, *command = arguments
    rank = os.environ["RANK"]
    path = Path(log) if rank == "0" else Path(log).with_suffix(f".rank{rank}.log")
    start_logging(path, Screen(int(updates)) if rank == "0" else None)
    # fairseq would send what the first process has read as a pickle, which torch refuses to open.
    command += ["--load-checkpoint-on-all-dp-ranks"]
    if "--cpu" in command:
        # fairseq would look for the GPU of this rank.
        command += ["--distributed-init-method", "env://", "--distributed-no-spawn"]
        command += ["--distributed-rank", rank]
    run_fairseq(load().train, command, path)
    return 0


def run_fairseq(program: Callable[[], None], command: Sequence[str], log: Path) -> None:
    """Call one of fairseq's programs in this process; tracebacks go to ``log``."""
    sys.argv = ["fairseq", *command]
    with logged_failures(log):
        program()
