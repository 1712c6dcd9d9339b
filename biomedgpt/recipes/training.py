"""Starting fairseq-train: in this process on one device, under torchrun on several."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.description import as_text
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.errors import TERMINATED, ConfigError
from biomedgpt.files import parse_json
from biomedgpt.recipes.commands import Devices, describe_batch
from biomedgpt.recipes.preflight import disk_problems, refuse
from biomedgpt.recipes.processes import RESUME, end_with_parent, run_processes
from biomedgpt.recipes.programs import Loader, Programs, literal
from biomedgpt.recipes.save_folder import (
    Begun,
    changes,
    has_stopped,
    is_finished,
    resumed,
    stage,
    stopping_at_sigterm,
    writing,
)
from biomedgpt.recipes.screen import Screen, logged_failures, start_logging
from biomedgpt.vocabulary import BPE_VARIABLE, Vocabulary

RUN_FILE = "run.json"
WORKER = "worker"
"""First argument of the program in the processes that torchrun starts."""


def in_use(folder: Path) -> bool:
    """Say whether a folder holds a run; what else is in it a failed start may have left behind."""
    return any(folder.glob("checkpoint*.pt"))


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


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what the ``run.json`` of a run that was begun says; nothing where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    path = folder / RUN_FILE
    if not (in_use(folder) and path.is_file()):
        return {}
    facts = parse_json(path.read_bytes())
    if not (isinstance(facts, dict) and isinstance(facts.get("earlier", []), list)):
        raise ConfigError(f"{path}: damaged; move it away, and the run goes on without its past")
    return facts


def new_facts(folder: Path, command: Sequence[str], begun: Begun | None, **facts: str) -> str:
    """Return a ``run.json``: what is run, and what was run before with other options."""
    text = shlex.join(["fairseq-train", *map(literal, command)])
    previous = {} if begun is None else read_facts(folder)
    earlier = previous.get("earlier", [])
    if begun is not None and previous.get("command", text) != text:
        earlier = [*earlier, {"command": previous["command"], "until_update": begun.updates}]
    return as_text(facts | {"command": text} | ({"earlier": earlier} if earlier else {}))


def run_training(
    args: argparse.Namespace,
    command: list[str],
    options: argparse.Namespace,
    *,
    fairseq: Programs,
    folder: Path,
    vocabulary: Path,
    devices: Devices,
    files: Mapping[str, str],
    **facts: str,
) -> int:
    """Train to the end, or go on with what is in the folder; return the exit status.

    Args:
        args: options of the recipe.
        command: arguments of fairseq-train.
        options: what they mean.
        fairseq: what trains.
        folder: of the run; ``train.log`` is in it.
        vocabulary: folder of the vocabulary, of which the run gets a copy.
        devices: what to run on.
        files: further files for the folder, by name.
        facts: for ``run.json``.

    Raises:
        ConfigError: another process writes the folder, it holds another run, or it cannot be
            written. Nothing of it has changed then.
    """
    with writing(folder), stopping_at_sigterm(folder):
        now = fairseq.describe(options, vocabulary)
        begun = resumed(folder, options.restore_file, now, allowed=args.allow_changed)
        if begun is not None:
            if is_finished(begun, options):
                print(
                    f"already finished: {begun.updates} updates; nothing was trained and nothing "
                    "changed. To go on give a larger --max-epoch or --max-update"
                )
                return 0
            for line in changes(begun, now):
                print(f"from update {begun.updates} on: {line}", flush=True)
        config = now.description.config
        refuse("the run cannot start yet", list(disk_problems(folder, config, options)))
        stage(folder, {**files, RUN_FILE: new_facts(folder, command, begun, **facts)})
        Vocabulary.load(vocabulary).save(folder / VOCABULARY_FOLDER)
        log = folder / "train.log"
        print(f"{describe_batch(options, devices)}; details in {log}", flush=True)
        if devices.count > 1:
            worker = [sys.argv[0], WORKER, str(log), *command]
            status = run_processes(worker, count=devices.count)
        else:
            start_logging(log, Screen())
            train_here(fairseq, command, log)
            status = 0
        return status or (TERMINATED if has_stopped(folder) else 0)


def train_here(fairseq: Programs, command: Sequence[str], log: Path) -> None:
    """Train in this process, and say how it ended."""
    try:
        run_fairseq(fairseq.train, command, log)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(RESUME) from interrupt
    if not fairseq.stopped():  # it has said so
        print(f"done{fairseq.early_end()}; next: evaluate with the same --data and --save-dir")


def run_worker(arguments: Sequence[str], load: Loader) -> int:
    """Be one process of a run on several devices, as torchrun starts them.

    Args:
        arguments: the log, and those of fairseq-train.
        load: imports what trains.
    """
    end_with_parent()  # it holds the lock
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as torchrun ends it
    log, *command = arguments
    rank = os.environ["RANK"]
    path = Path(log) if rank == "0" else Path(log).with_suffix(f".rank{rank}.log")
    start_logging(path, Screen() if rank == "0" else None)
    # fairseq would send what the first process has read as a pickle, which torch refuses to open.
    command += ["--load-checkpoint-on-all-dp-ranks"]
    if "--cpu" in command:
        # fairseq would look for the GPU of this rank.
        command += ["--distributed-init-method", "env://", "--distributed-no-spawn"]
        command += ["--distributed-rank", rank]
    if rank == "0":
        train_here(load(), command, path)
    else:
        run_fairseq(load().train, command, path)
    return 0


def run_fairseq(program: Callable[[], None], command: Sequence[str], log: Path) -> None:
    """Call one of fairseq's programs in this process; tracebacks go to ``log``."""
    sys.argv = ["fairseq", *map(literal, command)]
    with logged_failures(log):
        program()
