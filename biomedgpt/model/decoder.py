"""Decoder over target tokens: text, image codes and location bins.

Legend: B batch, T target tokens, L source positions, H heads, C width, V vocabulary,
R = B * beams rows of incremental decoding, M longest target.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from biomedgpt.errors import DataError
from biomedgpt.model.attention import position_scores
from biomedgpt.model.cache import DecoderCache
from biomedgpt.model.config import ModelConfig
from biomedgpt.model.cpu.autograd import Dense, TokenEmbedding, TokenProjection
from biomedgpt.model.cpu.packed import LayerMaps, Linear, WeightCache, linear
from biomedgpt.model.encoder import EncoderOutput
from biomedgpt.model.layers import DecoderLayer, TreeBlock
from biomedgpt.model.positions import (
    code_positions,
    image_buckets,
    num_image_buckets,
    token_buckets,
)
from biomedgpt.model.resnet import drop_path_rates

CODE_STRIDE = 8
"""Pixels per image code along one side (VQ-GAN with factor 8)."""


class Decoder(nn.Module):
    """Causal decoder with position biases, for text targets and for image-code targets.

    A target of image codes takes its positions from the image grid (``embed_image_positions``, the
    image's relative biases) and has its own embedding norm; `code_masks` says which rows are so.
    """

    def __init__(self, config: ModelConfig, embed_tokens: TokenEmbedding) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim
        self.embed_tokens = embed_tokens
        self.layernorm_embedding = nn.LayerNorm(dim)
        self.embed_positions = nn.Embedding(config.max_positions + 2, dim)
        self.embed_image_positions = nn.Embedding(config.image_bucket_size**2 + 1, dim)
        self.pos_ln = nn.LayerNorm(dim)
        self.image_pos_ln = nn.LayerNorm(dim)
        self.self_pos_q_linear = Dense(dim, dim)
        self.self_pos_k_linear = Dense(dim, dim)
        self.cross_pos_q_linear = Dense(dim, dim)
        self.cross_pos_k_linear = Dense(dim, dim)
        self.code_layernorm_embedding = nn.LayerNorm(dim)
        rates = drop_path_rates(config.decoder_drop_path, config.decoder_layers)
        self.layers = nn.ModuleList(DecoderLayer(config, drop_path=rate) for rate in rates)
        self.layer_norm = nn.LayerNorm(dim)
        self.output_projection = TokenProjection(embed_tokens)
        self.token_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(2 * config.token_bucket_size - 1, config.heads) for _ in rates
        )
        self.image_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(num_image_buckets(config.image_bucket_size), config.heads) for _ in rates
        )
        self.dropout = nn.Dropout(config.dropout)
        self._cached_layers: WeightCache[list[LayerMaps]] = WeightCache()
        self._cached_output: WeightCache[Linear] = WeightCache()

    def forward(
        self,
        prev_output_tokens: Tensor,
        source: EncoderOutput,
        code_masks: Tensor | None = None,
        features_only: bool = False,
    ) -> Tensor:
        """Decode whole targets with teacher forcing.

        Args:
            prev_output_tokens: (B, T) of int64: the target shifted right.
            source: the encoder's output for the same examples.
            code_masks: (B), true for rows whose target is image codes.
            features_only: stop before the projection to the vocabulary.

        Returns:
            (B, T, V) logits, or (B, T, C) features.
        """
        length = prev_output_tokens.shape[1]
        device = prev_output_tokens.device
        self._check_length(length, code_masks is not None and bool(code_masks.all()))
        positions = torch.arange(length, device=device)
        x = self._embed(prev_output_tokens, code_masks)  # (B, T, C)
        hidden_future = x.new_full((length, length), float("-inf")).triu_(1)
        padding_mask = prev_output_tokens.eq(self.config.pad)
        if bool(padding_mask.any()):
            hidden_future = hidden_future.masked_fill(padding_mask[:, None, None], float("-inf"))
            # A row that may see nothing (padding in front) must not become NaN.
            blind = hidden_future.eq(float("-inf")).all(-1, keepdim=True)
            hidden_future = hidden_future.masked_fill(blind, 0.0)  # (B, 1, T, T)
        self_biases, cross_bias = self._biases(positions, source, code_masks)
        padding = source.padding_bias()
        if padding is not None:
            cross_bias = cross_bias + padding  # (B, H, T, L)
        for layer, self_bias in zip(self.layers, self_biases, strict=True):
            arguments = (x, source.hidden, self_bias, hidden_future, cross_bias)
            if self.config.checkpoint_activations and self.training:
                x = checkpoint(layer, *arguments, use_reentrant=False)
            else:
                x = layer(*arguments)
        x = self.layer_norm(x)
        return x if features_only else self.output_layer(x)

    def forward_tree(
        self,
        tokens: Tensor,
        positions: Tensor,
        source: EncoderOutput,
        blocks: Sequence[TreeBlock],
    ) -> Tensor:
        """Decode targets that share prefixes, packed as a tree, without dropout or gradients.

        A layer's keys and values are computed for all tokens, everything else block by block, so
        that no matrix of all tokens by all tokens, and nothing of the width of a feed-forward
        block for all tokens, is ever there.

        Args:
            tokens: (B, T), without padding.
            positions: (T) their positions in the targets they belong to.
            source: the encoder's output for the same examples.
            blocks: what each token may attend to, for all tokens in their order.

        Returns:
            (B, T, C) features.
        """
        longest = int(positions.max()) + 1
        self._check_length(longest, False)
        steps = torch.arange(longest, device=tokens.device)
        self_biases, cross_bias = self._biases(steps, source, None)
        padding = source.padding_bias()
        if padding is not None:
            cross_bias = cross_bias + padding
        x = self._embed(tokens, None)
        for layer, self_bias in zip(self._stack, self_biases, strict=True):
            x = layer.forward_tree(x, source.hidden, self_bias, cross_bias, positions, blocks)
        return self.layer_norm(x)

    def output_layer(self, features: Tensor, ids: Tensor | None = None) -> Tensor:
        """Project features (..., C) to logits over the vocabulary, or over ``ids`` (K) only."""
        if ids is None:
            return self.output_projection(features)
        return F.linear(features, self.output_projection.matrix()[ids])

    def output_map(self, ids: Tensor | None = None) -> Linear:
        """Return the projection of `output_layer` for many calls with few rows each."""
        weight = self.output_projection.weight
        if ids is not None:
            return linear(weight[ids])
        return self._cached_output.get([weight], lambda: linear(weight))

    def _layer_maps(self) -> list[LayerMaps]:
        weights = [*self.layers.parameters()]
        return self._cached_layers.get(weights, lambda: [layer.maps() for layer in self._stack])

    @property
    def _stack(self) -> Iterable[DecoderLayer]:
        return cast(Iterable[DecoderLayer], self.layers)

    def train(self, mode: bool = True) -> "Decoder":
        """Switch between training and evaluation; training needs the memory of packed weights."""
        if mode:
            self._cached_layers.forget()
            self._cached_output.forget()
        return super().train(mode)

    def start(
        self, source: EncoderOutput, prompt: Tensor, max_len: int, *, code_targets: bool = False
    ) -> tuple[DecoderCache, Tensor]:
        """Begin incremental decoding.

        Everything that does not depend on the tokens is computed here, once: the position biases
        and the keys and values of the source.

        Args:
            source: the encoder's output for the same examples.
            prompt: (B, P) first tokens, padded at their end.
            max_len: most tokens that will follow.
            code_targets: whether the targets are image codes.

        Returns:
            The cache, and the features (B, C) of the last token of each prompt; give them to the
            projection from `output_map`.
        """
        config = self.config
        batch, longest = prompt.shape
        self._check_length(longest + max_len, code_targets)
        device = source.hidden.device
        code_masks = torch.ones(1, dtype=torch.bool, device=device) if code_targets else None
        total = longest + max_len
        self_biases, cross_bias = self._biases(
            torch.arange(total, device=device), source, code_masks
        )
        future = torch.ones(total, total, dtype=torch.bool, device=device).triu_(1)
        lengths = prompt.ne(config.pad).sum(1)
        aligned = bool((lengths == longest).all())
        cache = DecoderCache(
            [layer.cache(source.hidden, longest) for layer in self._stack],
            self._layer_maps(),
            self_bias=torch.cat(self_biases).masked_fill_(future, float("-inf")),
            cross_bias=cross_bias,
            padding=source.padding_bias(),
            lengths=lengths[:1] if aligned else lengths,
            prompt=longest,
        )
        features = self._step(prompt, cache, cache.prompt_biases(), code_targets)
        return cache, features[torch.arange(batch, device=device), lengths - 1]

    def step(self, tokens: Tensor, cache: DecoderCache, *, code_targets: bool = False) -> Tensor:
        """Decode one more token of each row.

        Args:
            tokens: (R), the beams of an example side by side.
            cache: from `start`; updated.
            code_targets: whether the targets are image codes.

        Returns:
            (R, C) features; give them to the projection from `output_map`.
        """
        tokens = tokens.view(-1, cache.beams)
        return self._step(tokens, cache, cache.advance(), code_targets).flatten(0, 1)

    def _step(
        self, tokens: Tensor, cache: DecoderCache, biases: tuple[Tensor, Tensor], code_targets: bool
    ) -> Tensor:
        code_masks = tokens.new_ones(1, dtype=torch.bool) if code_targets else None
        x = self._embed(tokens, code_masks)  # (B, N, C)
        for layer, layer_cache, maps, self_bias in zip(
            self._stack, cache.layers, cache.maps, biases[0], strict=True
        ):
            x = layer.step(x, layer_cache, maps, self_bias=self_bias, cross_bias=biases[1])
        return self.layer_norm(x)

    def _check_length(self, length: int, code_targets: bool) -> None:
        positions = self.config.max_positions
        if code_targets:  # these have positions of their own: one more than 1024 at 256 pixels
            window = self.config.code_image_size // CODE_STRIDE
            positions = max(positions, 1 + window**2)
        if length > positions:
            raise DataError(
                f"target of {length} tokens is longer than the model's {positions} positions"
            )

    def _embed(self, tokens: Tensor, code_masks: Tensor | None) -> Tensor:
        x = self.embed_tokens(tokens)  # (B, T, C)
        if code_masks is None:
            x = self.layernorm_embedding(x)
        else:
            x = torch.where(
                code_masks[:, None, None],
                self.code_layernorm_embedding(x),
                self.layernorm_embedding(x),
            )
        return self.dropout(x)

    def _biases(
        self, positions: Tensor, source: EncoderOutput, code_masks: Tensor | None
    ) -> tuple[list[Tensor], Tensor]:
        """Return the self-attention bias of each layer, (1 or B, H, T, T), and that of
        cross-attention, (1 or B, H, T, L), without causality and padding."""
        if code_masks is None or not bool(code_masks.any()):
            return self._text_biases(positions, source)
        code = self._code_biases(positions, source)
        if bool(code_masks.all()):
            return code
        text = self._text_biases(positions, source)
        rows = code_masks[:, None, None, None]
        self_biases = [torch.where(rows, c, t) for c, t in zip(code[0], text[0], strict=True)]
        return self_biases, torch.where(rows, code[1], text[1])

    def _text_biases(self, positions: Tensor, source: EncoderOutput) -> tuple[list[Tensor], Tensor]:
        embedding = self.pos_ln(self.embed_positions(positions))  # (T, C)
        buckets = token_buckets(
            int(positions.max()) + 1, self.config.token_bucket_size, device=positions.device
        )
        buckets = buckets[positions[:, None], positions[None, :]]  # (T, T)
        return self._combine(embedding, buckets, self.token_rel_pos_table_list, source)

    def _code_biases(self, positions: Tensor, source: EncoderOutput) -> tuple[list[Tensor], Tensor]:
        config = self.config
        grid = code_positions(
            int(positions.max()) + 1,
            config.code_image_size // CODE_STRIDE,
            config.image_bucket_size,
            device=positions.device,
        )[positions]  # (T)
        embedding = self.image_pos_ln(self.embed_image_positions(grid))  # (T, C)
        buckets = image_buckets(grid, config.image_bucket_size)  # (T, T)
        return self._combine(embedding, buckets, self.image_rel_pos_table_list, source)

    def _combine(
        self, embedding: Tensor, buckets: Tensor, tables: nn.ModuleList, source: EncoderOutput
    ) -> tuple[list[Tensor], Tensor]:
        q, k = self.self_pos_q_linear(embedding), self.self_pos_k_linear(embedding)
        absolute = position_scores(q, k, self.config)  # (H, T, T)
        self_biases = [(absolute + table(buckets).permute(2, 0, 1))[None] for table in tables]
        q, k = self.cross_pos_q_linear(embedding), self.cross_pos_k_linear(source.position)
        return self_biases, position_scores(q, k, self.config)  # (1 or B, H, T, L)
