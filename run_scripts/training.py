"""Starting fairseq-train: in this process on one device, under torchrun on several."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import Devices
from processes import run_processes
from screen import Screen, logged_failures, start_logging

from biomedgpt.errors import ConfigError
from biomedgpt.vocabulary import Vocabulary


def in_use(folder: Path) -> bool:
    """Say whether a folder holds a run; what else is in it a failed start may have left behind."""
    return any(folder.glob("checkpoint*.pt"))


def keep_vocabulary(vocabulary: Path, folder: Path) -> Path:
    """Copy a vocabulary into the folder of a run, which then has all that evaluation needs.

    Raises:
        ConfigError: the folder cannot be written, or holds a run with another vocabulary.
    """
    kept = folder / "vocabulary"
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


def run_training(command: list[str], *, folder: Path, updates: int, devices: Devices) -> None:
    """Train until the end; on several devices it does not return.

    Args:
        command: arguments of fairseq-train.
        folder: of the run; ``train.log`` is in it.
        updates: of the whole run.
        devices: what to run on.
    """
    log = folder / "train.log"
    print(f"training {updates} updates on {devices}; details in {log}", flush=True)
    if devices.count > 1:
        worker = [str(Path(__file__).with_name("worker.py")), str(log), str(updates), *command]
        sys.exit(run_processes(worker, count=devices.count))
    start_logging(log, Screen(updates))
    from fairseq_cli.train import cli_main

    try:
        run_fairseq(cli_main, command, log)
    except KeyboardInterrupt as interrupt:
        hint = "give the command again to go on from the last checkpoint"
        raise KeyboardInterrupt(hint) from interrupt


def run_fairseq(cli_main: Callable[[], Any], command: list[str], log: Path) -> None:
    """Call one of fairseq's commands in this process; tracebacks go to ``log``."""
    sys.argv = ["fairseq", *command]
    with logged_failures(log):
        cli_main()
