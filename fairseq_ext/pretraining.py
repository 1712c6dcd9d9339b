"""The fairseq task of pretraining: ``--task biomedgpt_pretraining``, its data one TOML file.

What the examples are and which of them an epoch holds is in `biomedgpt.pretraining`.
"""

# ruff: noqa: UP045 (fairseq builds its parser from Optional, and does not know `X | None`)

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.dataclass import FairseqDataclass
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.tasks import register_task
from numpy.typing import NDArray
from omegaconf import MISSING
from torch import Tensor

from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError
from biomedgpt.examples.example_encoder import Batch, Sample
from biomedgpt.model.decoder import CODE_STRIDE
from biomedgpt.pretraining.batches import TRAIN, PretrainingExamples
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.pretraining.streams import CodesStream
from fairseq_ext.base_task import VocabularyTask
from fairseq_ext.error_lines import LossNotFiniteError

_MOST_NAMED = 3
"""Rows of a stream that an error lists."""


@dataclass
class PretrainingTaskConfig(FairseqDataclass):
    """Options of the task; all else about the data is in the configuration."""

    data: str = field(default=MISSING, metadata={"help": "pretraining configuration (TOML)"})
    vocabulary: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder of the vocabulary (default: vocabulary beside the configuration)"
        },
    )
    batch_parts: int = field(
        default=1,
        metadata={
            "help": "parts that each training batch is cut into, to be dealt out to devices; an "
            "update takes --update-freq of them on each"
        },
    )
    fit_schedule: bool = field(
        default=False,
        metadata={
            "help": "let the learning rate end with the run's last update, however many it makes "
            "(in place of the number in --total-num-update)"
        },
    )
    warmup_ratio: float = field(
        default=0.0,
        metadata={
            "help": "share of the run's updates for which the learning rate rises (instead of "
            "--warmup-updates, which is their number)"
        },
    )
    uses_ema: bool = field(
        default=False, metadata={"help": "validate the averaged weights (with --store-ema)"}
    )
    peak_tflops: Optional[float] = field(
        default=None, metadata={"help": "TFLOP/s that a device can do, for its utilisation"}
    )


class PretrainingDataset(FairseqDataset):
    """The examples of an epoch as fairseq batches them: in their order, so many at a time."""

    # Each epoch holds other rows.
    can_reuse_epoch_itr_across_epochs = False

    def __init__(self, examples: PretrainingExamples) -> None:
        super().__init__()
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Sample:
        return self.examples[index]

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.examples.set_epoch(epoch)

    def collater(self, samples: Sequence[Sample]) -> Batch:
        return self.examples.collate(samples) if samples else {}

    def filter_indices_by_size(
        self, indices: NDArray[np.int64], max_sizes: Any
    ) -> tuple[NDArray[np.int64], list[int]]:
        """Everything is cut to its limit, nothing left out."""
        del max_sizes
        return indices, []

    def batch_by_size(
        self,
        indices: NDArray[np.int64],
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> list[NDArray[np.int64]]:
        del required_batch_size_multiple
        if max_tokens is not None or max_sentences is None:
            raise ConfigError("batches of pretraining are so many examples; use --batch-size")
        starts = range(0, len(indices), max_sentences)
        return [indices[start : start + max_sentences] for start in starts]


@register_task("biomedgpt_pretraining", dataclass=PretrainingTaskConfig)
class PretrainingTask(VocabularyTask):
    """Trains on the parts of a batch one after the other, and logs the loss of each stream."""

    candidates = None
    """No answers to choose from, for the criterion."""

    def __init__(self, cfg: PretrainingTaskConfig) -> None:
        self.config = PretrainingConfig.load(cfg.data)
        super().__init__(cfg, cfg.vocabulary or Path(cfg.data).parent / "vocabulary")

    def state_dict(self) -> dict[str, Any]:
        # Whoever loads the checkpoint needs them, and need not have the configuration.
        sizes = {
            "patch_image_size": self.config.image_size,
            "max_image_size": self.config.max_image_size,
        }
        return super().state_dict() | sizes

    def preprocessing(self) -> Preprocessing:
        """See `VocabularyTask`."""
        return Preprocessing(
            image_size=self.config.image_size, max_image_size=self.config.max_image_size
        )

    def info(self) -> CheckpointInfo:
        """See `VocabularyTask`; one model for many tasks has none of its own."""
        names, digest = self._datasets
        return CheckpointInfo(
            dataset=names, dataset_hash=digest, source=f"pretrained with biomedgpt on {names}"
        )

    @cached_property
    def _datasets(self) -> tuple[str, str]:
        """Names of the datasets of all streams, and a hash over theirs."""
        folders = [folder for stream in self.config.streams for folder in stream.data]
        datasets = [PreparedDataset(folder) for folder in dict.fromkeys(folders)]
        hashes = " ".join(one.hash for one in datasets)
        names = dict.fromkeys(one.card.name for one in datasets)
        return ", ".join(names), hashlib.sha256(hashes.encode()).hexdigest()[:16]

    def load_dataset(self, split: str, combine: bool = False, **_: Any) -> None:
        self.datasets[split] = PretrainingDataset(self._examples(split))

    def _examples(self, split: str) -> PretrainingExamples:
        if split == TRAIN:
            return self._training
        return PretrainingExamples(self.config, self.vocabulary, split)

    @cached_property
    def _training(self) -> PretrainingExamples:
        return PretrainingExamples(self.config, self.vocabulary, TRAIN)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        # Positions of codes are those of the grid they were encoded in.
        streams = [one for one in self._training.streams if isinstance(one, CodesStream)]
        grids = {stream.kind: stream.grid for stream in streams}
        if len(set(grids.values())) > 1:
            found = ", ".join(f"{grid} x {grid} for {kind}" for kind, grid in grids.items())
            raise ConfigError(
                f"{self.config.path}: codes of several grids ({found}), the model has one; encode "
                "with a --whole-size of half the --image-size"
            )
        for grid in grids.values():
            cfg.code_image_size = grid * CODE_STRIDE
        return super().build_model(cfg, from_checkpoint)

    def train_step(
        self,
        sample: Batch,
        model: Any,
        criterion: Any,
        optimizer: Any,
        update_num: int,
        ignore_grad: bool = False,
        **_: Any,
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Add up the gradients of the parts; processes exchange them after the last one."""
        model.train()
        model.set_num_updates(update_num)
        logs, losses = [], []
        parts = sample["parts"]
        for number, part in enumerate(parts, start=1):
            alone = number < len(parts) and hasattr(model, "no_sync")
            with model.no_sync() if alone else nullcontext():
                with torch.autocast("cuda", enabled=isinstance(optimizer, AMPOptimizer)):
                    loss, _, log = criterion(model, part, update_num=update_num)
                _require_finite(loss, part, log)
                losses.append(loss.detach())
                optimizer.backward(loss * 0 if ignore_grad else loss)
            logs.append(log)
        return torch.stack(losses).sum(), 1, _whole(logs) | model.work.take()

    def valid_step(
        self, sample: Batch, model: Any, criterion: Any, ema_model: Any = None
    ) -> tuple[Tensor, int, dict[str, Any]]:
        model = self.validated(model, ema_model)
        logs, losses = [], []
        with torch.no_grad():
            for part in sample["parts"]:
                loss, _, log = criterion(model, part)
                losses.append(loss)
                logs.append(log)
        return torch.stack(losses).sum(), 1, _whole(logs)


def _whole(logs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what a batch logs: sums over its parts. Their losses are weighted to add up to one."""
    log = {name: sum(log[name] for log in logs) for name in logs[0]}
    # Without the weights: nats per token, over all streams.
    log["nll_loss"] = sum(value for name, value in log.items() if name.endswith("_sum"))
    return log | {"sample_size": 1}


def _require_finite(loss: Tensor, part: Batch, log: dict[str, Any]) -> None:
    """Raise an error that names the streams and the rows of a loss that is no number."""
    if torch.isfinite(loss):
        return
    bad = []
    for kind, rows in part["groups"].items():
        if not torch.isfinite(log[f"loss_{kind}_sum"]):
            named = [part["where"][row] for row in rows[:_MOST_NAMED].tolist()]
            more = len(rows) - len(named)
            bad.append(f"{kind} ({', '.join(named)}{f' and {more} more' if more else ''})")
    raise LossNotFiniteError(
        f"the loss is {float(loss)}, in {'; '.join(bad) or 'no stream'}; the last checkpoint is as "
        "it was. Look at these rows, or lower --lr or --clip-norm, and give the command again"
    )
