"""Memory of a training step, for the planner.

State, in bytes per parameter (fairseq's optimizers):

    precision     weights  gradients  optimizer                        average (EMA)
    fp32          4        4          8 (Adam)                         4 + 4 (--ema-fp32)
    bf16, fp16    2        2          8 + 4 (weights) + 4 (gradients)  2 + 4

and, on several devices, a second copy of the gradients in DDP's buckets.

Activations are the tensors that the forward pass keeps for the backward pass, e bytes an element,
with an attention that keeps its weights (fused kernels keep less). With B examples, L encoder and T
target positions, width C, feed-forward width F, H heads, N projected positions and V vocabulary
entries these are

    ResNet          stem: the image, 2 x its output (the indices of the pooling: 8 bytes each);
                    a block: 2 x the output of each convolution, 1 x that of the shortcut's
    encoder layer   e B (10 L C + 3 L F + H L^2)
    decoder layer   e B (16 T C + 2 L C + 3 T F + H T^2 + H T L)
    embeddings      e B (16 W P + 4 L C + 3 T C), W the ResNet's width, P the patches
    biases          e H L^2 and e H T L, times B if there is padding; 8 bytes for each pair's bucket
    vocabulary      N V (4 + 4 bytes, + 2 in half precision): logarithms of the probabilities and
                    the gradient (R-Drop has more); or, later, 3 e V C if that is more: the tied
                    embedding has a gradient from each of its three uses

Norms keep 8 bytes per position, dropout a mask of the branch's size. With recomputed activations
layers and blocks keep their input alone, and one of them at a time is there in full, with two
gradients of the size of its largest tensor, and one of the embedding's; logits are gone by then, so
that the larger of the two counts.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from biomedgpt.flops import Convolution, Workload, convolutions
from biomedgpt.model.config import ModelConfig

Precision = Literal["fp32", "bf16", "fp16"]

_STATISTICS = 8  # mean and reciprocal deviation in float32
_INDEX = 8  # int64


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device at the peak of a training step."""

    weights: int
    gradients: int
    optimizer: int
    ema: int
    communication: int
    activations: int
    vocabulary: int
    """Logits, or gradients of the embedding."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(asdict(self).values())

    @property
    def state(self) -> int:
        """What does not depend on the batch."""
        return self.total - self.activations - self.vocabulary


def count_memory(
    config: ModelConfig,
    work: Workload,
    *,
    parameters: int,
    precision: Precision = "bf16",
    devices: int = 1,
    ema: bool = True,
    padding: bool = True,
) -> Memory:
    """Return the memory of a training step; the formula is in the module's description.

    Args:
        config: the model; `checkpoint_activations` and dropout count.
        work: what one device computes at a time.
        parameters: of the model.
        precision: of weights and activations.
        devices: that average their gradients.
        ema: keep a moving average of the weights, in float32.
        padding: rows differ in length, or some have no image.
    """
    half = precision != "fp32"
    element = 2 if half else 4
    projected = work.batch * work.target if work.projected is None else work.projected
    logits = projected * config.vocab_size * (8 + (element if half else 0))
    embedding = element * config.vocab_size * config.embed_dim
    vocabulary = max(logits, 3 * embedding)
    kept, recomputed = _activations(config, work, element=element, padding=padding)
    return Memory(
        weights=element * parameters,
        gradients=element * parameters,
        optimizer=(16 if half else 8) * parameters,
        ema=(element + 4) * parameters if ema else 0,
        communication=element * parameters if devices > 1 else 0,
        activations=kept + max(recomputed + embedding - vocabulary, 0),
        vocabulary=vocabulary,
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Bytes of a layer or block."""

    kept: int
    """For the backward pass, the input included."""
    input: int
    largest: int
    """Of its largest tensor."""


def _activations(
    config: ModelConfig, work: Workload, *, element: int, padding: bool
) -> tuple[int, int]:
    """Return what is kept throughout, and what one recomputed part adds to it."""
    batch, length, target = work.batch, work.length, work.target
    dim, heads = config.embed_dim, config.heads
    own = batch if work.positions_differ else 1
    with_padding = batch if padding else own

    parts = [_encoder_layer(config, work, element)] * config.encoder_layers
    parts += [_decoder_layer(config, work, element)] * config.decoder_layers
    shared = element * batch * (4 * length + 3 * target) * dim
    shared += element * (4 * own * length + 4 * target) * dim  # positions
    shared += element * heads * with_padding * (length**2 + target * length)
    shared += element * heads * config.decoder_layers * target**2
    shared += _INDEX * (work.source**2 + own * work.patches**2 + target**2)
    if work.image is not None:
        shared += element * batch * work.patches * config.patch_dim
        for image in work.images:
            parts += _resnet(config, work, image, element)
    if not config.checkpoint_activations:
        return shared + sum(part.kept for part in parts), 0
    recomputed = max(part.kept - part.input + 2 * part.largest for part in parts)
    return shared + sum(part.input for part in parts), recomputed


def _encoder_layer(config: ModelConfig, work: Workload, element: int) -> _Part:
    dim, ffn, length = config.embed_dim, config.ffn_dim, work.length
    weights = config.heads * length**2
    elements = 10 * length * dim + 3 * length * ffn + weights
    if config.dropout:
        elements += 2 * length * dim
    return _Part(
        kept=work.batch * (element * elements + 4 * _STATISTICS * length),
        input=work.batch * element * length * dim,
        largest=work.batch * element * max(weights, length * ffn),
    )


def _decoder_layer(config: ModelConfig, work: Workload, element: int) -> _Part:
    dim, ffn, length, target = config.embed_dim, config.ffn_dim, work.length, work.target
    weights = config.heads * target * (target + length)
    elements = 16 * target * dim + 2 * length * dim + 3 * target * ffn + weights
    if config.dropout:
        elements += 3 * target * dim
    return _Part(
        kept=work.batch * (element * elements + 6 * _STATISTICS * target),
        input=work.batch * element * target * dim,
        largest=work.batch * element * max(weights, target * ffn, length * dim),
    )


def _resnet(
    config: ModelConfig, work: Workload, size: tuple[int, int], element: int
) -> list[_Part]:
    (stem,), *blocks = convolutions(config, size)
    height, width = size
    image = 3 * height * width
    before = _elements(stem) // 4  # pooled
    each = element * work.batch
    parts = [
        _Part(
            kept=each * (image + 2 * _elements(stem)) + _INDEX * work.batch * before,
            input=each * image,
            largest=each * _elements(stem),
        )
    ]
    for branch in blocks:
        _, _, last, *shortcut = branch
        kept = sum(2 * _elements(conv) for conv in branch)
        kept -= sum(_elements(conv) for conv in shortcut)
        # A block's output is the next one's input, and counted there.
        kept += before - _elements(last)
        largest = max(_elements(conv) for conv in branch)
        parts.append(_Part(kept=each * kept, input=each * before, largest=each * largest))
        before = _elements(last)
    return parts


def _elements(conv: Convolution) -> int:
    return conv.out_channels * conv.height * conv.width
