"""Linear maps and token embeddings whose products and gradients suit large sizes.

Both hold the parameters of torch's own modules and compute the same function.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from biomedgpt.model.cpu.packed import NotCopied, can_pack

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
        return dense(input, self.weight, self.bias)


def dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., C) -> (..., K) with a weight (K, C); see `Dense`."""
    if not _suits(x, weight):
        return F.linear(x, weight, bias)
    if not torch.is_grad_enabled():
        return _multiply(x, weight, bias)
    result: Tensor = _Dense.apply(x, weight, bias)  # type: ignore[no-untyped-call]
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
    """An embedding whose matrix is the projection to the vocabulary, too.

    On a CPU a lookup's gradient is kept as the rows that occurred. They are added, in place, to
    the gradient that the projection has for the whole matrix. Otherwise each lookup fills a matrix
    of the size of the vocabulary with zeros and adds it: 7 to 16 % of a training step, and the peak
    of its memory.
    """

    def __init__(self, entries: int, dim: int, *, padding_idx: int | None = None) -> None:
        super().__init__(entries, dim, padding_idx=padding_idx)
        self._uses = _Uses()

    def forward(self, input: Tensor) -> Tensor:
        """Tokens (...) -> (..., C)."""
        if not self._adds_rows():
            return super().forward(input)
        uses = self._uses
        rows: Tensor = _Rows.apply(  # type: ignore[no-untyped-call]
            uses.whole(self.weight), input, self.padding_idx, uses
        )
        return rows

    def matrix(self) -> Tensor:
        """Return the weight (V, C) for a projection of the same forward pass."""
        return self._uses.whole(self.weight) if self._adds_rows() else self.weight

    def _adds_rows(self) -> bool:
        weight = self.weight
        trains = weight.requires_grad and torch.is_grad_enabled()
        return trains and weight.device.type == "cpu" and not torch.compiler.is_compiling()


class TokenProjection(Dense):
    """The projection (..., C) -> (..., V) with the matrix of an embedding."""

    def __init__(self, embedding: TokenEmbedding) -> None:
        super().__init__(embedding.embedding_dim, embedding.num_embeddings, bias=False)
        self.tie(embedding)

    def tie(self, embedding: TokenEmbedding) -> None:
        """Make the embedding's matrix the weight."""
        self.weight = embedding.weight
        self._embedding = (embedding,)  # in a tuple, or it would be a submodule

    def forward(self, input: Tensor) -> Tensor:
        """(..., C) -> (..., V)."""
        return dense(input, self.matrix(), None)

    def matrix(self) -> Tensor:
        """Return the weight, such that lookups of the same pass may add to its gradient."""
        (embedding,) = self._embedding
        return embedding.matrix() if self.weight is embedding.weight else self.weight


class _Uses(NotCopied):
    """What lookups and projections of one matrix share: a node of the graph that all go through."""

    def __init__(self) -> None:
        self._weight: Tensor | None = None
        self._whole: Tensor | None = None
        self.rows: list[tuple[int, Tensor, Tensor]] = []
        """Of backward passes under way: their numbers, tokens (N), gradients (N, C)."""

    def whole(self, weight: Tensor) -> Tensor:
        """Return the matrix as that node's output; the same until its backward pass."""
        found = self._whole
        if found is None or self._weight is not weight or found.data_ptr() != weight.data_ptr():
            found = _SharedMatrix.apply(weight, self)  # type: ignore[no-untyped-call]
            self._weight, self._whole = weight, found
        assert found is not None
        return found

    def take(self) -> list[tuple[Tensor, Tensor]]:
        """Return the rows of this backward pass; what one left that failed does not count."""
        self._weight = self._whole = None
        number = _number_of_pass()
        taken = [(tokens, rows) for owner, tokens, rows in self.rows if owner == number]
        self.rows = [one for one in self.rows if one[0] != number]
        return taken


class _SharedMatrix(torch.autograd.Function):
    """A matrix as it is. Its gradient waits for all uses, and gets the rows of lookups."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, uses: _Uses) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.uses, ctx.shape = uses, weight.shape
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        for tokens, rows in ctx.uses.take():
            whole = rows.new_zeros(ctx.shape) if gradient is None else gradient.contiguous()
            gradient = whole.index_add_(0, tokens, rows)
        return gradient, None


class _Rows(torch.autograd.Function):
    """Rows of a matrix. Their gradient goes to `_Uses`, none to the matrix itself."""

    @staticmethod
    def forward(
        ctx: Any, matrix: Tensor, tokens: Tensor, padding_idx: int | None, uses: _Uses
    ) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.padding_idx, ctx.uses = padding_idx, uses
        return F.embedding(tokens, matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        tokens = ctx.saved_tensors[0].flatten()
        rows = gradient.flatten(0, -2)
        if ctx.padding_idx is not None:
            rows = rows.masked_fill(tokens.eq(ctx.padding_idx)[:, None], 0.0)
        ctx.uses.rows.append((_number_of_pass(), tokens, rows))
        return None, None, None, None


def _number_of_pass() -> int:
    """Return which backward pass this is; internal to torch, whose checkpoints use it."""
    return int(torch._C._current_graph_task_id())
