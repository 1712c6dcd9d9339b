"""Keys and values of earlier target positions, and the position biases of the next ones.

Beams that continue one another are not copied: all beams of an example write into one row of slots,
and a mask says which slots hold a beam's own past. Choosing other beams changes the mask alone.

Legend: B examples, N beams of each, G groups of beams that share slots (B of N beams, or B * N of
one beam), R = B * N rows, H heads, D head width, P prompt, M longest target, L source, S slots.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from biomedgpt.model.linear import LayerMaps


@dataclass
class LayerCache:
    """Cache of one decoder layer."""

    self_k: Tensor
    """(G, H, S, D)"""
    self_v: Tensor
    """(G, H, S, D)"""
    cross_k: Tensor
    """(B, H, L, D), shared by the beams of an example."""
    cross_v: Tensor
    """(B, H, L, D)"""
    used: int = 0
    """Slots that are filled."""

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Fill the next slots with keys and values (G, H, T, D); return all of them."""
        start, self.used = self.used, self.used + k.shape[2]
        self.self_k[:, :, start : self.used] = k
        self.self_v[:, :, start : self.used] = v
        return self.self_k[:, :, : self.used], self.self_v[:, :, : self.used]

    def take(self, groups: Tensor, slots: int) -> None:
        """Go on with some groups, (G') indices, and with room for ``slots``."""
        for name in ("self_k", "self_v"):
            old: Tensor = getattr(self, name)
            new = old.new_empty(len(groups), old.shape[1], slots, old.shape[3])
            new[:, :, : self.used] = old[:, :, : self.used].index_select(0, groups)
            setattr(self, name, new)


class DecoderCache:
    """State of incremental decoding: caches of all layers and the position biases.

    Args:
        layers: with room for the prompt.
        maps: the linear maps of each layer.
        self_bias: (layers, H, M, M), causal: row i is the bias of the token at position i.
        cross_bias: (1 or B, H, M, L).
        padding: (B, 1, 1, L) 0 or -inf, or None without padding.
        lengths: (1 or B) tokens of the prompts; one number if all are equally long.
        prompt: P, those of the longest prompt.
    """

    def __init__(
        self,
        layers: list[LayerCache],
        maps: list[LayerMaps],
        *,
        self_bias: Tensor,
        cross_bias: Tensor,
        padding: Tensor | None,
        lengths: Tensor,
        prompt: int,
    ) -> None:
        self.layers = layers
        self.maps = maps
        self.self_bias = self_bias
        self.cross_bias = cross_bias
        self.padding = padding
        self.prompt = prompt
        self.next = lengths
        """(1 or B) position of the next token of each example."""
        self.beams = 1
        """Rows per example."""
        self.slots = torch.arange(prompt, device=lengths.device)[None]
        """(1 or G, S) position of each slot."""
        self.visible: Tensor | None = None
        """(G, R / G, S): 0 for a slot with the row's own past, else -inf. None: all are."""
        self.own: Tensor | None = None
        """(R / G, R / G): what of the newest slots each row sees: its own."""

    def prompt_biases(self) -> tuple[Tensor, Tensor]:
        """Return the biases of the prompt: (layers, 1, H, P, P) and (1 or B, H, P, L)."""
        own = self.self_bias[:, None, :, : self.prompt, : self.prompt]
        cross = self.cross_bias[:, :, : self.prompt]
        return own, cross if self.padding is None else cross + self.padding

    def expand(self, beams: int, *, together: bool) -> None:
        """Make ``beams`` rows of each example; called once, after the prompt is in the cache.

        Args:
            beams: N.
            together: whether rows of an example may continue one another.
        """
        if self.beams != 1:
            raise ValueError(f"the cache already has {self.beams} beams")
        self.beams = beams
        device = self.slots.device
        batch, longest = len(self.layers[0].cross_k), self.self_bias.shape[-1]
        groups = torch.arange(batch, device=device)
        lengths = self.next[:, None]  # (1 or B, 1)
        rows = beams if together else 1
        if not together:
            groups = groups.repeat_interleave(beams)
            lengths = lengths if len(lengths) == 1 else lengths[groups]
        steps = torch.arange(longest - self.prompt, device=device).repeat_interleave(rows)
        old = self.slots.expand(len(lengths), -1)
        self.slots = torch.cat([old, lengths + steps], dim=1)
        total = self.slots.shape[1]
        for layer in self.layers:
            layer.take(groups, total)
        if rows == 1 and len(lengths) == 1:
            return  # each row sees all slots of its group
        visible = self.self_bias.new_full((len(groups), rows, total), float("-inf"))
        visible[:, :, : self.prompt].masked_fill_((old < lengths)[:, None], 0.0)
        own = visible.new_full((rows, rows), float("-inf")).fill_diagonal_(0.0)
        self.visible, self.own = visible, own

    def advance(self) -> tuple[Tensor, Tensor]:
        """Go on to the next token of each row; return its biases.

        They are (layers, 1 or G, H, 1 or R / G, slots in use) and (1 or B, H, 1, L).
        """
        start = self.layers[0].used
        position, groups = self.next, len(self.layers[0].self_k)
        batch = len(self.layers[0].cross_k)
        self.next = position + 1
        if len(position) == 1:
            cross = self.cross_bias[:, :, position]  # (1 or B, H, 1, L)
        else:
            examples = torch.arange(batch, device=position.device)
            cross = self.cross_bias.expand(batch, -1, -1, -1)[examples, :, position][:, :, None]
            position = position.repeat_interleave(groups // batch)
        if self.padding is not None:
            cross = cross + self.padding
        used = start + self.beams * batch // groups
        own = self.self_bias[:, :, position[:, None], self.slots[:, :used]]
        own = own.transpose(1, 2)[:, :, :, None]  # (layers, 1 or G, H, 1, used)
        if self.visible is not None and self.own is not None:
            self.visible[:, :, start:used] = self.own
            own = own + self.visible[:, None, :, :used]
        return own, cross

    def reorder(self, rows: Tensor) -> None:
        """Let row r continue what row ``rows[r]`` held; rows stay within their example."""
        if self.visible is not None and self.beams > 1:
            visible = self.visible.flatten(0, 1)
            self.visible = visible.index_select(0, rows).view(self.visible.shape)

    def keep(self, examples: Tensor) -> None:
        """Keep only some examples (indices into B), in the given order."""
        share = len(self.layers[0].self_k) // len(self.layers[0].cross_k)
        groups = examples[:, None] * share + torch.arange(share, device=examples.device)
        groups = groups.flatten()
        for layer in self.layers:
            layer.take(groups, self.slots.shape[1])
            layer.cross_k = layer.cross_k.index_select(0, examples)
            layer.cross_v = layer.cross_v.index_select(0, examples)
        if self.visible is not None:
            self.visible = self.visible.index_select(0, groups)
        if len(self.slots) > 1:
            self.slots = self.slots.index_select(0, groups)
            self.next = self.next.index_select(0, examples)
        if self.padding is not None:
            self.padding = self.padding.index_select(0, examples)
        if self.cross_bias.shape[0] > 1:
            self.cross_bias = self.cross_bias.index_select(0, examples)
