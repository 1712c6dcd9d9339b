"""The order of the data is that of the run, on however many devices it goes on.

fairseq deals whole batches out to devices. With ``--batch-parts`` each batch is cut into as many
parts, and these are dealt out: so an update sees the same rows on one device and on eight, although
a batch of eight devices' own would be eight times as large. A position in the data is stored with
what it counts, so that a run that resumes on other devices or with other batches finds its place.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from fairseq.data.iterators import EpochBatchIterator, ShardedIterator

_load_state_dict = EpochBatchIterator.load_state_dict
_ordered_batches = EpochBatchIterator.ordered_batches
_state_dict = EpochBatchIterator.state_dict


class _Resuming:
    """What fairseq has no way to pass along: how many batches an update takes."""

    update_freq: Sequence[int] = (1,)


def use_update_freq(update_freq: Sequence[int]) -> None:
    """Let a run resume at the beginning of an update."""
    _Resuming.update_freq = update_freq


def steps_per_update(update_freq: Sequence[int], epoch: int) -> int:
    """Return the batches of a device that an update of an epoch takes (``--update-freq``)."""
    return int(update_freq[min(epoch, len(update_freq)) - 1])


def cut(batch: Sequence[int], parts: int) -> list[list[int]]:
    """Return the rows of a batch in as many parts, as even as can be; some may be empty."""
    return [part.tolist() for part in np.array_split(np.asarray(batch, dtype=int), parts)]


def length(self: EpochBatchIterator) -> int:
    """Return the batches of a device in an epoch."""
    return math.ceil(len(self.frozen_batches) * self.batch_parts / self.num_shards)


def ordered_batches(
    self: EpochBatchIterator, epoch: int, fix_batches_to_gpus: bool, shuffle: bool
) -> list[list[int]]:
    """Return the batches of this device: as fairseq orders them, but of parts."""
    whole = copy.copy(self)
    if self.batch_parts > 1:
        whole.num_shards, whole.shard_id = 1, 0
    batches: list[list[int]] = _ordered_batches(whole, epoch, fix_batches_to_gpus, shuffle)
    if self.batch_parts == 1:
        return batches
    parts = [part for batch in batches for part in cut(batch, self.batch_parts)]
    return list(ShardedIterator(parts, self.num_shards, self.shard_id, fill_value=[]))


def state_dict(self: EpochBatchIterator) -> dict[str, Any]:
    """As fairseq's, with what its position counts."""
    state: dict[str, Any] = _state_dict(self)
    total = len(self.frozen_batches) * self.batch_parts
    return state | {"devices": self.num_shards, "batches": total}


def load_state_dict(self: EpochBatchIterator, state: dict[str, Any]) -> None:
    """As fairseq's, which takes batches of a device of then for batches of a device of now."""
    position = state.get("iterations_in_epoch", 0)
    if position:
        total = len(self.frozen_batches) * self.batch_parts
        everywhere = position * state.get("devices", self.num_shards)
        here = everywhere * total / state.get("batches", total) / self.num_shards
        steps = steps_per_update(_Resuming.update_freq, state["epoch"])
        position = int(here) // steps * steps
    _load_state_dict(self, state | {"iterations_in_epoch": position})


def install() -> None:
    """Let fairseq's iterators deal out parts and find their place."""
    EpochBatchIterator.batch_parts = 1
    EpochBatchIterator.__len__ = length
    EpochBatchIterator.ordered_batches = ordered_batches
    EpochBatchIterator.state_dict = state_dict
    EpochBatchIterator.load_state_dict = load_state_dict
