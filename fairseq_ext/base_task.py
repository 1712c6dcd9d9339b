"""What the plug-in's tasks share: a `Vocabulary` where fairseq expects a dictionary."""

import gc
import logging
import signal
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import torch
import torch.distributed as dist
from fairseq.data import Dictionary
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.tasks import FairseqTask
from torch import Tensor

from biomedgpt.checkpoints.description import CheckpointInfo, Description, Preprocessing
from biomedgpt.checkpoints.embedded import embed, pack
from biomedgpt.checkpoints.identity import CHANGEABLE
from biomedgpt.checkpoints.settings import settings_of
from biomedgpt.data.prepared.folds import TRAIN
from biomedgpt.errors import ConfigError, VocabularyError
from biomedgpt.model import ModelConfig
from biomedgpt.vocabulary import Vocabulary
from fairseq_ext import checkpoints
from fairseq_ext.error_lines import LossNotFiniteError
from fairseq_ext.option_fields import option
from fairseq_ext.throughput import Throughput

logger = logging.getLogger(__name__)


class VocabularyDictionary(Dictionary):
    """fairseq's dictionary over a `Vocabulary`; its strings are text, not tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        for symbol in vocabulary.symbols()[len(self) :]:
            self.add_symbol(symbol)

    def string(self, tensor: Tensor, *_: Any, **__: Any) -> str:
        return self.vocabulary.decode_text(tensor.tolist()).strip()


@dataclass
class VocabularyTaskConfig(FairseqDataclass):
    """Options of every task of the plug-in."""

    batch_parts: int = option(
        1,
        "parts that each training batch is cut into, to be dealt out to devices; an update takes "
        "--update-freq of them on each",
    )
    fit_schedule: bool = option(
        False,
        "let the learning rate end with the run's last update, however many it makes (in place of "
        "the number in --total-num-update)",
    )
    warmup_ratio: float = option(
        0.0,
        "share of the run's updates for which the learning rate rises (instead of "
        "--warmup-updates, which is their number)",
    )
    allow_changed: str = option(
        "",
        "resume although these are not those that the run was begun with, separated by commas: "
        + ", ".join(CHANGEABLE),
    )
    uses_ema: bool = option(False, "validate the averaged weights (with --store-ema)")
    peak_tflops: Optional[float] = option(  # noqa: UP045
        None,
        "TFLOP/s that a device can do, for its utilisation (default: the data sheet's, for common "
        "GPUs)",
    )


class VocabularyTask(FairseqTask):
    """A task over one vocabulary; checkpoints of another one are refused.

    Args:
        cfg: options of the task.
        vocabulary: folder of the vocabulary.
    """

    def __init__(self, cfg: Any, vocabulary: str | Path) -> None:
        super().__init__(cfg)
        self.vocabulary = Vocabulary.load(vocabulary)
        self.dictionary = VocabularyDictionary(self.vocabulary)
        self.throughput = Throughput(cfg.peak_tflops)
        self.uses_ema = cfg.uses_ema

    @property
    def source_dictionary(self) -> Dictionary:
        return self.dictionary

    target_dictionary = source_dictionary

    def complete(self, cfg: Any) -> None:
        """Set what the data say of the model."""

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        self.complete(cfg)
        # fairseq builds every model through quantization hooks that expect its own layers.
        from fairseq import models

        model = models.build_model(cfg, self, from_checkpoint)
        self.info()  # what can fail of it does so now, and not when a checkpoint is written

        def describe(state: Mapping[str, Any]) -> dict[str, Any]:
            found = self.description(model.config, state)
            name = Path(state["cfg"]["checkpoint"]["save_dir"]).resolve().name
            named = replace(found, info=replace(found.info, name=name))
            return embed(named, self._packed_vocabulary)

        checkpoints.context.describe = describe
        return model

    def description(self, config: ModelConfig, state: Mapping[str, Any]) -> Description:
        """Return what is trained.

        Args:
            config: of the model.
            state: content of a checkpoint, for its settings; fairseq's options, as ``cfg``, will
                do.
        """
        info = replace(self.info(), settings=settings_of(state))
        return Description(config=config, preprocessing=self.preprocessing(), info=info)

    @cached_property
    def _packed_vocabulary(self) -> dict[str, Tensor]:
        """Files of the vocabulary for the checkpoints; to generate, nobody needs them."""
        return pack(self.vocabulary)

    def preprocessing(self) -> Preprocessing:
        """Return how the model in training gets its images."""
        raise NotImplementedError

    def info(self) -> CheckpointInfo:
        """Return what the model is trained for and on; name and settings come from fairseq."""
        raise NotImplementedError

    def get_batch_iterator(self, dataset: Any, *args: Any, **options: Any) -> Any:
        """As fairseq's; batches of training may be cut, see `fairseq_ext.data_order`."""
        iterator = super().get_batch_iterator(dataset, *args, **options)
        if dataset is self.datasets.get(TRAIN):
            iterator.batch_parts = self.cfg.batch_parts
        return iterator

    def filter_indices_by_size(
        self,
        indices: Any,
        dataset: Any,
        max_positions: Any = None,
        ignore_invalid_inputs: bool = False,
    ) -> Any:
        """Return the rows that fit into a batch (``--max-tokens``), and say how many do not.

        Raises:
            ConfigError: none does.
        """
        kept, ignored = dataset.filter_indices_by_size(indices, max_positions)
        if len(ignored) == 0 or not ignore_invalid_inputs:
            return super().filter_indices_by_size(
                indices, dataset, max_positions, ignore_invalid_inputs
            )
        most = min(max_positions) if isinstance(max_positions, tuple) else max_positions
        if len(kept) == 0:
            raise ConfigError(
                f"--max-tokens {most}: all {len(indices):,} rows are longer; give more"
            )
        logger.warning(
            "--max-tokens %d: %d of %d rows are longer, and left out",
            *(most, len(ignored), len(indices)),
        )
        return kept

    def build_bpe(self, args: Any) -> None:
        """The dictionary's strings are text already."""

    def max_positions(self) -> None:
        """The model's positions are the only limit; sources are cut to them."""

    def state_dict(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary.fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        trained = state_dict.get("vocabulary")
        if trained is not None and trained != self.vocabulary.fingerprint:
            raise VocabularyError(
                "the checkpoint was trained with another vocabulary "
                f"({trained[:12]}, not {self.vocabulary.fingerprint[:12]}); give its folder with "
                "--vocabulary"
            )

    def begin_epoch(self, epoch: int, model: Any) -> None:
        """Let go of the last epoch's data workers, which only the collector finds."""
        del epoch, model
        # In what the collector calls, an interrupt would be lost: it waits until that is done.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            gc.collect()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def parts(self, sample: dict[str, Any]) -> Sequence[dict[str, Any]]:
        """Return what of a batch goes through the model at a time."""
        return [sample]

    def merge_logs(self, logs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return what a batch logs, from what its parts do."""
        (log,) = logs
        return log

    def loss_not_finite(
        self, loss: Tensor, part: dict[str, Any], log: dict[str, Any], update: int
    ) -> LossNotFiniteError:
        """Return the error that names rows of a part whose loss is no number."""
        raise NotImplementedError

    def train_step(
        self,
        sample: dict[str, Any],
        model: Any,
        criterion: Any,
        optimizer: Any,
        update_num: int,
        ignore_grad: bool = False,
        **_: Any,
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Add up the gradients of the parts; processes exchange them after the last one.

        Unlike fairseq's, the criterion learns the update, and an EMA model may be passed.
        """
        model.train()
        model.set_num_updates(update_num)
        logs, losses = [], []
        parts = self.parts(sample)
        for number, part in enumerate(parts, start=1):
            alone = number < len(parts) and hasattr(model, "no_sync")
            with model.no_sync() if alone else nullcontext():
                with torch.autocast("cuda", enabled=isinstance(optimizer, AMPOptimizer)):
                    loss, _, log = criterion(model, part, update_num=update_num)
                if not torch.isfinite(loss):
                    raise self.loss_not_finite(loss, part, log, update_num + 1)
                losses.append(loss.detach())
                optimizer.backward(loss * 0 if ignore_grad else loss)
            logs.append(log)
        log = self.merge_logs(logs)
        return torch.stack(losses).sum(), log["sample_size"], log | model.work.take()

    def valid_step(
        self, sample: dict[str, Any], model: Any, criterion: Any, ema_model: Any = None
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return loss, sample size and log of the model, or of the averaged one where it is given.

        Raises:
            ConfigError: it is asked for and not there.
        """
        if self.uses_ema and ema_model is None:
            raise ConfigError("--uses-ema needs averaged weights; add --store-ema")
        model = model if ema_model is None else ema_model
        model.eval()
        with torch.no_grad():
            losses, _, logs = zip(
                *(criterion(model, part) for part in self.parts(sample)), strict=True
            )
        log = self.merge_logs(logs)
        return torch.stack(losses).sum(), log["sample_size"], log

    def optimizer_step(self, optimizer: Any, model: Any, update_num: int) -> None:
        """Leave parameters alone that no process used, as a single process does.

        fairseq's averaging on the CPU gives them a gradient of zero, and weight decay follows.
        """
        if dist.is_initialized():
            for parameter in model.parameters():
                gradient = parameter.grad
                if gradient is not None and not gradient.is_cuda and not gradient.any():
                    parameter.grad = None
        super().optimizer_step(optimizer, model, update_num)

    def reduce_metrics(self, logging_outputs: Sequence[dict[str, Any]], criterion: Any) -> None:
        """Log speeds, and the mean of everything logged as NAME_sum and NAME_count."""
        super().reduce_metrics(logging_outputs, criterion)
        self.throughput.log(logging_outputs)
        for key in logging_outputs[0] if logging_outputs else ():
            name = key.removesuffix("_count")
            if name == key:
                continue
            count = sum(int(log[key]) for log in logging_outputs)
            total = sum(float(log[f"{name}_sum"]) for log in logging_outputs)
            if count > 0:
                metrics.log_scalar(name, total / count, weight=count, round=4)
