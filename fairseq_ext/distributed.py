"""How long processes wait for each other, and what they validate: the model that is saved."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import fairseq_cli.train
import torch.distributed as dist
from fairseq.distributed.utils import broadcast
from torch import Tensor

PATIENCE = timedelta(hours=2)
"""Longer than the first process takes to write a checkpoint to a slow disk. A process that is dead
ends the others at once, see `biomedgpt.recipes.processes`."""


_validate = fairseq_cli.train.validate


def validate(cfg: Any, trainer: Any, *args: Any, **options: Any) -> Any:
    """As fairseq's, with the first process's statistics of batch norms, which are the ones saved.

    Each process has those of its own batches, and would score its part of the data with them.
    """
    if trainer.data_parallel_world_size > 1:
        for tensor in _statistics(trainer):
            broadcast(tensor, src=0, group=trainer.data_parallel_process_group)
    return _validate(cfg, trainer, *args, **options)


def _statistics(trainer: Any) -> Iterator[Tensor]:
    yield from _floating(trainer.get_model().buffers())
    if trainer.cfg.ema.store_ema:
        own, averages = trainer.ema.get_model(), trainer.ema.fp32_params
        yield from _floating(own.buffers())
        yield from _floating(averages[n] for n, _ in own.named_buffers() if n in averages)


def _floating(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    return (tensor for tensor in tensors if tensor.is_floating_point())


def install() -> None:
    """Let fairseq's processes wait; torch gives up after ten minutes on GPUs."""
    dist.init_process_group = partial(dist.init_process_group, timeout=PATIENCE)
    fairseq_cli.train.validate = validate
