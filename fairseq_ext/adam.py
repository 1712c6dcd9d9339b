"""fairseq's ``--optimizer adam`` with the update of `biomedgpt.optimizer`: a third of the time.

Options, checkpoints and the optimizer's name in them stay fairseq's, so that runs begun with one go
on with the other.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from fairseq.optim import OPTIMIZER_REGISTRY, FairseqOptimizer, adam
from torch import Tensor

from biomedgpt.optimizer import Adam
from fairseq_ext.precision import restore_weights


class FairseqAdam(adam.FairseqAdam):
    """Scales and clips gradients while it updates, not before."""

    # The kernel wants weights and moments of one type; fairseq's own keeps moments in float32.
    supports_memory_efficient_fp16 = False
    supports_flat_params = True

    def __init__(self, cfg: Any, params: Sequence[Any]) -> None:
        super().__init__(cfg, params)
        self._optimizer = Adam(params, **self.optimizer_config)

    @classmethod
    def build_optimizer(cls, cfg: Any, params: Sequence[Any]) -> FairseqOptimizer:
        """Return one for these parameters: fairseq's where it has reasons to use another kernel.

        These are ``--use-old-adam``, Apex, a TPU and weights in half precision.
        """
        own = adam.FairseqAdam(cfg, params)
        plain = type(own.optimizer) is adam.Adam and not (cfg.use_old_adam or cfg.tpu)
        if plain and all(parameter.dtype == torch.float32 for parameter in own.params):
            return cls(cfg, params)
        return own

    def load_state_dict(
        self, state_dict: dict[str, Any], optimizer_overrides: dict[str, Any] | None = None
    ) -> None:
        """Load a state, also one of a run in half precision."""
        super().load_state_dict(state_dict, optimizer_overrides)
        restore_weights(self.params, state_dict)

    def multiply_grads(self, c: float | Tensor) -> None:
        """Multiply gradients, once the step is taken."""
        self._optimizer.scale_gradients(c)

    def clip_grad_norm(
        self, max_norm: float, aggregate_norm_fn: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the gradients' norm; they are clipped once the step is taken."""
        return self._optimizer.clip_gradients(max_norm, aggregate_norm_fn)


def install() -> None:
    """Let ``--optimizer adam`` mean this one."""
    OPTIMIZER_REGISTRY["adam"] = FairseqAdam
