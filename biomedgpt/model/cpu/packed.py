"""Linear maps of few rows, as decoding has them, with weights in the order that suits them.

On a CPU a product of few rows costs what it takes to bring in the weights. In oneDNN's blocked
order that goes 1.3 to 4 times faster than from the matrices that training updates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

Linear = Callable[[Tensor], Tensor]
"""(..., C) -> (..., K)."""

T = TypeVar("T")

_OPERATORS = (
    *("_reorder_linear_weight", "_linear_pointwise"),
    *("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_"),
)
"""Internal to torch: a build that lacks one is served by the plain products."""
_ROWS = 512
"""Rows that oneDNN is told to expect. For few it would keep the plain order, the slower one."""
_STRIDE = 4099
"""Every how many weights one is compared to tell whether they changed; a prime number."""


def can_pack(weight: Tensor) -> bool:
    """Say whether `packed_linear` works here for this weight, and pays.

    Not under ``torch.compile``, which takes these operators for weights that are constants only.
    """
    if torch.compiler.is_compiling() or weight.device.type != "cpu":
        return False
    return weight.dtype in _packed_types()


@cache
def _packed_types() -> tuple[torch.dtype, ...]:
    # With AVX2 alone layers gained nothing, the projection to the vocabulary 1.3 times.
    if not (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)
    ):
        return ()
    multiplies_half = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return (torch.float32, torch.bfloat16) if multiplies_half() else (torch.float32,)


def packed_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """Return the map with its own copy of the weight (K, C), in blocked order."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
    multiply = torch.ops.mkldnn._linear_pointwise.default

    def apply(x: Tensor) -> Tensor:
        result: Tensor = multiply(x, packed, bias, "none", [], "")
        return result

    return apply


def linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Return the map as `packed_linear` makes it, or with the weight as it is."""
    if can_pack(weight):
        return packed_linear(weight, bias)
    return lambda x: F.linear(x, weight, bias)


@dataclass(frozen=True)
class LayerMaps:
    """The linear maps of a decoder layer that every step needs."""

    self_qkv: Linear
    """(..., C) -> (..., 3 C): queries, keys and values of self-attention."""
    self_out: Linear
    cross_q: Linear
    cross_out: Linear
    fc1: Linear
    fc2: Linear


class NotCopied:
    """State of one object: a copy of whoever holds it begins with an empty one."""

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return type(self)()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


class WeightCache(NotCopied, Generic[T]):
    """Something made of weights, kept as long as these are what they were.

    What tells weights from others: where they are, how often they changed, a sample of them. The
    count of changes misses those made through ``.data``, which optimizers use.
    """

    def __init__(self) -> None:
        self._made: tuple[list[tuple[int, int]], Tensor, T] | None = None

    def get(self, weights: Sequence[Tensor], make: Callable[[], T]) -> T:
        """Return what ``make`` makes of these weights, now or at an earlier call."""
        places = [(w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights]
        sample = torch.cat([w.detach().flatten()[::_STRIDE] for w in weights])
        if self._made is None or self._made[0] != places or not torch.equal(self._made[1], sample):
            self.forget()  # before there is a new one: both would be too much
            self._made = places, sample, make()
        return self._made[2]

    def forget(self) -> None:
        """Give the memory back."""
        self._made = None
