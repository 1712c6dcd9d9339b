"""Keys and values of earlier target positions, in buffers allocated once.

Legend: B examples, R = B * beams rows, H heads, D head width, M longest target, L source.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class LayerCache:
    """Cache of one decoder layer."""

    self_k: Tensor
    """(R, H, M, D)"""
    self_v: Tensor
    """(R, H, M, D)"""
    cross_k: Tensor
    """(B, H, L, D), shared by the beams of an example."""
    cross_v: Tensor
    """(B, H, L, D)"""

    def write(self, k: Tensor, v: Tensor, positions: Tensor) -> None:
        """Store new keys and values (R, H, T, D) at ``positions`` (1 or R, T)."""
        index = positions[:, None, :, None].expand_as(k)
        self.self_k.scatter_(2, index, k)
        self.self_v.scatter_(2, index, v)

    def read(self, length: int) -> tuple[Tensor, Tensor]:
        """Return views of the first ``length`` positions, (R, H, length, D) each."""
        return self.self_k[:, :, :length], self.self_v[:, :, :length]


@dataclass
class DecoderCache:
    """State of incremental decoding: caches of all layers and the position biases."""

    layers: list[LayerCache]
    self_bias: Tensor
    """(layers, H, M, M), causal: row i is the bias of the token at position i."""
    cross_bias: Tensor
    """(1 or B, H, M, L)"""
    padding: Tensor | None
    """(B, 1, 1, L): 0 or -inf, or None without padding."""
    beams: int = 1
    """Rows per example."""
    length: int = 0
    """Positions in use in the longest row."""

    def cross_bias_at(self, positions: Tensor) -> Tensor:
        """Return the bias of cross-attention for tokens at ``positions`` (1 or R, T).

        It broadcasts to (B, H, beams * T, L): the beams of an example are queries side by side.
        """
        bias = self.cross_bias
        if len(positions) == 1:
            bias = bias[:, :, positions[0]]  # (1 or B, H, T, L)
            if positions.shape[1] > 1:
                bias = bias.repeat(1, 1, self.beams, 1)
        else:
            index = positions.reshape(-1, 1, self.beams * positions.shape[1], 1)
            batch = len(index)
            index = index.expand(-1, bias.shape[1], -1, bias.shape[3])
            bias = bias.expand(batch, -1, -1, -1).gather(2, index)  # (B, H, beams * T, L)
        return bias if self.padding is None else bias + self.padding

    def reorder(self, rows: Tensor) -> None:
        """Let row r continue what row ``rows[r]`` held; rows stay within their example."""
        for layer in self.layers:
            for buffer in (layer.self_k, layer.self_v):
                used = buffer[:, :, : self.length]
                used.copy_(used.index_select(0, rows))

    def keep(self, examples: Tensor) -> None:
        """Keep only some examples (indices into B), in the given order."""
        rows = examples[:, None] * self.beams + torch.arange(self.beams, device=examples.device)
        rows = rows.flatten()
        for layer in self.layers:
            layer.self_k = layer.self_k.index_select(0, rows)
            layer.self_v = layer.self_v.index_select(0, rows)
            layer.cross_k = layer.cross_k.index_select(0, examples)
            layer.cross_v = layer.cross_v.index_select(0, examples)
        if self.padding is not None:
            self.padding = self.padding.index_select(0, examples)
        if self.cross_bias.shape[0] > 1:
            self.cross_bias = self.cross_bias.index_select(0, examples)

    def expand(self, beams: int) -> None:
        """Repeat each row for its beams; called once, after the prompt is in the cache."""
        if self.beams != 1:
            raise ValueError(f"the cache already has {self.beams} beams")
        self.beams = beams
        for layer in self.layers:
            layer.self_k = layer.self_k.repeat_interleave(beams, dim=0)
            layer.self_v = layer.self_v.repeat_interleave(beams, dim=0)
