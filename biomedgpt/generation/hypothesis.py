"""What decoding returns."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Hypothesis:
    """One generated sequence."""

    tokens: Tensor
    """(T) ids of int64 without the prefix, ending with the end of sequence."""
    score: float
    """Total log-probability, divided by ``T ** length_penalty`` unless unnormalised."""
    positional_scores: Tensor
    """(T) log-probability of each token."""
