"""Adam with decoupled weight decay, in one pass over the weights.

fairseq divides the gradients by the number of targets in one pass, clips them in another, and then
goes over every parameter with nine operations. Here the two factors are only kept, and torch's
fused kernel applies them while it updates.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.AdamW):
    """Decoupled weight decay (arXiv 1711.05101) with the arithmetic of fairseq's ``Adam``.

    Both read each other's states.

    Args:
        params: float32 parameters, or groups of them.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the square root of the second moment before its bias is corrected, as in
            fairseq and at the end of section 2 of arXiv 1412.6980; torch adds it afterwards.
        weight_decay: per update, times the learning rate.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
        self._factor: float | Tensor = 1.0

    def scale_gradients(self, factor: float | Tensor) -> None:
        """Let the next step see the gradients times a factor; until then they stay as they are."""
        self._factor = self._factor * factor

    def clip_gradients(
        self, max_norm: float, aggregate: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Let the next step see gradients of a norm no greater than this (0: any).

        Args:
            max_norm: of all gradients together, scaled as asked for.
            aggregate: makes one norm of those of several processes that hold parts of the model.

        Returns:
            The norm before clipping.
        """
        gradients = [
            parameter.grad
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        norm = torch.nn.utils.get_total_norm(gradients)
        if aggregate is not None:
            norm = aggregate(norm)
        norm = norm * self._factor
        if max_norm > 0:
            self.scale_gradients((max_norm / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients and what they were to be multiplied by."""
        super().zero_grad(set_to_none)
        self._factor = 1.0

    def step(self, closure: Any = None) -> Any:
        """Update the weights; the gradients are then those that it saw.

        Under a `torch.amp.GradScaler`, which sets ``grad_scale`` and ``found_inf``, nothing is
        updated where a gradient is not finite.
        """
        scaled, overflow = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if overflow is not None and overflow.item():
            self._factor = 1.0
            return None
        given = [group["eps"] for group in self.param_groups]
        for group in self.param_groups:
            group["updates"] = self._updates(group) + 1
            # torch's kernel divides the moment by its bias first, and eps would be smaller.
            group["eps"] /= math.sqrt(1 - group["betas"][1] ** group["updates"])
        # The kernel divides by this.
        divisor = (1.0 / torch.as_tensor(self._factor)).float()
        self.grad_scale = divisor if scaled is None else divisor * scaled
        try:
            return super().step(closure)
        finally:
            self.grad_scale = scaled
            self._factor = 1.0
            for group, eps in zip(self.param_groups, given, strict=True):
                group["eps"] = eps

    def _updates(self, group: dict[str, Any]) -> int:
        """Return how many there were, also where fairseq's optimizer made them."""
        if "updates" not in group:
            states = [self.state[p] for p in group["params"] if p in self.state]
            group["updates"] = max((int(state["step"]) for state in states), default=0)
        return int(group["updates"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        for group in state["param_groups"]:
            # Those that fairseq's optimizer saved do not say how torch's is to compute.
            group.update(fused=True, decoupled_weight_decay=True, capturable=False, foreach=None)
            group.pop("updates", None)
        super().__setstate__(state)  # type: ignore[no-untyped-call]
