"""What fairseq's half precision does otherwise than float32, put right.

``--amp`` takes the scale of the loss out of the gradients twice: once of the optimizer that it
clips, and again of the one around it that it steps. ``--fp16`` gives parameters that a batch does
not use a gradient of zero, so that weight decay shrinks them; in float32 they are left alone.
Neither saves all that a run goes on from: in half precision the weights are rounded copies of those
in float32 that are trained, and the scale of the loss is found anew.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.optim.fp16_optimizer import FP16Optimizer, _FP16OptimizerMixin
from torch import Tensor


def step_unscaled(self: Any) -> None:
    """Step the optimizer whose gradients were unscaled and clipped (`AMPOptimizer.step`)."""
    self.scaler.step(self.optimizer)
    self.scaler.update()


def sync_gradients(self: Any) -> None:
    """Copy gradients to float32, and leave out those that are not there."""
    if not self._needs_sync:
        return
    self._needs_sync = False
    pairs = [(p, p32) for p, p32 in zip(self.fp16_params, self.fp32_params, strict=True)]
    for parameter, master in pairs:
        if parameter.grad is None:
            master.grad = None
        elif master.grad is None:
            master.grad = torch.empty_like(master)
    used = [(p.grad, p32.grad) for p, p32 in pairs if p.grad is not None]
    if used:
        gradients, masters = zip(*used, strict=True)
        torch._foreach_copy_(list(masters), list(gradients))


_MASTERS, _SCALER = "fp32_params", "scaler"
_build = FP16Optimizer.build_optimizer.__func__
_state, _load = _FP16OptimizerMixin.state_dict, _FP16OptimizerMixin.load_state_dict
_amp_state, _amp_load = AMPOptimizer.state_dict, AMPOptimizer.load_state_dict


def build_optimizer(cls: Any, cfg: Any, params: Any, **options: Any) -> Any:
    """As fairseq's, a gradient to each parameter: in one flat tensor none can be absent."""
    cfg.common.fp16_no_flatten_grads = True
    return _build(cls, cfg, params, **options)


def state_dict(self: Any) -> dict[str, Any]:
    """As fairseq's, with the weights that are trained."""
    return _state(self) | {_MASTERS: [master.detach() for master in self.fp32_params]}


def load_state_dict(
    self: Any, state: dict[str, Any], optimizer_overrides: dict[str, Any] | None = None
) -> None:
    """Load a state, also one of a run that kept all parameters in one flat tensor.

    Older runs have no weights in float32; those go on from the rounded ones, as with fairseq.
    """
    masters = list(self.fp32_params)
    flat = state["state"].get(0, {})
    if len(state["param_groups"][0]["params"]) == 1 and len(masters) > 1:
        places = list(range(len(masters)))
        state = state | {
            "state": {place: _part(flat, masters, place) for place in places},
            "param_groups": [state["param_groups"][0] | {"params": places}],
        }
    _load(self, state, optimizer_overrides)
    restore_weights(masters, state)


def restore_weights(parameters: Iterable[Tensor], state: Mapping[str, Any]) -> None:
    """Set parameters in float32 to those that a run in half precision trained."""
    with torch.no_grad():
        for parameter, stored in zip(parameters, state.get(_MASTERS, ()), strict=False):
            parameter.copy_(stored)


def amp_state_dict(self: Any) -> dict[str, Any]:
    """As fairseq's, with the scale of the loss."""
    return _amp_state(self) | {_SCALER: self.scaler.state_dict()}


def amp_load_state_dict(
    self: Any, state: dict[str, Any], optimizer_overrides: dict[str, Any] | None = None
) -> None:
    """Load a state; those of older runs have no scale."""
    _amp_load(self, state, optimizer_overrides)
    restore_weights(self.fp32_optimizer.params, state)
    if state.get(_SCALER):
        self.scaler.load_state_dict(state[_SCALER])


def _part(flat: Mapping[str, Any], masters: list[Tensor], place: int) -> dict[str, Any]:
    start, size = sum(master.numel() for master in masters[:place]), masters[place].numel()
    return {
        name: value[start : start + size].view_as(masters[place])
        if isinstance(value, Tensor) and value.dim() == 1
        else value
        for name, value in flat.items()
    }


def install() -> None:
    """Put fairseq's optimizers right."""
    AMPOptimizer.step = step_unscaled
    FP16Optimizer.build_optimizer = classmethod(build_optimizer)
    FP16Optimizer._sync_fp16_grads_to_fp32 = sync_gradients
    FP16Optimizer.state_dict = state_dict
    FP16Optimizer.load_state_dict = load_state_dict
    AMPOptimizer.state_dict = amp_state_dict
    AMPOptimizer.load_state_dict = amp_load_state_dict
