"""A recipe as `run_scripts/launch.py` starts it, but in float64, and with its losses in full.

Each update adds a line to the file that LOSSES names. In processes of a run the script starts
itself again, as the recipe's does.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from fairseq import utils
from fairseq.trainer import Trainer

from biomedgpt.cli.entry import run_command
from biomedgpt.recipes.launch import run
from fairseq_ext import programs
from fairseq_ext.base_task import VocabularyTask

torch.set_default_dtype(torch.float64)
_prepare, _reduce = Trainer._prepare_sample, VocabularyTask.reduce_metrics


def prepare(self: Any, sample: Any, *args: Any, **options: Any) -> Any:
    """Bring images to float64, too."""
    sample, is_dummy = _prepare(self, sample, *args, **options)
    return utils.apply_to_sample(
        lambda value: value.double() if value.is_floating_point() else value, sample
    ), is_dummy


def reduce(self: Any, logs: Any, criterion: Any) -> None:
    """Note the loss of an update over all processes."""
    loss, size = (sum(float(log[name]) for log in logs) for name in ("loss", "sample_size"))
    if os.environ.get("RANK", "0") == "0":
        with Path(os.environ["LOSSES"]).open("a", encoding="utf-8") as file:
            file.write(f"{loss / size!r}\n")
    _reduce(self, logs, criterion)


def clip(params: Any, max_norm: float, aggregate_norm_fn: Any = None) -> torch.Tensor:
    """As fairseq's, which computes the norm in float32."""
    del aggregate_norm_fn
    return torch.nn.utils.clip_grad_norm_(params, max_norm)


Trainer._prepare_sample = prepare
utils.clip_grad_norm_ = clip
VocabularyTask.reduce_metrics = reduce

if __name__ == "__main__":
    sys.exit(run_command(lambda: run(sys.argv[1:], lambda: programs)))
