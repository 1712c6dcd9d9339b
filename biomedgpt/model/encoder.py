"""Encoder over image patches and source tokens.

Legend: B batch, S source tokens, P image patches, L = P + S, H heads, C width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.model.attention import position_scores
from biomedgpt.model.config import PATCH_STRIDE, ModelConfig
from biomedgpt.model.cpu.autograd import Dense, TokenEmbedding
from biomedgpt.model.layers import EncoderLayer
from biomedgpt.model.positions import (
    image_buckets,
    num_image_buckets,
    patch_positions,
    token_buckets,
)
from biomedgpt.model.resnet import ResNet, drop_path_rates


@dataclass
class EncoderOutput:
    """What the decoder needs to know of a source."""

    hidden: Tensor
    """(B, L, C), image patches first."""
    padding_mask: Tensor | None
    """(B, L), true at padding and at the patches of absent images; None if there are none."""
    position: Tensor
    """(1 or B, L, C) normalised position embeddings, for the bias of cross-attention."""

    def padding_bias(self) -> Tensor | None:
        """Return the padding mask as an additive bias, (B, 1, 1, L) of 0 and -inf."""
        if self.padding_mask is None:
            return None
        bias = torch.zeros_like(self.padding_mask, dtype=self.hidden.dtype)
        return bias.masked_fill_(self.padding_mask, float("-inf"))[:, None, None]

    def select(self, examples: Tensor) -> "EncoderOutput":
        """Return the output of some examples, given by their indices."""
        return EncoderOutput(
            self.hidden[examples],
            None if self.padding_mask is None else self.padding_mask[examples],
            self.position if len(self.position) == 1 else self.position[examples],
        )


@dataclass
class _Patches:
    embedding: Tensor  # (B, P, 16 * resnet_width)
    positions: Tensor  # (1 or B, P)
    position_embedding: Tensor  # (1 or B, P, C)


class Encoder(nn.Module):
    """Image patches (a ResNet's) and text tokens through one stack of layers.

    Positions do not enter the embeddings: they act as a bias on attention scores, made of absolute
    positions (shared by all layers) and of relative ones (a table per layer), see OFA section 3.1
    and TUPE (arXiv 2006.15595).

    With `ModelConfig.image_scales` of n, images come n times as large along each side as their
    patches stand for. The ResNet sees them at this size, and scaled down to 1, ..., n - 1 times the
    patches' own; all its maps are pooled to one grid of patches and averaged. Details of a few
    pixels then reach the encoder at the cost of the ResNet alone: neither patches nor parameters
    are added (after S2, arXiv 2403.13043, which concatenates the maps instead).
    """

    def __init__(self, config: ModelConfig, embed_tokens: TokenEmbedding) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim
        self.embed_tokens = embed_tokens
        self.layernorm_embedding = nn.LayerNorm(dim)
        self.type_embedding = nn.Embedding(2, dim)
        self.embed_images = ResNet(
            config.resnet_blocks,
            width=config.resnet_width,
            drop_path=config.resnet_drop_path,
            batch_norm=config.batch_norm,
            checkpoint_activations=config.checkpoint_activations,
        )
        self.image_proj = Dense(self.embed_images.out_channels, dim)
        self.patch_layernorm_embedding = nn.LayerNorm(dim)
        self.embed_positions = nn.Embedding(config.max_positions + 2, dim)
        self.embed_image_positions = nn.Embedding(config.image_bucket_size**2 + 1, dim)
        self.pos_ln = nn.LayerNorm(dim)
        self.image_pos_ln = nn.LayerNorm(dim)
        self.pos_q_linear = Dense(dim, dim)
        self.pos_k_linear = Dense(dim, dim)
        rates = drop_path_rates(config.encoder_drop_path, config.encoder_layers)
        self.layers = nn.ModuleList(EncoderLayer(config, drop_path=rate) for rate in rates)
        self.layer_norm = nn.LayerNorm(dim)
        self.token_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(2 * config.token_bucket_size - 1, config.heads) for _ in rates
        )
        self.image_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(num_image_buckets(config.image_bucket_size), config.heads) for _ in rates
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        src_tokens: Tensor,
        patch_images: Tensor | None = None,
        patch_masks: Tensor | None = None,
        sample_patch_num: int | None = None,
    ) -> EncoderOutput:
        """Encode a batch.

        Args:
            src_tokens: (B, S) of int64, padded with the padding id.
            patch_images: (B, 3, height, width) normalised images; one patch per 16 pixels, times
                `ModelConfig.image_scales`.
            patch_masks: (B), false where an example has no image. All have one by default.
            sample_patch_num: keep this many randomly chosen patches of each image (training).

        Raises:
            DataError: the source is longer than the model's positions, or the image is larger.
        """
        if src_tokens.shape[1] > self.config.max_positions:
            raise DataError(
                f"source of {src_tokens.shape[1]} tokens is longer than the model's "
                f"{self.config.max_positions} positions"
            )
        padding_mask = src_tokens.eq(self.config.pad)  # (B, S)
        x = self.embed_tokens(src_tokens) + self.type_embedding.weight[0]
        x = self.dropout(self.layernorm_embedding(x))  # (B, S, C)
        text_positions = torch.arange(src_tokens.shape[1], device=src_tokens.device)
        position = self.pos_ln(self.embed_positions(text_positions))[None]  # (1, S, C)

        patches = None
        if patch_images is not None:
            patches = self._embed_patches(patch_images, sample_patch_num)
            image_x = self.image_proj(patches.embedding) + self.type_embedding.weight[1]
            image_x = self.dropout(self.patch_layernorm_embedding(image_x))  # (B, P, C)
            x = torch.cat([image_x, x], dim=1)  # (B, L, C)
            if patch_masks is None:
                absent = padding_mask.new_zeros(x.shape[0], 1)
            else:
                absent = ~patch_masks[:, None]
            padding_mask = torch.cat(
                [absent.expand(-1, image_x.shape[1]), padding_mask], dim=1
            )  # (B, L)
            image_position = self.image_pos_ln(patches.position_embedding)  # (1 or B, P, C)
            position = torch.cat(
                [image_position, position.expand(image_position.shape[0], -1, -1)], dim=1
            )  # (1 or B, L, C)

        has_padding = bool(padding_mask.any())
        if has_padding:
            x = x.masked_fill(padding_mask[..., None], 0.0)
        output = EncoderOutput(x, padding_mask if has_padding else None, position)
        biases = self._shared_biases(output, patches, src_tokens.shape[1])
        for number in range(len(self.layers)):
            if self.config.checkpoint_activations and self.training:
                x = checkpoint(self._layer, number, x, *biases, use_reentrant=False)
            else:
                x = self._layer(number, x, *biases)
        output.hidden = self.layer_norm(x)
        return output

    def _embed_patches(self, images: Tensor, sample_patch_num: int | None) -> _Patches:
        config = self.config
        grid = self._features(images.to(self.image_proj.weight.dtype))  # (B, 16 * width, h, w)
        height, width = grid.shape[-2:]
        if max(height, width) > config.image_bucket_size:
            raise DataError(
                f"image of {height}x{width} patches is larger than the model's position table of "
                f"{config.image_bucket_size}x{config.image_bucket_size}"
            )
        embedding = grid.flatten(2).transpose(1, 2)  # (B, P, 16 * width)
        positions = patch_positions(height, width, config.image_bucket_size, device=images.device)
        positions = positions[None]  # (1, P)
        num_patches = height * width
        if sample_patch_num is not None and sample_patch_num < num_patches:
            order = torch.rand(images.shape[0], num_patches, device=images.device)
            order = order.topk(sample_patch_num, dim=1).indices  # (B, P')
            embedding = embedding.gather(1, order[..., None].expand(-1, -1, embedding.shape[-1]))
            positions = positions.expand(images.shape[0], -1).gather(1, order)
            num_patches = sample_patch_num
        side = config.orig_patch_image_size // PATCH_STRIDE
        if not config.interpolate_position or num_patches <= side * side:
            return _Patches(embedding, positions, self.embed_image_positions(positions))
        if num_patches != height * width:
            raise ConfigError(
                "interpolate_position cannot be combined with sampling more patches than the "
                f"original image size has ({num_patches} > {side * side})"
            )
        original = patch_positions(side, side, config.image_bucket_size, device=images.device)
        table = self.embed_image_positions(original).view(1, side, side, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table, size=(height, width), mode="bilinear")  # (1, C, h, w)
        return _Patches(embedding, positions, table.flatten(2).transpose(1, 2))

    def _features(self, images: Tensor) -> Tensor:
        """Return the ResNet's map of images, the mean over all scales, (B, 16 * width, h, w)."""
        scales = self.config.image_scales
        if scales == 1:
            features: Tensor = self.embed_images(images)
            return features
        height, width = images.shape[-2:]
        if height % (PATCH_STRIDE * scales) or width % (PATCH_STRIDE * scales):
            raise DataError(
                f"image of {height}x{width} pixels cannot be encoded at {scales} scales; its sides "
                f"must be multiples of {PATCH_STRIDE * scales}"
            )
        maps = []
        for scale in range(1, scales + 1):
            size = (height * scale // scales, width * scale // scales)
            scaled = images
            if scale < scales:
                scaled = F.interpolate(images, size=size, mode="bilinear", antialias=True)
            maps.append(F.avg_pool2d(self.embed_images(scaled), scale))
        return torch.stack(maps).mean(0)

    def _shared_biases(
        self, output: EncoderOutput, patches: _Patches | None, num_tokens: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return what the biases of all layers are made of.

        These are the absolute part, broadcasting to (B, H, L, L), and the buckets of tokens,
        (S, S), and of patches, (1 or B, P, P). Without sampled patches, positions are the same in
        all examples: the bias is computed once and only padding differs.
        """
        position = output.position
        q, k = self.pos_q_linear(position), self.pos_k_linear(position)
        absolute = position_scores(q, k, self.config)  # (1 or B, H, L, L)
        padding = output.padding_bias()
        if padding is not None:
            absolute = absolute + padding  # (B, H, L, L)
        buckets = token_buckets(num_tokens, self.config.token_bucket_size, device=position.device)
        patch_buckets = None
        if patches is not None:
            patch_buckets = image_buckets(patches.positions, self.config.image_bucket_size)
        return absolute, buckets, patch_buckets

    def _layer(
        self,
        number: int,
        x: Tensor,
        absolute: Tensor,
        buckets: Tensor,
        patch_buckets: Tensor | None,
    ) -> Tensor:
        """Run one layer; its bias is made here, so that recomputation need not keep it."""
        bias = absolute.clone()
        num_tokens = len(buckets)
        relative = self.token_rel_pos_table_list[number](buckets)  # (S, S, H)
        bias[:, :, -num_tokens:, -num_tokens:] += relative.permute(2, 0, 1)
        if patch_buckets is not None:
            num_patches = patch_buckets.shape[-1]
            relative = self.image_rel_pos_table_list[number](patch_buckets)  # (1 or B, P, P, H)
            bias[:, :, :num_patches, :num_patches] += relative.permute(0, 3, 1, 2)
        return self.layers[number](x, bias)
