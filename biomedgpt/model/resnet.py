"""Patch embedding: the first three stages of a ResNet (stride 16).

ResNet V1.5 (stride on the 3x3 convolution), as in torchvision and the reference. Module names are
kept from there: weights use them.
"""

import torch
from torch import Tensor, nn

EXPANSION = 4


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


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Return the stochastic depth rate of each layer, rising linearly from zero to ``last``."""
    return [last * layer / max(depth - 1, 1) for layer in range(depth)]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a residual connection."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
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


class ResNet(nn.Module):
    """Image to a grid of patch features.

    Args:
        blocks: bottleneck blocks per stage.
        width: channels of the stem; the output has ``16 * width`` channels.
        drop_path: stochastic depth rate of the last block of each stage.
        freeze_batch_norm: use the stored statistics also in training.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int],
        *,
        width: int = 64,
        drop_path: float = 0.0,
        freeze_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = 4 * width * EXPANSION
        self.freeze_batch_norm = freeze_batch_norm
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, blocks[0], stride=1, drop_path=drop_path)
        self.layer2 = _stage(4 * width, 2 * width, blocks[1], stride=2, drop_path=drop_path)
        self.layer3 = _stage(8 * width, 4 * width, blocks[2], stride=2, drop_path=drop_path)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.requires_grad_(False)

    def train(self, mode: bool = True) -> "ResNet":
        """Switch mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if self.freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, 16 * width, height / 16, width / 16)."""
        # Channels last is the layout that convolution and batch norm are fastest in.
        x = images.contiguous(memory_format=torch.channels_last)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer1(x)
        x = self.layer2(x)
        return self.layer3(x)


def _stage(
    in_channels: int, width: int, depth: int, *, stride: int, drop_path: float
) -> nn.Sequential:
    blocks = [Bottleneck(in_channels, width, stride=stride)]
    for rate in drop_path_rates(drop_path, depth)[1:]:
        blocks.append(Bottleneck(width * EXPANSION, width, drop_path=rate))
    return nn.Sequential(*blocks)
