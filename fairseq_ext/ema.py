"""fairseq's exponential moving average: each tensor once, in float32, with a decay that grows.

fairseq walks the keys of the state dict. The three keys of the tied embedding are one tensor, so
its average would follow the weights three times too fast.

In half precision one update is less than the distance between two numbers, and the average would
stand still; it is therefore kept in float32 whether ``--ema-fp32`` is given or not.

fairseq's decay is the same from the first update on: with 0.9999 the average of a run of a few
thousand updates would be mostly initial weights and initial statistics of batch norm. Here the
decay is at most ``(1 + updates) / (10 + updates)``, as in TensorFlow and timm, so the average looks
back over a tenth of the run so far until that is as far as the decay asked for.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import fairseq.trainer
import torch
from fairseq.models.ema.ema import EMA
from torch import Tensor

_AT_A_TIME = 2**26
"""Values that are brought to float32 together: 256 MB."""
_Portion = tuple[list[Tensor], list[Tensor], list[Tensor]]


class TiedEMA(EMA):
    """Average of parameters and buffers, ``decay * average + (1 - decay) * new``."""

    def __init__(self, model: Any, config: Any, device: Any = None) -> None:
        half = any(value.dtype != torch.float32 for value in model.state_dict().values())
        # fairseq's trainer looks here, too, when it saves and restores.
        config.ema_fp32 = config.ema_fp32 or half
        self._followed: torch.nn.Module | None = None
        self._portions: list[_Portion] = []
        super().__init__(model, config, device)

    def build_fp32_params(self, state_dict: Mapping[str, Tensor] | None = None) -> None:
        """Copy weights, of which tied ones stay one tensor."""
        super().build_fp32_params(state_dict)
        first: dict[int, Tensor] = {}
        for key, value in self.model.state_dict().items():
            copy = self.fp32_params[key]
            self.fp32_params[key] = first.setdefault(value.data_ptr(), copy)

    def _step_internal(self, new_model: torch.nn.Module, updates: int | None = None) -> None:
        if updates is not None:
            self._set_decay(min(self.decay, (1 + updates) / (10 + updates)))
        if self._followed is not new_model:
            self._followed, self._portions = new_model, list(self._pair(new_model))
        for averages, own, new in self._portions:
            torch._foreach_lerp_(averages, _as_float32(new), 1 - self.decay)
            if averages is not own:
                torch._foreach_copy_(own, averages)

    def _pair(self, model: torch.nn.Module) -> Iterator[_Portion]:
        """Yield averages, their copies in the model's precision, and the tensors they follow.

        All are updated in place, so that pairing them once will do: walking two state dicts takes
        longer on the host than the update itself.
        """
        own = self.model.state_dict()
        new = model.state_dict()
        once = {value.data_ptr(): key for key, value in own.items()}.values()
        ends = itertools.accumulate(own[key].numel() for key in once)
        parts = zip(once, ends, strict=True)
        for _, part in itertools.groupby(parts, lambda part: part[1] // _AT_A_TIME):
            keys = [key for key, _ in part]
            copies = [own[key] for key in keys]
            averages = [self.fp32_params[key] for key in keys] if self.fp32_params else copies
            yield averages, copies, [new[key] for key in keys]


def _as_float32(tensors: list[Tensor]) -> list[Tensor]:
    if all(tensor.dtype == torch.float32 for tensor in tensors):
        return tensors
    copies = [torch.empty_like(tensor, dtype=torch.float32) for tensor in tensors]
    torch._foreach_copy_(copies, tensors)
    return copies


def build(model: Any, config: Any, device: Any) -> TiedEMA:
    """Stand in for `fairseq.models.ema.build_ema`."""
    return TiedEMA(model, config, device)


def install() -> None:
    """Let fairseq's trainer average with `TiedEMA`."""
    fairseq.trainer.build_ema = build
