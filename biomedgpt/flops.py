"""Floating-point operations of the model, for utilisation figures and the planner.

Counted are the multiplications and additions of matrix products and convolutions, two per pair, as
in torch.utils.flop_counter; norms, activations and embeddings are left out. With B examples, L
encoder positions (patches and source tokens), T target positions, width C, feed-forward width F,
N projected target positions and V vocabulary entries a forward pass takes

    ResNet    sum over convolutions of 2 k^2 in out h w per image (h x w after its stride)
    encoder   layers x B (8 L C^2 + 4 L C F + 4 L^2 C), the projection of the patches, the positions
    decoder   layers x B (12 T C^2 + 4 L C^2 + 4 T C F + 4 T^2 C + 4 T L C), the positions
    logits    2 N C V

and a training step three times that: the backward pass makes two products of each, less that of the
first convolution, whose input is data. Recomputed activations are work of the machine, not of the
model, and are not counted.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from biomedgpt.model.config import EXPANSION, PATCH_STRIDE, ModelConfig

_IN_CHANNELS = 3
_STEM_KERNEL = 7

# Dense peak of bf16 (V100, T4: fp16) matrix products, from NVIDIA's data sheets. The first whose
# words are all in the device's name counts.
_PEAK_TFLOPS: tuple[tuple[str, float], ...] = (
    ("H200", 989.4),
    ("H100 PCIe", 756.0),
    ("H100", 989.4),
    ("A100", 312.0),
    ("A10G", 70.0),
    ("A10", 125.0),
    ("L40S", 362.0),
    ("L4", 121.0),
    ("V100", 125.0),
    ("T4", 65.0),
)


def peak_tflops(device_name: str) -> float | None:
    """Return the peak of a GPU in TFLOP/s, by its name; None for one that is not listed."""
    words = {*device_name.replace("-", " ").split()}
    return next((peak for name, peak in _PEAK_TFLOPS if words.issuperset(name.split())), None)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Shape of one forward pass, padding included."""

    batch: int
    source: int
    """Text tokens of the source."""
    target: int
    """Tokens of the target."""
    image: tuple[int, int] | None = None
    """Height and width in pixels, or None without images."""
    image_scales: int = 1
    """Sizes at which it is encoded, see `ModelConfig`."""
    sample_patches: int | None = None
    """Patches drawn of each image; None takes all of them."""
    projected: int | None = None
    """Target positions that are projected to the vocabulary; None means all."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; (0, 0) without images."""
        if self.image is None:
            return 0, 0
        height, width = self.image
        stride = PATCH_STRIDE * self.image_scales
        return -(-height // stride), -(-width // stride)

    @property
    def images(self) -> list[tuple[int, int]]:
        """Heights and widths at which the ResNet sees each image."""
        if self.image is None:
            return []
        height, width = self.image
        scales = range(1, self.image_scales + 1)
        return [(height * n // self.image_scales, width * n // self.image_scales) for n in scales]

    @property
    def patches(self) -> int:
        """Patches of each image that enter the encoder."""
        whole = math.prod(self.grid)
        return whole if self.sample_patches is None else min(self.sample_patches, whole)

    @property
    def positions_differ(self) -> bool:
        """Whether examples have patches of their own, so that position biases differ."""
        return self.patches < math.prod(self.grid)

    @property
    def length(self) -> int:
        """Positions of the encoder."""
        return self.patches + self.source


@dataclass(frozen=True)
class Convolution:
    """One convolution of the ResNet, with the size of its output."""

    in_channels: int
    out_channels: int
    kernel: int
    height: int
    width: int

    @property
    def flops(self) -> int:
        """Of one image."""
        pairs = self.kernel**2 * self.in_channels * self.out_channels
        return 2 * pairs * self.height * self.width


def convolutions(config: ModelConfig, image: tuple[int, int]) -> Iterator[list[Convolution]]:
    """Yield the convolutions of the stem, then of each bottleneck block, for one image size.

    A block's are those of its branch and, if it has one, that of its shortcut, in this order.
    """
    height, width = (_halve(size) for size in image)
    channels = config.resnet_width
    yield [Convolution(_IN_CHANNELS, channels, _STEM_KERNEL, height, width)]
    height, width = _halve(height), _halve(width)  # max pooling
    for stage, depth in enumerate(config.resnet_blocks):
        inner = config.resnet_width * 2**stage
        outer = inner * EXPANSION
        for block in range(depth):
            before = (height, width)
            if block == 0 and stage > 0:
                height, width = _halve(height), _halve(width)
            found = [
                Convolution(channels, inner, 1, *before),
                Convolution(inner, inner, 3, height, width),
                Convolution(inner, outer, 1, height, width),
            ]
            if block == 0:
                found.append(Convolution(channels, outer, 1, height, width))
            yield found
            channels = outer


def _halve(size: int) -> int:
    return -(-size // 2)


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Operations of one forward pass, by part."""

    stem: int
    resnet: int
    """Without the stem."""
    encoder: int
    decoder: int
    logits: int

    @property
    def forward(self) -> int:
        """All parts together."""
        return self.stem + self.resnet + self.encoder + self.decoder + self.logits

    @property
    def training(self) -> int:
        """Forward and backward pass, without recomputation."""
        return 3 * self.forward - self.stem


def count_flops(config: ModelConfig, work: Workload) -> Flops:
    """Return the operations of a forward pass; the formula is in the module's description."""
    dim, ffn = config.embed_dim, config.ffn_dim
    batch, source, target = work.batch, work.length, work.target
    own = batch if work.positions_differ else 1  # examples whose positions are computed
    stem = resnet = encoder = 0
    for image in work.images:
        first, *blocks = convolutions(config, image)
        stem += batch * sum(conv.flops for conv in first)
        resnet += batch * sum(conv.flops for block in blocks for conv in block)
    if work.image is not None:
        encoder += 2 * batch * work.patches * config.patch_dim * dim
    encoder += own * (4 * source * dim**2 + 2 * source**2 * dim)  # positions
    layer = 8 * source * dim**2 + 4 * source * dim * ffn + 4 * source**2 * dim
    encoder += config.encoder_layers * batch * layer
    decoder = 6 * target * dim**2 + 2 * target**2 * dim  # positions
    decoder += own * (2 * source * dim**2 + 2 * target * source * dim)
    layer = (12 * target + 4 * source) * dim**2 + 4 * target * dim * (ffn + target + source)
    decoder += config.decoder_layers * batch * layer
    projected = batch * target if work.projected is None else work.projected
    logits = 2 * projected * dim * config.vocab_size
    return Flops(stem=stem, resnet=resnet, encoder=encoder, decoder=decoder, logits=logits)
