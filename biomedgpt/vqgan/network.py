"""The small image tokenizer that is trained here: convolutions around a codebook.

Legend: B images, H and W pixels, h and w codes, D codebook width, K codes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biomedgpt.errors import ConfigError

_GROUPS = 8


@dataclass(frozen=True, kw_only=True)
class SmallConfig:
    """Shape of a small tokenizer."""

    image_size: int = 96
    """Pixels along one side of the images it is trained on; it takes other sizes too."""
    num_codes: int = 256
    embed_dim: int = 32
    """Width D of the codebook."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels after each halving of the resolution."""

    def __post_init__(self) -> None:
        if not (1 <= len(self.widths) <= 6 and all(8 <= w <= 1024 for w in self.widths)):
            raise ConfigError(f"widths must be one to six numbers from 8 to 1024: {self.widths}")
        if any(width % _GROUPS for width in self.widths):
            raise ConfigError(f"widths must be multiples of {_GROUPS}: {self.widths}")
        if not (2 <= self.num_codes <= 65536 and 1 <= self.embed_dim <= 1024):
            raise ConfigError(
                f"num_codes must be 2..65536 and embed_dim 1..1024, got {self.num_codes} and "
                f"{self.embed_dim}"
            )
        if not self.downsampling <= self.image_size <= 4096 or self.image_size % self.downsampling:
            raise ConfigError(
                f"image_size must be a multiple of {self.downsampling} up to 4096, got "
                f"{self.image_size}"
            )

    @property
    def downsampling(self) -> int:
        """Pixels per code along one side."""
        return int(2 ** len(self.widths))


SIZES = {"small": SmallConfig()}
"""Named sizes of `biomedgpt vqgan train`."""


class _Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(_GROUPS, width)
        self.conv_1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm_2 = nn.GroupNorm(_GROUPS, width)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_1(F.silu(self.norm_1(x)))
        return x + self.conv_2(F.silu(self.norm_2(y)))


class Codebook(nn.Module):
    """K vectors of width D, kept as running means of what was assigned to them.

    Moving averages instead of a loss (van den Oord et al., arXiv 1711.00937, appendix A.1), and
    vectors that nothing is assigned to any more are replaced by features of the batch at hand:
    otherwise most of a small codebook is never used.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, num_codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.randn(num_codes, width))
        self.register_buffer("counts", torch.zeros(num_codes))
        self.register_buffer("sums", torch.zeros(num_codes, width))

    def nearest(self, features: Tensor) -> Tensor:
        """Return the nearest codes of (N, D) features, (N) of int64."""
        distance = self.vectors.square().sum(1) - 2 * features @ self.vectors.T  # (N, K)
        return distance.argmin(1)

    @torch.no_grad()
    def update(
        self, features: Tensor, codes: Tensor, *, decay: float, generator: torch.Generator
    ) -> None:
        """Move the vectors towards the features assigned to them; replace unused ones.

        Args:
            features: (N, D).
            codes: (N) the code of each.
            decay: of the averages.
            generator: picks the features that replace unused vectors; on the CPU.
        """
        num_codes = len(self.counts)
        counts = torch.bincount(codes, minlength=num_codes).to(features.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, codes, features)
        self.counts.lerp_(counts, 1 - decay)
        self.sums.lerp_(sums, 1 - decay)
        # Unused: less than a hundredth of an even share.
        unused = self.counts < 0.01 * len(features) / num_codes
        picked = torch.randint(len(features), (num_codes,), generator=generator)
        fresh = features[picked.to(features.device)]
        self.counts[unused] = 0.1 * len(features) / num_codes
        self.sums[unused] = fresh[unused] * self.counts[unused, None]
        self.vectors.copy_(self.sums / self.counts[:, None])


class SmallVQ(nn.Module):
    """Encoder, codebook, decoder; the names of its parameters are those in `model.safetensors`."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        self.num_codes = config.num_codes
        self.downsampling = config.downsampling
        first, *rest = config.widths
        encoder: list[nn.Module] = [
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, first, 3, padding=1),
            _Block(first),
        ]
        width = first
        for wider in rest:
            encoder += [nn.Conv2d(width, wider, 4, stride=2, padding=1), _Block(wider)]
            width = wider
        encoder += [_Block(width), nn.GroupNorm(_GROUPS, width), nn.SiLU()]
        self.encoder = nn.Sequential(*encoder, nn.Conv2d(width, config.embed_dim, 1))
        self.codebook = Codebook(config.num_codes, config.embed_dim)
        decoder: list[nn.Module] = [
            nn.Conv2d(config.embed_dim, width, 3, padding=1),
            _Block(width),
            _Block(width),
        ]
        for narrower in reversed(config.widths[:-1]):
            decoder += [
                nn.Upsample(scale_factor=2.0),
                nn.Conv2d(width, narrower, 3, padding=1),
                _Block(narrower),
            ]
            width = narrower
        decoder += [nn.GroupNorm(_GROUPS, width), nn.SiLU(), nn.Conv2d(width, 12, 3, padding=1)]
        self.decoder = nn.Sequential(*decoder, nn.PixelShuffle(2))

    def features(self, pixels: Tensor) -> Tensor:
        """Return (B, h, w, D) features of (B, 3, H, W) pixels."""
        return self.encoder(pixels).permute(0, 2, 3, 1)

    def reconstruct(self, features: Tensor) -> Tensor:
        """Return (B, 3, H, W) pixels of (B, h, w, D) features; not limited to [-1, 1]."""
        return self.decoder(features.permute(0, 3, 1, 2))

    def encode_codes(self, pixels: Tensor) -> Tensor:
        """Return (B, h, w) codes of (B, 3, H, W) pixels."""
        features = self.features(pixels)
        return self.codebook.nearest(features.flatten(0, 2)).view(features.shape[:3])

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Return (B, 3, H, W) pixels of (B, h, w) codes."""
        return self.reconstruct(self.codebook.vectors[codes])
