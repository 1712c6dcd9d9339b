"""Convolutions that have taken in the batch norms after them."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class FoldedNorms:
    """Convolutions with the batch norms after them, for inference on a CPU.

    Evaluation mode makes of a batch norm a factor and a summand per channel: they go into weights
    and bias. oneDNN gets the weights in its own order, and does the rectifier and the sum of a
    residual branch in the same pass.
    """

    def __init__(self) -> None:
        self._made: dict[nn.Conv2d, tuple[Tensor, Tensor]] = {}

    def __call__(
        self, conv: nn.Conv2d, norm: _BatchNorm, x: Tensor, *, relu: bool = True
    ) -> Tensor:
        """Return what convolution, batch norm and rectifier make of ``x``."""
        weight, bias, *geometry = self._get(conv, norm, x)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise.default(
            x, weight, bias, *geometry, "relu" if relu else "none", [], ""
        )
        return result

    def onto(self, identity: Tensor, conv: nn.Conv2d, norm: _BatchNorm, x: Tensor) -> Tensor:
        """Add convolution and batch norm of ``x`` to ``identity``, in place, and rectify."""
        result: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            identity, x, *self._get(conv, norm, x), "add", 1.0, "relu", [], ""
        )
        return result

    def _get(
        self, conv: nn.Conv2d, norm: _BatchNorm, x: Tensor
    ) -> tuple[Tensor, Tensor, list[int], list[int], list[int], int]:
        padding, stride, dilation = [*map(int, conv.padding)], [*conv.stride], [*conv.dilation]
        if conv not in self._made:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            # Rounded once, at the end, in half precision.
            factor = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
            weight = torch.ops.mkldnn._reorder_convolution_weight(
                (conv.weight * factor[:, None, None, None]).to(conv.weight.dtype),
                *(padding, stride, dilation, conv.groups, list(x.shape)),
            )
            bias = (norm.bias - norm.running_mean * factor).to(conv.weight.dtype)
            self._made[conv] = weight, bias
        return *self._made[conv], padding, stride, dilation, conv.groups
