"""How long processes wait for each other."""

from datetime import timedelta
from functools import partial

import torch.distributed as dist

PATIENCE = timedelta(hours=2)
"""Longer than the first process takes to write a checkpoint to a slow disk. A process that is dead
ends the others at once, see `biomedgpt.recipes.processes`."""


def install() -> None:
    """Let fairseq's processes wait; torch gives up after ten minutes on GPUs."""
    dist.init_process_group = partial(dist.init_process_group, timeout=PATIENCE)
