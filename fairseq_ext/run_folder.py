"""The folder of a run is looked after also where ``fairseq-train`` is called without a recipe.

A recipe locks the folder and compares what is to be trained with what was begun in it; without one,
the first process does both.
"""

import atexit
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils
from fairseq.data.iterators import EpochBatchIterator
from omegaconf import OmegaConf
from torch import Tensor

from biomedgpt.checkpoints.identity import parse_kinds
from biomedgpt.checkpoints.torch_file import plain
from biomedgpt.errors import ConfigError
from biomedgpt.recipes.programs import Planned
from biomedgpt.recipes.save_folder import (
    begin,
    is_claimed,
    is_finished,
    resumed,
    stopping_at_sigterm,
    writing,
)
from fairseq_ext import checkpoints, schedule

_claims = ExitStack()
_load_checkpoint = checkpoint_utils.load_checkpoint


def load_checkpoint(cfg: Any, trainer: Any, **options: Any) -> tuple[Any, EpochBatchIterator]:
    """As fairseq's; before and after it, what a run begins with is seen to.

    Args:
        cfg: options of checkpoints.
        trainer: fairseq's.
        options: for fairseq.

    Raises:
        ConfigError: another process writes the folder, it holds another run, or the schedule
            cannot be.
    """
    first, folder = trainer.data_parallel_rank == 0, Path(cfg.save_dir)
    if first and not is_claimed(folder):
        _claim(folder, cfg, trainer)
    schedule.before_loading(trainer)
    checkpoints.context.optimizer = type(trainer.optimizer).__name__
    try:
        state, iterator = _load_checkpoint(cfg, trainer, **options)
    except ValueError as error:
        if "parameter group" not in str(error):
            raise
        raise ConfigError(
            f"{checkpoints.context.path}: its optimizer trained other parameters than this run "
            "does, as --freeze-embedding or --checkpoint make it; give another --save-dir"
        ) from error
    schedule.after_loading(trainer, iterator)
    _let_go_of_the_file(trainer)
    checkpoints.refuse_changed()
    if first:
        begin(folder)
    return state, iterator


def _claim(folder: Path, cfg: Any, trainer: Any) -> None:
    """Hold the folder until this process ends."""
    _claims.enter_context(writing(folder))
    atexit.register(_claims.close)
    if trainer.data_parallel_world_size == 1:
        _claims.enter_context(stopping_at_sigterm(folder))
    task, options = trainer.task, OmegaConf.to_container(trainer.cfg)
    found = task.description(trainer.get_model().config, {"cfg": options})
    allowed = parse_kinds(task.cfg.allow_changed)
    now = Planned(found, task.vocabulary.fingerprint, plain(options))
    begun = resumed(folder, cfg.restore_file, now, allowed=allowed)
    if begun is not None and is_finished(begun, trainer.cfg.optimization):
        raise ConfigError(
            f"{folder}: already finished, {begun.updates} updates; to go on give a larger "
            "--max-epoch or --max-update"
        )


def _let_go_of_the_file(trainer: Any) -> None:
    """Copy what a CPU would leave in the mapped checkpoint.

    It may be overwritten; and one that is replaced keeps its space on the disk while it is mapped.
    """
    for state in trainer.optimizer.optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor) and not value.is_cuda:
                state[name] = value.clone()


def install() -> None:
    """Let fairseq-train look after the folder."""
    checkpoint_utils.load_checkpoint = load_checkpoint
