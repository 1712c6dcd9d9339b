"""The learning rate follows the run as it is: its batches, devices, epochs, and what a resume adds.

How many updates a run makes is known once fairseq has read the data and the checkpoint. Only then
is the schedule fitted (``--fit-schedule``), and ``--warmup-ratio`` a number of updates. A schedule
that ends earlier than the run is an error: the rest would be trained with a rate of zero.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any

from fairseq.data.iterators import EpochBatchIterator

from biomedgpt.errors import ConfigError
from fairseq_ext.data_order import steps_per_update, use_update_freq

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Length:
    """How far a run has come, and how far it goes."""

    done: int
    """Updates."""
    total: int
    """Updates of the whole run, the done ones among them."""


def measure(trainer: Any, iterator: EpochBatchIterator) -> Length:
    """Return the length of a run from its batches.

    Args:
        trainer: fairseq's, which has read its checkpoint.
        iterator: of the epoch that comes next.

    Raises:
        ConfigError: it has no end.
    """
    options = trainer.cfg.optimization
    if not (options.max_epoch or options.max_update):
        raise ConfigError("the run would never end; give --max-epoch or --max-update")
    done = total = trainer.get_num_updates()
    epoch = iterator.next_epoch_idx
    last = options.max_epoch or math.inf
    batches = len(iterator) - iterator.iterations_in_epoch
    while epoch <= last and total < (options.max_update or math.inf):
        total += math.ceil(batches / steps_per_update(options.update_freq, epoch))
        batches = len(iterator)
        epoch += 1
    return Length(done, min(total, options.max_update or total))


def fit(trainer: Any, length: Length) -> None:
    """Let the rate reach its end with the run's last update.

    Raises:
        ConfigError: what was asked for ends before, or contradicts itself.
    """
    scheduler = trainer.lr_scheduler
    fits, ratio = trainer.task.cfg.fit_schedule, trainer.task.cfg.warmup_ratio
    if not hasattr(scheduler, "total_num_update"):
        if fits or ratio:
            raise ConfigError(
                "--fit-schedule and --warmup-ratio are for --lr-scheduler polynomial_decay"
            )
        return
    if fits:
        scheduler.total_num_update = scheduler.cfg.total_num_update = float(length.total)
    end = int(scheduler.total_num_update)
    if end < length.total and scheduler.end_learning_rate == 0:
        raise ConfigError(
            f"the learning rate reaches 0 at update {end} (--total-num-update), and the run makes "
            f"{length.total}; leave --total-num-update out, or give --max-update {end} or "
            "--end-learning-rate"
        )
    if end < length.total:
        logger.warning(
            "the learning rate stays at %g from update %d to the last, %d",
            *(scheduler.end_learning_rate, end, length.total),
        )
    if ratio:
        scheduler.cfg.warmup_updates = int(ratio * length.total)
    warmup = scheduler.cfg.warmup_updates
    if warmup >= length.total:
        logger.warning(
            "the learning rate rises for %d updates, and the run makes %d: it never reaches --lr",
            *(warmup, length.total),
        )
    scheduler.warmup_factor = 1 / warmup if warmup else 1
    stored = trainer.cfg.lr_scheduler  # what a checkpoint says
    stored.total_num_update, stored.warmup_updates = scheduler.total_num_update, warmup
    trainer.lr_step_update()


def before_loading(trainer: Any) -> None:
    """Say what a position in the data counts, so that a checkpoint's can be found."""
    use_update_freq(list(trainer.cfg.optimization.update_freq))


def after_loading(trainer: Any, iterator: EpochBatchIterator) -> None:
    """Fit the schedule to what is there and what is left."""
    trainer.length = length = measure(trainer, iterator)
    fit(trainer, length)
    options = trainer.cfg.dataset
    options.validate_after_updates = min(options.validate_after_updates, length.total)
    logger.info("at update %d of %d", length.done, length.total, extra={"length": length})
