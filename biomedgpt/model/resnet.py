"""Patch embedding: the first three stages of a ResNet (stride 16).

ResNet V1.5 (stride on the 3x3 convolution), as in torchvision and the reference. Module names are
kept from there: weights use them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from biomedgpt.errors import ConfigError
from biomedgpt.model.config import EXPANSION, BatchNormMode
from biomedgpt.model.cpu.folded import FoldedNorms
from biomedgpt.model.cpu.packed import WeightCache, can_pack


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): drop a residual branch for whole examples.

    The first dimension of the input must be the batch.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with some examples zeroed and the others scaled up; same shape."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        shape = (x.shape[0],) + (1,) * (x.dim() - 1)
        return x * torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(keep).div_(keep)


class _InFloat32(_BatchNorm):
    """Batch norm that stays in float32 in a model of half precision.

    Running statistics move by a tenth of a difference, which half precision mostly rounds away.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def convert(tensor: Tensor) -> Tensor:
            converted = fn(tensor)
            half = converted.dtype in (torch.float16, torch.bfloat16)
            return tensor.to(converted.device) if half else converted

        return super()._apply(convert, recurse)  # type: ignore[no-untyped-call]


class BatchNorm(_InFloat32, nn.BatchNorm2d):
    """By the statistics of the batch on one device."""


class SyncBatchNorm(_InFloat32, nn.SyncBatchNorm):
    """By those of all devices."""


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Return the stochastic depth rate of each layer, rising linearly from zero to ``last``."""
    return [last * layer / max(depth - 1, 1) for layer in range(depth)]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a residual connection."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        norm: type[BatchNorm | SyncBatchNorm],
        stride: int = 1,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = norm(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                norm(out_channels),
            )
            if stride != 1 or in_channels != out_channels
            else None
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, 4 * width, h / stride, w / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(identity + self.drop_path(out))

    def fused(self, x: Tensor, convolve: FoldedNorms) -> Tensor:
        """Do the same in evaluation mode, with batch norms folded; ``x`` may be overwritten."""
        identity = x
        if self.downsample is not None:
            conv, norm = self.downsample
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, _BatchNorm)
            identity = convolve(conv, norm, x, relu=False)
        out = convolve(self.conv1, self.bn1, x)
        out = convolve(self.conv2, self.bn2, out)
        return convolve.onto(identity, self.conv3, self.bn3, out)


class ResNet(nn.Module):
    """Image to a grid of patch features.

    Args:
        blocks: bottleneck blocks per stage.
        width: channels of the stem; the output has ``16 * width`` channels.
        drop_path: stochastic depth rate of the last block of each stage.
        batch_norm: see `biomedgpt.model.ModelConfig`; the keys of the state dict are the same.
        checkpoint_activations: recompute stem and blocks in the backward pass.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int],
        *,
        width: int = 64,
        drop_path: float = 0.0,
        batch_norm: BatchNormMode = "train",
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = 4 * width * EXPANSION
        self.batch_norm = batch_norm
        self.checkpoint_activations = checkpoint_activations
        norm = SyncBatchNorm if batch_norm == "sync" else BatchNorm
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, blocks[0], stride=1, drop_path=drop_path, norm=norm)
        self.layer2 = _stage(
            4 * width, 2 * width, blocks[1], stride=2, drop_path=drop_path, norm=norm
        )
        self.layer3 = _stage(
            8 * width, 4 * width, blocks[2], stride=2, drop_path=drop_path, norm=norm
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if batch_norm == "frozen":
            for module in self._batch_norms():
                module.requires_grad_(False)
        self._folded: WeightCache[FoldedNorms] = WeightCache()

    def _batch_norms(self) -> Iterator[_BatchNorm]:
        return (module for module in self.modules() if isinstance(module, _BatchNorm))

    def train(self, mode: bool = True) -> "ResNet":
        """Switch mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if mode:
            self._folded.forget()
        if self.batch_norm == "frozen":
            for module in self._batch_norms():
                module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, 16 * width, height / 16, width / 16).

        Raises:
            ConfigError: synchronised batch norm is to be trained on a CPU.
        """
        if self.training and self.batch_norm == "sync" and not images.is_cuda:
            raise ConfigError(
                "synchronised batch norm works on GPUs only; on the CPU use --batch-norm frozen "
                "(or train, with the statistics of each process)"
            )
        # Channels last is the layout that convolution and batch norm are fastest in.
        images = images.contiguous(memory_format=torch.channels_last)
        stages = (self.layer1, self.layer2, self.layer3)
        if self._can_fold():
            return self._fused(images, stages)
        x = self._run(self._stem, images, [self.bn1])
        for stage in stages:
            for block in stage:
                x = self._run(block, x, block.modules())
        return x

    def _can_fold(self) -> bool:
        return (
            not self.training
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and can_pack(self.conv1.weight)
        )

    def _fused(self, images: Tensor, stages: Iterable[nn.Sequential]) -> Tensor:
        weights = [*self.parameters(), *self.buffers()]
        convolve = self._folded.get([w for w in weights if w.is_floating_point()], FoldedNorms)
        x: Tensor = self.maxpool(convolve(self.conv1, self.bn1, images))
        for stage in stages:
            for block in stage:
                assert isinstance(block, Bottleneck)
                x = block.fused(x, convolve)
        return x

    def _stem(self, x: Tensor) -> Tensor:
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def _run(
        self, part: Callable[[Tensor], Tensor], x: Tensor, modules: Iterable[nn.Module]
    ) -> Tensor:
        if not (self.checkpoint_activations and self.training):
            return part(x)
        norms = [norm for norm in modules if isinstance(norm, _BatchNorm) and norm.training]

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _statistics_kept(norms)

        return checkpoint(part, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Leave running statistics alone: the first pass has counted the batch already."""
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # Not by `track_running_stats`: the same tensors must be saved for the backward pass.
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def _stage(
    in_channels: int,
    width: int,
    depth: int,
    *,
    stride: int,
    drop_path: float,
    norm: type[BatchNorm | SyncBatchNorm],
) -> nn.Sequential:
    blocks = [Bottleneck(in_channels, width, stride=stride, norm=norm)]
    for rate in drop_path_rates(drop_path, depth)[1:]:
        blocks.append(Bottleneck(width * EXPANSION, width, drop_path=rate, norm=norm))
    return nn.Sequential(*blocks)
