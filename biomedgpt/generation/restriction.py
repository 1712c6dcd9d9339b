"""What a restriction of the output is to a decoding session: a state machine over tokens."""

from typing import Protocol, Self

import torch
from torch import Tensor


class Restriction(Protocol):
    """Says which tokens may follow; every row is at a node, at first at node 0.

    `biomedgpt.generation.trie.AnswerTrie` and `biomedgpt.generation.interleaved.TextUntilImage` are
    such machines.
    """

    @property
    def ids(self) -> Tensor | None:
        """(K) the ids that may be generated, ascending; None for all of the vocabulary."""

    def to(self, device: torch.device | str) -> Self:
        """Move to a device, in place; return the same object."""

    def allowed(self, nodes: Tensor) -> Tensor:
        """Return which tokens may follow: (...) nodes -> (..., K) of bool."""

    def follow(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Return the nodes reached by tokens, given as indices among the K."""
