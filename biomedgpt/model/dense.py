"""Linear maps and token embeddings whose products and gradients suit large sizes.

Both hold the parameters of torch's own modules and compute the same function.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from biomedgpt.model.linear import can_pack

_ROWS = 96
"""From this many rows on, oneDNN is faster than the default of torch's builds for x86."""
_NARROW, _NARROW_ROWS = 512, 256
"""Narrower maps need more rows for that."""
_WIDE = 16384
"""Maps with as many outputs, those to a vocabulary, gain at two rows already."""


class Dense(nn.Linear):
    """A linear map.

    On a CPU float32 products of many rows go through oneDNN, which was 1.1 to 1.4 times as fast as
    MKL there, and 2 to 3 times for few rows and a whole vocabulary. Gradients of the weight
    gained nothing.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(..., C) -> (..., K)."""
        if not _suits(input, self.weight):
            return F.linear(input, self.weight, self.bias)
        if not torch.is_grad_enabled():
            return _multiply(input, self.weight, self.bias)
        result: Tensor = _Dense.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return result


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x = for_weight = for_bias = None
        gradient = gradient.contiguous()
        if ctx.needs_input_grad[0]:
            for_x = _multiply(gradient, weight.t(), None)
        gradient = gradient.flatten(0, -2)
        if ctx.needs_input_grad[1]:
            for_weight = gradient.t() @ x.flatten(0, -2)
        if ctx.needs_input_grad[2]:
            for_bias = gradient.sum(0)
        return for_x, for_weight, for_bias


def _suits(x: Tensor, weight: Tensor) -> bool:
    if x.dtype != torch.float32 or not can_pack(weight) or torch.is_autocast_enabled("cpu"):
        return False
    rows = x.numel() // max(x.shape[-1], 1)
    outputs, inputs = weight.shape
    if outputs >= _WIDE:
        return rows > 1
    return rows >= (_ROWS if min(outputs, inputs) >= _NARROW else _NARROW_ROWS)


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return result


class TokenEmbedding(nn.Embedding):
    """An embedding that is the projection to the vocabulary, too.

    On a CPU a lookup's gradient has only the rows of the tokens that occur: they are added to the
    gradient from the projection. Otherwise each lookup fills a matrix of the size of the
    vocabulary with zeros, and adds it: 7 to 16 % of a training step, and the peak of its memory.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Tokens (...) -> (..., C)."""
        weight = self.weight
        sparse = weight.device.type == "cpu" and weight.requires_grad and torch.is_grad_enabled()
        if sparse and _densify not in (weight._post_accumulate_grad_hooks or {}).values():
            weight.register_post_accumulate_grad_hook(_densify)
        return F.embedding(input, weight, self.padding_idx, sparse=sparse)


def _densify(weight: Tensor) -> None:
    """Keep optimizers from a gradient of lookups alone, where nothing was projected."""
    if weight.grad is not None and weight.grad.is_sparse:
        weight.grad = weight.grad.to_dense()
