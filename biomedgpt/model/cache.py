"""Keys and values of earlier target positions, and the position biases of the next ones.

Beams that continue one another are not copied: all beams of an example write into one row of
slots, and a mask says which slots hold a beam's own past. Choosing other beams changes the mask
alone; from time to time the slots of beams that died are given back.

Legend: B examples, N beams of each, G groups of beams that share slots (B of N beams, or B * N of
one beam), R = B * N rows, H heads, D head width, P prompt, M longest target, L source, S slots.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from biomedgpt.model.cpu.packed import LayerMaps

_ROOM = 16
"""Steps that room is made for at a time, at least."""


@dataclass
class LayerCache:
    """Cache of one decoder layer. There may be room for more slots than are used."""

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

    def keep(self, groups: Tensor) -> None:
        """Go on with some groups (indices into G)."""
        self.self_k = self.self_k.index_select(0, groups)
        self.self_v = self.self_v.index_select(0, groups)

    def move(self, slots: Tensor | None, used: int, room: int) -> None:
        """Get ``room`` for slots, of which the first ``used`` hold what ``slots`` (G, used) held.

        Without ``slots`` these are the slots in use.
        """
        for name in ("self_k", "self_v"):
            old: Tensor = getattr(self, name)
            groups, heads = old.shape[:2]
            new = old.new_empty(groups, heads, room, old.shape[3])
            if slots is None:
                new[:, :, :used] = old[:, :, :used]
            else:
                group = torch.arange(groups, device=old.device)[:, None, None]
                head = torch.arange(heads, device=old.device)[:, None]
                new[:, :, :used] = old[group, head, slots[:, None]]
            setattr(self, name, new)
        self.used = used


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
        """N, rows per example."""
        self.rows = 1
        """R / G, rows per group."""
        self.slots = torch.arange(prompt, device=lengths.device)[None]
        """(1 or G, S) position of each slot."""
        self.visible: Tensor | None = None
        """(G, R / G, S): 0 for a slot with the row's own past, else -inf. None: all are."""

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
        self.beams, self.rows = beams, beams if together else 1
        lengths = self.next[:, None]  # (1 or B, 1)
        if self.rows > 1 or len(lengths) > 1:
            hidden = self.slots >= lengths  # (1 or B, P)
            visible = self.self_bias.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))
            batch = len(self.layers[0].cross_k)
            self.visible = visible[:, None].expand(batch, self.rows, -1)
        if len(lengths) > 1:
            self.slots = self.slots.expand(len(lengths), -1)
        if beams > self.rows:
            examples = torch.arange(len(self.layers[0].cross_k), device=self.next.device)
            self._keep_groups(examples.repeat_interleave(beams))

    def advance(self) -> tuple[Tensor, Tensor]:
        """Go on to the next token of each row; return its biases.

        They are (layers, 1 or G, H, 1 or R / G, slots in use) and (1 or B, H, 1, L).
        """
        position, batch = self.next, len(self.layers[0].cross_k)
        self.next = position + 1
        if len(position) == 1:
            cross = self.cross_bias[:, :, position]  # (1 or B, H, 1, L)
        else:
            examples = torch.arange(batch, device=position.device)
            cross = self.cross_bias.expand(batch, -1, -1, -1)[examples, :, position][:, :, None]
            position = position.repeat_interleave(self.beams // self.rows)
        if self.padding is not None:
            cross = cross + self.padding
        if self.layers[0].used + self.rows > self.layers[0].self_k.shape[2]:
            self._make_room()
        position = position[:, None]
        new = position.expand(max(len(position), len(self.slots)), self.rows)
        self.slots = torch.cat([self.slots, new], dim=1)
        own = self.self_bias[:, :, position, self.slots].transpose(1, 2)[:, :, :, None]
        if self.visible is not None:
            # Of the newest slots each row sees its own.
            others = self.visible.new_full((self.rows, self.rows), float("-inf"))
            newest = others.fill_diagonal_(0.0).expand(len(self.visible), -1, -1)
            self.visible = torch.cat([self.visible, newest], dim=2)
            own = own + self.visible[:, None]
        return own, cross

    def _make_room(self) -> None:
        """Get room for further slots; what no row sees any more is left behind."""
        live, index = self.layers[0].used, None
        if self.visible is not None and self.rows > 1:
            seen = self.visible.eq(0).any(1)  # (G, S)
            live = int(seen.sum(1).max())
            # Those that are seen come first, in their order. A group with fewer keeps some more.
            index = seen.byte().argsort(dim=1, descending=True, stable=True)[:, :live]
            self.slots = self.slots.expand(len(index), -1).gather(1, index)
            self.visible = self.visible.gather(2, index[:, None].expand(-1, self.rows, -1))
        room = live + max(_ROOM * self.rows, live // 2)
        for layer in self.layers:
            layer.move(index, live, room)

    def reorder(self, rows: Tensor) -> None:
        """Let row r continue what row ``rows[r]`` held; rows stay within their example."""
        if self.visible is not None and self.rows > 1:
            visible = self.visible.reshape(len(rows), -1)
            self.visible = visible.index_select(0, rows).view(self.visible.shape)

    def keep(self, examples: Tensor) -> None:
        """Keep only some examples (indices into B), in the given order."""
        for layer in self.layers:
            layer.cross_k = layer.cross_k.index_select(0, examples)
            layer.cross_v = layer.cross_v.index_select(0, examples)
        if len(self.next) > 1:
            self.next = self.next.index_select(0, examples)
        if self.padding is not None:
            self.padding = self.padding.index_select(0, examples)
        if self.cross_bias.shape[0] > 1:
            self.cross_bias = self.cross_bias.index_select(0, examples)
        share = torch.arange(self.beams // self.rows, device=examples.device)
        self._keep_groups((examples[:, None] * len(share) + share).flatten())

    def _keep_groups(self, groups: Tensor) -> None:
        for layer in self.layers:
            layer.keep(groups)
        if self.visible is not None:
            self.visible = self.visible.index_select(0, groups)
        if len(self.slots) > 1:
            self.slots = self.slots.index_select(0, groups)
