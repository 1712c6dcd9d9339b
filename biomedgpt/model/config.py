"""Model configuration and the named sizes.

The five reference sizes are those of OFA (arXiv 2202.03052, table 1), which BiomedGPT took over:
``xlarge`` is OFA's ``huge``. ``nano`` is ours, for laptops and tests.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from biomedgpt.errors import ConfigError

PATCH_STRIDE = 16
"""Pixels per image patch: three ResNet stages after the stem divide by sixteen."""
EXPANSION = 4
"""Channels that leave a bottleneck block of the ResNet, per channel within."""

BatchNormMode = Literal["train", "frozen", "sync"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that fixes the shape and the function of a model."""

    vocab_size: int = 59457
    """Entries of the unified vocabulary."""
    embed_dim: int = 768
    """Width C of encoder and decoder."""
    ffn_dim: int = 3072
    """Hidden width of the feed-forward blocks."""
    heads: int = 12
    """Attention heads H; must divide `embed_dim`."""
    encoder_layers: int = 6
    decoder_layers: int = 6
    resnet_blocks: tuple[int, int, int] = (3, 4, 23)
    """Bottleneck blocks in the three ResNet stages: (3, 4, 6) is ResNet-50, (3, 4, 23) -101."""
    resnet_width: int = 64
    """Channels of the ResNet stem; the patches leave with 16 times as many."""

    max_positions: int = 1024
    """Longest source or target, in tokens."""
    token_bucket_size: int = 256
    """Relative token positions: exact up to half of this, then logarithmic."""
    image_scales: int = 1
    """Sizes at which an image is encoded: its patches' own, twice that, ... up to this many times.
    The number of patches stays what it is at the smallest size; see `Encoder`."""
    image_bucket_size: int = 42
    """Largest number of patches along one side of an image (672 pixels)."""
    code_image_size: int = 128
    """Pixels along one side of the image that the VQ-GAN codes of one target describe."""
    orig_patch_image_size: int = 256
    """Image size the position table was trained at; larger ones are interpolated from it."""
    interpolate_position: bool = False
    """Interpolate image positions when the image has more patches than at the original size."""

    pad: int = 1
    """Vocabulary id of padding."""

    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    encoder_drop_path: float = 0.0
    """Stochastic depth of the last encoder layer; earlier layers scale linearly from zero."""
    decoder_drop_path: float = 0.0
    resnet_drop_path: float = 0.0
    batch_norm: BatchNormMode = "train"
    """Batch norm of the ResNet: ``train`` normalises by the statistics of the batch on one device,
    ``sync`` by those of all devices, ``frozen`` by the stored ones, affine parameters fixed."""
    checkpoint_activations: bool = False
    """Recompute layers and ResNet blocks in the backward pass, trading time for memory."""

    def __post_init__(self) -> None:
        if self.embed_dim % self.heads:
            raise ConfigError(
                f"embed_dim must be divisible by heads, got {self.embed_dim} and {self.heads}"
            )
        sizes = ("vocab_size", "embed_dim", "ffn_dim", "encoder_layers", "decoder_layers")
        for name in (*sizes, "image_scales"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch_norm not in get_args(BatchNormMode):
            raise ConfigError(
                f"batch_norm must be one of {', '.join(get_args(BatchNormMode))}, "
                f"got {self.batch_norm!r}"
            )

    @property
    def patch_dim(self) -> int:
        """Channels of the patches as the ResNet's third stage leaves them."""
        return self.resnet_width * 4 * EXPANSION

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.embed_dim // self.heads

    @property
    def attention_scale(self) -> float:
        """Factor on query-key products.

        Half the usual variance (``attn_scale_factor`` 2 of the reference), since content and
        position each contribute a product.
        """
        return float((self.head_dim * 2) ** -0.5)

    def replace(self, **changes: Any) -> "ModelConfig":
        """Return a copy with some fields changed; an unknown field is a `ConfigError`."""
        unknown = changes.keys() - {field.name for field in dataclasses.fields(self)}
        if unknown:
            raise ConfigError(f"unknown model option(s): {', '.join(sorted(unknown))}")
        return dataclasses.replace(self, **changes)


def _size(
    embed_dim: int, *, heads: int, layers: tuple[int, int], resnet: tuple[int, int, int]
) -> ModelConfig:
    """Return a model by its width, the layers of encoder and decoder, and the ResNet's blocks."""
    return ModelConfig(
        embed_dim=embed_dim,
        ffn_dim=4 * embed_dim,
        heads=heads,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        resnet_blocks=resnet,
    )


PRESETS: dict[str, ModelConfig] = {
    "nano": _size(128, heads=4, layers=(2, 2), resnet=(1, 1, 1)).replace(resnet_width=32),
    "tiny": _size(256, heads=4, layers=(4, 4), resnet=(3, 4, 6)),
    "medium": _size(512, heads=8, layers=(4, 4), resnet=(3, 4, 23)),
    "base": _size(768, heads=12, layers=(6, 6), resnet=(3, 4, 23)),
    "large": _size(1024, heads=16, layers=(12, 12), resnet=(3, 8, 36)),
    "xlarge": _size(1280, heads=16, layers=(24, 12), resnet=(3, 8, 36)),
}
"""Named sizes; take one with `preset`."""
OFA_NAMES = {"nano": "tiny", "xlarge": "huge"}
"""What OFA calls a size, or the next one to it, where that is another name."""


def preset(name: str, *, vocab_size: int = 59457, **overrides: Any) -> ModelConfig:
    """Return the configuration of a named size.

    Args:
        name: one of `PRESETS`.
        vocab_size: entries of the vocabulary the model will use.
        **overrides: other fields of `ModelConfig` to change.

    Raises:
        ConfigError: the name or an override is unknown.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown model size {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name].replace(vocab_size=vocab_size, **overrides)
