"""Ending a run: its last update is validated and saved; and early, where somebody asks for it.

After each update a run looks for the file that BIOMEDGPT_STOP_FILE names, and for the one that
stands for SIGTERM; once one is there, all processes write ``checkpoint_last.pt`` and end without an
error. A file reaches all nodes that share a folder, and no process that a signal would end.
"""

import copy
import logging
import os
from pathlib import Path
from typing import Any

import fairseq_cli.train
import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils

from biomedgpt.recipes.save_folder import STOP_FILE, note_stop, stop_file

logger = logging.getLogger(__name__)
_SIGTERM = "SIGTERM"
_stopped_at: list[int] = []
_early_ends: list[str] = []
_validate_and_save = fairseq_cli.train.validate_and_save


def validate_and_save(
    cfg: Any, trainer: Any, task: Any, epoch_itr: Any, valid_subsets: Any, end_of_epoch: bool
) -> tuple[list[float | None], bool]:
    """As fairseq's, which decides after each update; the last one counts whatever the intervals."""
    last = end_of_epoch and _is_last(cfg, trainer, epoch_itr.epoch)
    if last:
        cfg = copy.deepcopy(cfg)  # what the user chose stays in the checkpoint
        cfg.checkpoint.save_interval = cfg.dataset.validate_interval = 1
    losses, stop = _validate_and_save(cfg, trainer, task, epoch_itr, valid_subsets, end_of_epoch)
    if not stop and (asking := _asked(cfg.checkpoint.save_dir, trainer)):
        checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
        if asking == _SIGTERM and trainer.data_parallel_rank == 0:
            note_stop(Path(cfg.checkpoint.save_dir))
        _stopped_at.append(trainer.get_num_updates())
        logger.warning(
            "stopped at update %d as %s asks; give the command again to go on",
            *(trainer.get_num_updates(), asking),
        )
        stop = True
    elif stop or last:
        _early_ends[:] = _early_end(cfg, trainer)
    return losses, stop


def stopped() -> bool:
    """Say whether a run in this process ended early because it was asked to."""
    return bool(_stopped_at)


def early_end() -> str:
    """Return where a run in this process has ended by its own rules, such as patience."""
    return "".join(_early_ends)


def _early_end(cfg: Any, trainer: Any) -> list[str]:
    done, total = trainer.get_num_updates(), trainer.length.total
    rules = {
        "--patience": cfg.checkpoint.patience > 0,
        "--stop-time-hours": cfg.optimization.stop_time_hours > 0,
        "--stop-min-lr": cfg.optimization.stop_min_lr > 0,
    }
    given = " or ".join(name for name, there in rules.items() if there)
    return [f" early, at update {done} of {total} ({given})"] if done < total else []


def _is_last(cfg: Any, trainer: Any, epoch: int) -> bool:
    """Say whether fairseq ends the run after this epoch."""
    ends = 0 < cfg.optimization.max_epoch <= epoch
    return ends or trainer.get_lr() <= cfg.optimization.stop_min_lr


def _asked(folder: str, trainer: Any) -> str:
    """Return what asks to stop, if anything does; the first process looks, so that all agree."""
    asking = {_SIGTERM: stop_file(Path(folder))}
    if name := os.environ.get(STOP_FILE):
        asking[name] = Path(name)
    first = trainer.data_parallel_rank == 0
    found = [float(first and path.exists()) for path in asking.values()]
    if trainer.data_parallel_world_size > 1:  # one process alone need not wait for its device
        shared = torch.tensor(found, device=trainer.device)
        distributed_utils.all_reduce(shared, group=trainer.data_parallel_process_group)
        found = shared.tolist()
    return next((name for name, there in zip(asking, found, strict=True) if there), "")


def install() -> None:
    """Let fairseq-train look for the file."""
    fairseq_cli.train.validate_and_save = validate_and_save
