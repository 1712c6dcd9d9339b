"""The fairseq task of pretraining: ``--task biomedgpt_pretraining``, its data one TOML file.

What the examples are and which of them an epoch holds is in `biomedgpt.pretraining`.
"""

# ruff: noqa: UP045 (fairseq builds its parser from Optional and does not know `X | None`)

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from fairseq.data import FairseqDataset
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
from fairseq_ext.base_task import VocabularyTask, VocabularyTaskConfig
from fairseq_ext.error_lines import MOST_NAMED, LossNotFiniteError
from fairseq_ext.option_fields import option


@dataclass
class PretrainingTaskConfig(VocabularyTaskConfig):
    """Options of the task; all else about the data is in the configuration."""

    data: str = option(MISSING, "pretraining configuration (TOML)")
    vocabulary: Optional[str] = option(
        None, "folder of the vocabulary (default: vocabulary beside the configuration)"
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
        """Names of the datasets of all streams, and a hash over all that fixes the examples."""
        folders = [folder for stream in self.config.streams for folder in stream.data]
        datasets = [PreparedDataset(folder) for folder in dict.fromkeys(folders)]
        names = dict.fromkeys(one.card.name for one in datasets)
        return ", ".join(names), self._training.fingerprint[:16]

    def load_dataset(self, split: str, combine: bool = False, **_: Any) -> None:
        here = split == TRAIN
        examples = (
            self._training if here else PretrainingExamples(self.config, self.vocabulary, split)
        )
        self.datasets[split] = PretrainingDataset(examples)

    @cached_property
    def _training(self) -> PretrainingExamples:
        return PretrainingExamples(self.config, self.vocabulary, TRAIN)

    def complete(self, cfg: Any) -> None:
        """Positions of codes are those of the grid they were encoded in."""
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

    def parts(self, sample: Batch) -> Sequence[Batch]:
        parts: Sequence[Batch] = sample["parts"]
        return parts

    def merge_logs(self, logs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Add up; the losses of the parts are weighted to add up to one."""
        log = {name: sum(log[name] for log in logs) for name in logs[0]}
        # Without the weights: nats per token, over all streams.
        log["nll_loss"] = sum(value for name, value in log.items() if name.endswith("_sum"))
        return log | {"sample_size": 1}

    def loss_not_finite(
        self, loss: Tensor, part: Batch, log: dict[str, Any], update: int
    ) -> LossNotFiniteError:
        """Return an error that names the streams, too."""
        bad = []
        for kind, rows in part["groups"].items():
            if not torch.isfinite(log[f"loss_{kind}_sum"]):
                named = [part["where"][row] for row in rows[:MOST_NAMED].tolist()]
                more = len(rows) - len(named)
                bad.append(f"{kind} ({', '.join(named)}{f' and {more} more' if more else ''})")
        return LossNotFiniteError(
            f"the loss is {float(loss)}, in {'; '.join(bad) or 'no stream'}; the last checkpoint "
            "is as it was. Look at these rows, or lower --lr or --clip-norm, and give the command "
            "again"
        )
