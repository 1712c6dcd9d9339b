"""Transformer layers: pre-norm with a norm after each sub-layer (NormFormer).

Legend: B batch, L source positions, T target positions, H heads, C width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biomedgpt.model.attention import MultiheadAttention, split_heads
from biomedgpt.model.cache import LayerCache
from biomedgpt.model.config import ModelConfig
from biomedgpt.model.cpu.autograd import Dense
from biomedgpt.model.cpu.packed import LayerMaps, Linear, linear
from biomedgpt.model.resnet import DropPath


@dataclass(frozen=True)
class TreeBlock:
    """Neighbouring tokens of a tree of targets, and what they may attend to."""

    rows: slice
    keys: Tensor
    """(K) places of tokens."""
    hidden: Tensor
    """(T, K): 0, or -inf where a row may not attend to a key."""


class FeedForward(nn.Module):
    """Mixin with the feed-forward half of a layer; the parameter names are the reference's."""

    def __init__(self, config: ModelConfig, drop_path: float) -> None:
        super().__init__()
        self.fc1 = Dense(config.embed_dim, config.ffn_dim)
        self.fc2 = Dense(config.ffn_dim, config.embed_dim)
        self.ffn_layernorm = nn.LayerNorm(config.ffn_dim)
        self.final_layer_norm = nn.LayerNorm(config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)
        self.drop_path = DropPath(drop_path)

    def feed_forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C), the residual included."""
        return self._feed_forward(x, self.fc1, self.fc2)

    def _feed_forward(self, x: Tensor, fc1: Linear, fc2: Linear) -> Tensor:
        hidden = self.activation_dropout(F.gelu(fc1(self.final_layer_norm(x))))
        return self.residual(x, fc2(self.ffn_layernorm(hidden)))

    def residual(self, x: Tensor, branch: Tensor) -> Tensor:
        """Add a branch to the residual stream, with dropout and stochastic depth."""
        return x + self.drop_path(self.dropout(branch))


class EncoderLayer(FeedForward):
    """Self-attention and feed-forward."""

    def __init__(self, config: ModelConfig, *, drop_path: float = 0.0) -> None:
        super().__init__(config, drop_path)
        self.self_attn = MultiheadAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.embed_dim)
        self.attn_ln = nn.LayerNorm(config.embed_dim)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, L, C) and a bias that broadcasts to (B, H, L, L) -> (B, L, C)."""
        attended = self.self_attn(self.self_attn_layer_norm(x), bias)
        return self.feed_forward(self.residual(x, self.attn_ln(attended)))


class DecoderLayer(FeedForward):
    """Causal self-attention, attention to the encoder's output, and feed-forward."""

    def __init__(self, config: ModelConfig, *, drop_path: float = 0.0) -> None:
        super().__init__(config, drop_path)
        self.self_attn = MultiheadAttention(config)
        self.self_attn_ln = nn.LayerNorm(config.embed_dim)
        self.cross_attn_ln = nn.LayerNorm(config.embed_dim)
        self.self_attn_layer_norm = nn.LayerNorm(config.embed_dim)
        self.encoder_attn = MultiheadAttention(config)
        self.encoder_attn_layer_norm = nn.LayerNorm(config.embed_dim)

    def forward(
        self, x: Tensor, source: Tensor, self_bias: Tensor, hidden: Tensor, cross_bias: Tensor
    ) -> Tensor:
        """Whole targets at once.

        Args:
            x: (B, T, C).
            source: (B, L, C), the encoder's output.
            self_bias: broadcasts to (B, H, T, T).
            hidden: the same, -inf where a token may not attend; added here, so that recomputation
                need not keep the sum.
            cross_bias: broadcasts to (B, H, T, L).

        Returns:
            (B, T, C).
        """
        attended = self.self_attn(self.self_attn_layer_norm(x), self_bias + hidden)
        x = self.residual(x, self.self_attn_ln(attended))
        attended = self.encoder_attn(self.encoder_attn_layer_norm(x), cross_bias, source)
        x = self.residual(x, self.cross_attn_ln(attended))
        return self.feed_forward(x)

    def forward_tree(
        self,
        x: Tensor,
        source: Tensor,
        self_bias: Tensor,
        cross_bias: Tensor,
        positions: Tensor,
        blocks: Sequence[TreeBlock],
    ) -> Tensor:
        """Tokens of targets that share prefixes.

        Args:
            x: (B, T, C).
            source: (B, L, C), the encoder's output.
            self_bias: (1, H, M, M) of pairs of positions.
            cross_bias: (1 or B, H, M, L) of positions.
            positions: (T) of the tokens, below M.
            blocks: cover the tokens in their order.

        Returns:
            (B, T, C).
        """
        y = self.self_attn_layer_norm(x)
        k, v = self.self_attn.project_kv(y)
        cross_k, cross_v = self.encoder_attn.project_kv(source)
        done = []
        for block in blocks:
            part, places = x[:, block.rows], positions[block.rows]
            bias = self_bias[:, :, places[:, None], positions[block.keys]] + block.hidden
            q = self.self_attn.q_proj(y[:, block.rows])
            attended = self.self_attn.attend(q, k[:, :, block.keys], v[:, :, block.keys], bias)
            part = self.residual(part, self.self_attn_ln(self.self_attn.out_proj(attended)))
            q = self.encoder_attn.q_proj(self.encoder_attn_layer_norm(part))
            attended = self.encoder_attn.attend(q, cross_k, cross_v, cross_bias[:, :, places])
            attended = self.encoder_attn.out_proj(attended)
            done.append(self.feed_forward(self.residual(part, self.cross_attn_ln(attended))))
        return torch.cat(done, dim=1)

    def cache(self, source: Tensor, room: int) -> LayerCache:
        """Return a cache of the source (B, L, C), with room for a prompt of so many tokens."""
        k, v = self.encoder_attn.project_kv(source)
        heads, width = k.shape[1], k.shape[3]
        own_k, own_v = (source.new_empty(len(source), heads, room, width) for _ in range(2))
        return LayerCache(own_k, own_v, k.contiguous(), v.contiguous())

    def maps(self) -> LayerMaps:
        """Return the linear maps for `step`."""
        own, cross = self.self_attn, self.encoder_attn
        qkv = (own.q_proj, own.k_proj, own.v_proj)
        return LayerMaps(
            self_qkv=linear(
                torch.cat([each.weight for each in qkv]), torch.cat([each.bias for each in qkv])
            ),
            self_out=linear(own.out_proj.weight, own.out_proj.bias),
            cross_q=linear(cross.q_proj.weight, cross.q_proj.bias),
            cross_out=linear(cross.out_proj.weight, cross.out_proj.bias),
            fc1=linear(self.fc1.weight, self.fc1.bias),
            fc2=linear(self.fc2.weight, self.fc2.bias),
        )

    def step(
        self,
        x: Tensor,
        cache: LayerCache,
        maps: LayerMaps,
        *,
        self_bias: Tensor | None,
        cross_bias: Tensor,
    ) -> Tensor:
        """New tokens of targets whose earlier tokens are in the cache.

        Args:
            x: (B, T, C): T tokens of a prompt, or the newest one of each of T beams.
            cache: keys and values of this layer; the new ones are appended.
            maps: from `maps`.
            self_bias: broadcasts to (G, H, B * T / G, slots); see `DecoderCache`.
            cross_bias: broadcasts to (B, H, T, L).

        Returns:
            (B, T, C).
        """
        q, k, v = maps.self_qkv(self.self_attn_layer_norm(x)).chunk(3, dim=-1)
        groups, heads = (len(cache.self_k), -1, x.shape[-1]), self.self_attn.heads
        k, v = (split_heads(each.reshape(groups), heads) for each in (k, v))
        k, v = cache.append(k, v)
        attended = self.self_attn.attend(q.reshape(groups), k, v, self_bias).view(x.shape)
        x = self.residual(x, self.self_attn_ln(maps.self_out(attended)))
        # The beams of one example are further queries to the same keys: nothing is copied.
        q = maps.cross_q(self.encoder_attn_layer_norm(x))
        attended = self.encoder_attn.attend(q, cache.cross_k, cache.cross_v, cross_bias)
        x = self.residual(x, self.cross_attn_ln(maps.cross_out(attended)))
        return self._feed_forward(x, maps.fc1, maps.fc2)
