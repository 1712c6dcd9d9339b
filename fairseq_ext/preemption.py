"""Ending a run: its last update is validated and saved; and early, where a queue asks for it.

Where BIOMEDGPT_STOP_FILE names a file, the run looks for it after each update; once it is there,
all processes finish the update, write ``checkpoint_last.pt`` and end without an error. A file
reaches all nodes that share a folder, and no process that a signal would end.
"""

import logging
import os
from pathlib import Path
from typing import Any

import fairseq_cli.train
import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils

STOP_FILE = "BIOMEDGPT_STOP_FILE"

logger = logging.getLogger(__name__)
_stopped_at: list[int] = []
_validate_and_save = fairseq_cli.train.validate_and_save


def validate_and_save(
    cfg: Any, trainer: Any, task: Any, epoch_itr: Any, valid_subsets: Any, end_of_epoch: bool
) -> tuple[list[float | None], bool]:
    """As fairseq's, which decides after each update; the last one counts whatever the intervals."""
    if end_of_epoch and _is_last(cfg, trainer, epoch_itr.epoch):
        cfg.checkpoint.save_interval = cfg.dataset.validate_interval = 1
    losses, stop = _validate_and_save(cfg, trainer, task, epoch_itr, valid_subsets, end_of_epoch)
    if not stop and _asked(trainer):
        checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
        _stopped_at.append(trainer.get_num_updates())
        logger.warning(
            "stopped at update %d as %s asks; give the command again to go on",
            trainer.get_num_updates(),
            os.environ[STOP_FILE],
        )
        stop = True
    return losses, stop


def stopped() -> bool:
    """Say whether a run in this process ended early because it was asked to."""
    return bool(_stopped_at)


def _is_last(cfg: Any, trainer: Any, epoch: int) -> bool:
    """Say whether fairseq ends the run after this epoch."""
    ends = 0 < cfg.optimization.max_epoch <= epoch
    return ends or trainer.get_lr() <= cfg.optimization.stop_min_lr


def _asked(trainer: Any) -> bool:
    """Say whether the file is there; the first process looks, so that all agree."""
    if STOP_FILE not in os.environ:
        return False
    found = torch.zeros(1, device=trainer.device)
    if trainer.data_parallel_rank == 0:
        found += Path(os.environ[STOP_FILE]).exists()
    if trainer.data_parallel_world_size > 1:
        distributed_utils.all_reduce(found, group=trainer.data_parallel_process_group)
    return bool(found.item())


def install() -> None:
    """Let fairseq-train look for the file."""
    fairseq_cli.train.validate_and_save = validate_and_save
