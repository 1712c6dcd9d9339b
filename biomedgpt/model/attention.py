"""Multi-head attention with an additive bias and a scale per head.

Legend: B batch, T queries, S keys, H heads, D head width, C = H * D.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biomedgpt.model.config import ModelConfig
from biomedgpt.model.cpu.autograd import Dense


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(..., T, C) -> (..., H, T, D)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def position_scores(q: Tensor, k: Tensor, config: ModelConfig) -> Tensor:
    """Projected positions (..., T, C) and (..., S, C) -> their part of the bias (..., H, T, S)."""
    q = split_heads(q, config.heads) * config.attention_scale
    return q @ split_heads(k, config.heads).transpose(-1, -2)


class MultiheadAttention(nn.Module):
    """Scaled dot-product attention whose score gets a position bias.

    The bias carries everything that is not content: absolute and relative positions, causality and
    padding (as ``-inf``). Each head's output is scaled by a learned factor (NormFormer,
    arXiv 2110.09456) before the heads are mixed. Parameter names are those of the reference.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.heads = config.heads
        self.scale = config.attention_scale
        self.dropout = config.attention_dropout
        self.c_attn = nn.Parameter(torch.ones(config.heads))
        self.k_proj = Dense(dim, dim)
        self.v_proj = Dense(dim, dim)
        self.q_proj = Dense(dim, dim)
        self.out_proj = Dense(dim, dim)

    def project_kv(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, C) -> keys and values, each (B, H, S, D)."""
        return split_heads(self.k_proj(x), self.heads), split_heads(self.v_proj(x), self.heads)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """Return what the heads bring, side by side, before `out_proj` mixes them.

        Args:
            q: (B, T, C) projected queries.
            k: (B, H, S, D) projected keys.
            v: (B, H, S, D) projected values.
            bias: added to the scores; broadcasts to (B, H, T, S).

        Returns:
            (B, T, C).
        """
        q = split_heads(q, self.heads)
        dropout = self.dropout if self.training else 0.0
        if q.device.type == "cpu" and torch.is_grad_enabled():
            # torch's function does the same here, with more passes over the scores: a training
            # step is 2 % faster so.
            scores = (q * self.scale) @ k.transpose(-1, -2)
            if bias is not None:
                scores += bias
            out = F.dropout(scores.softmax(-1), dropout, training=dropout > 0.0) @ v
        else:
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=bias, dropout_p=dropout, scale=self.scale
            )  # (B, H, T, D)
        out = out * self.c_attn[:, None, None]
        return out.transpose(1, 2).flatten(2)  # (B, T, C)

    def forward(self, x: Tensor, bias: Tensor, source: Tensor | None = None) -> Tensor:
        """Attend from ``x`` (B, T, C) to itself, or to ``source`` (B, S, C); return (B, T, C)."""
        k, v = self.project_kv(x if source is None else source)
        return self.out_proj(self.attend(self.q_proj(x), k, v, bias))
