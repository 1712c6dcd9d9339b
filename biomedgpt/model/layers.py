"""Transformer layers: pre-norm with a norm after each sub-layer (NormFormer).

Legend: B batch, L source positions, T target positions, H heads, C width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from biomedgpt.model.attention import MultiheadAttention
from biomedgpt.model.cache import LayerCache
from biomedgpt.model.config import ModelConfig
from biomedgpt.model.resnet import DropPath


class FeedForward(nn.Module):
    """Mixin with the feed-forward half of a layer; the parameter names are the reference's."""

    def __init__(self, config: ModelConfig, drop_path: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.embed_dim, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, config.embed_dim)
        self.ffn_layernorm = nn.LayerNorm(config.ffn_dim)
        self.final_layer_norm = nn.LayerNorm(config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)
        self.drop_path = DropPath(drop_path)

    def feed_forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C), the residual included."""
        hidden = self.activation_dropout(F.gelu(self.fc1(self.final_layer_norm(x))))
        return self.residual(x, self.fc2(self.ffn_layernorm(hidden)))

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

    def forward(self, x: Tensor, source: Tensor, self_bias: Tensor, cross_bias: Tensor) -> Tensor:
        """Whole targets at once.

        Args:
            x: (B, T, C).
            source: (B, L, C), the encoder's output.
            self_bias: broadcasts to (B, H, T, T), causal.
            cross_bias: broadcasts to (B, H, T, L).

        Returns:
            (B, T, C).
        """
        attended = self.self_attn(self.self_attn_layer_norm(x), self_bias)
        x = self.residual(x, self.self_attn_ln(attended))
        attended = self.encoder_attn(self.encoder_attn_layer_norm(x), cross_bias, source)
        x = self.residual(x, self.cross_attn_ln(attended))
        return self.feed_forward(x)

    def step(
        self,
        x: Tensor,
        cache: LayerCache,
        positions: Tensor,
        *,
        length: int,
        self_bias: Tensor,
        cross_bias: Tensor,
    ) -> Tensor:
        """New positions of targets whose earlier positions are in the cache.

        Args:
            x: (R, T, C) with R = B * beams rows.
            cache: keys and values of this layer; the new ones are written into it.
            positions: (1 or R, T) where in the target the new tokens stand.
            length: positions of the cache in use after this step.
            self_bias: broadcasts to (R, H, T, length).
            cross_bias: broadcasts to (B, H, beams * T, L).

        Returns:
            (R, T, C).
        """
        y = self.self_attn_layer_norm(x)
        cache.write(*self.self_attn.project_kv(y), positions)
        k, v = cache.read(length)
        attended = self.self_attn.attend(y, k, v, self_bias)
        x = self.residual(x, self.self_attn_ln(attended))
        # The beams of one example are further queries to the same keys: nothing is copied.
        y = self.encoder_attn_layer_norm(x)
        batch = cache.cross_k.shape[0]
        attended = self.encoder_attn.attend(
            y.reshape(batch, -1, y.shape[-1]), cache.cross_k, cache.cross_v, cross_bias
        ).reshape(x.shape)
        x = self.residual(x, self.cross_attn_ln(attended))
        return self.feed_forward(x)
