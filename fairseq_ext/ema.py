"""fairseq's exponential moving average, with each tensor averaged once and a decay that grows.

fairseq walks the keys of the state dict. The three keys of the tied embedding are one tensor, so
its average would follow the weights three times too fast.

Its decay is the same from the first update on: with 0.9999 the average of a run of a few thousand
updates would be mostly initial weights and initial statistics of batch norm. Here the decay is at
most ``(1 + updates) / (10 + updates)``, as in TensorFlow and timm, so the average looks back over a
tenth of the run so far until that is as far as the decay asked for.
"""

from typing import Any

import fairseq.trainer
import torch
from fairseq.models.ema.ema import EMA


class TiedEMA(EMA):
    """Average of parameters and buffers, ``decay * average + (1 - decay) * new``."""

    def _step_internal(self, new_model: torch.nn.Module, updates: int | None = None) -> None:
        if updates is not None:
            self._set_decay(min(self.decay, (1 + updates) / (10 + updates)))
        own = self.model.state_dict()
        averages = self.fp32_params if self.config.ema_fp32 else own
        done = set()
        for key, value in new_model.state_dict().items():
            average = averages[key]
            if average.data_ptr() not in done:
                done.add(average.data_ptr())
                average.lerp_(value.to(average.dtype), 1 - self.decay)
        if any(averages[key].dtype != own[key].dtype for key in own):
            self.restore(averages)


def build(model: Any, config: Any, device: Any) -> TiedEMA:
    """Stand in for `fairseq.models.ema.build_ema`."""
    return TiedEMA(model, config, device)


def install() -> None:
    """Let fairseq's trainer average with `TiedEMA`."""
    fairseq.trainer.build_ema = build
