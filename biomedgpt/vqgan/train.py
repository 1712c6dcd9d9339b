"""Training a small image tokenizer on the images of a prepared dataset.

The loss is the error of the pixels and the distance of the features to their codes; the codebook
follows by moving averages (`network.Codebook`). There is no discriminator and no perceptual loss:
on images of this size they would cost more than the tokenizer itself.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from biomedgpt.checkpoints.torch_file import read_torch_file, write_torch_file
from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.errors import CheckpointError, ConfigError, DataError
from biomedgpt.files import atomic_path, sole, tidy
from biomedgpt.vqgan.network import SIZES, SmallVQ
from biomedgpt.vqgan.pixels import load_pixels, psnr
from biomedgpt.vqgan.tokenizer import DESCRIPTION, ImageTokenizer, decode_images

STATE = "training.pt"
_EVERY = 100  # updates between two saved states
_FORGET_FAST = 100  # first updates, in which the codebook follows the features closely


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `train`."""

    size: str = "small"
    """One of `biomedgpt.vqgan.network.SIZES`."""
    updates: int = 1500
    batch_size: int = 16
    learning_rate: float = 2e-3
    """Peak; reached after 30 updates, then falls as a cosine."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ConfigError(f"unknown size {self.size!r}; choose one of {', '.join(SIZES)}")
        if self.updates < 1 or self.batch_size < 1 or not 0 < self.learning_rate < 1:
            raise ConfigError(
                f"updates and batch size must be at least 1 and the learning rate within (0, 1), "
                f"got {self.updates}, {self.batch_size} and {self.learning_rate}"
            )


@dataclass(frozen=True)
class Quality:
    """How well images survive encoding and decoding."""

    psnr: float
    """Mean over images, in dB."""
    codes_used: int
    """Different codes among all of the images."""
    images: int


def train(
    data: Path, out: Path, options: TrainOptions, *, device: torch.device | None = None
) -> Quality:
    """Train a tokenizer on the split ``train`` and save it; return its quality on ``valid``.

    The state is saved on the way. After an interrupt the same call goes on from there, and ends
    with the tokenizer that an uninterrupted one would have made.

    Args:
        data: prepared dataset.
        out: folder of the tokenizer.
        options: see there.
        device: where to compute; the CPU by default.

    Raises:
        DataError: no images, or a damaged one.
        ConfigError: ``out`` holds a tokenizer, or the state of another training.
    """
    dataset = PreparedDataset(data)
    split = dataset.split("train")
    if not split.num_images:
        raise DataError(f"{split.path}: no images to train on; give a dataset with images")
    if (out / DESCRIPTION).is_file():
        _tidy(out)
        raise ConfigError(f"{out} holds a tokenizer; delete it, or give another output folder")
    out.mkdir(parents=True, exist_ok=True)
    with sole(out):
        run = _Run(split, out / STATE, options, dataset.hash, device or torch.device("cpu"))
        with run.interruptible():
            run.train()
            tokenizer = ImageTokenizer(run.network, image_size=run.config.image_size)
            name = "valid" if "valid" in dataset.splits else "train"
            quality = measure(tokenizer, dataset.split(name), batch_size=options.batch_size)
            facts = {"training": asdict(options), "data": dataset.hash}
            tokenizer.save(out, facts | {f"{name}_psnr": quality.psnr})
        (out / STATE).unlink(missing_ok=True)
    return quality


def _tidy(out: Path) -> None:
    """Remove what a training has left that was killed when its tokenizer was whole."""
    with suppress(ConfigError):  # of a place that cannot be written, or in use
        if (out / STATE).is_file():
            with sole(out):
                (out / STATE).unlink(missing_ok=True)
        tidy(out)


def measure(tokenizer: ImageTokenizer, split: PreparedSplit, *, batch_size: int = 32) -> Quality:
    """Encode and decode all images of a split."""
    used: set[int] = set()
    total = 0.0
    for _, pixels, codes, decoded in decode_images(tokenizer, split, batch_size=batch_size):
        total += float(psnr(decoded, pixels).sum())
        used.update(codes.unique().tolist())
    return Quality(total / max(split.num_images, 1), len(used), split.num_images)


@dataclass
class _Run:
    """One training: network, optimizer, and the number of updates done."""

    split: PreparedSplit
    path: Path
    options: TrainOptions
    data_hash: str
    device: torch.device
    update: int = 0
    saved: int = 0

    def __post_init__(self) -> None:
        self.config = SIZES[self.options.size]
        self.identity = {**asdict(self.options), "data": self.data_hash}
        torch.manual_seed(self.options.seed)
        self.network = SmallVQ(self.config).to(self.device)
        rate = self.options.learning_rate
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        if self.path.is_file():
            self._load()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Say in an interrupt where the next call goes on; half an update is not worth saving."""
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"give the command again: it goes on from update {self.saved}"
            ) from None

    def train(self) -> None:
        """Do the updates that are left; save the state now and then."""
        total, done = self.options.updates, self.update
        with tqdm(total=total, initial=done, desc="training", unit=" updates", disable=None) as bar:
            while self.update < total:
                loss = self._step()
                bar.update()
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if self.update % _EVERY == 0:
                    self._save()
                    self.saved = self.update

    def _step(self) -> float:
        """Do one update; all random choices follow from the seed and its number."""
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.update)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        pixels = self._batch(generator)
        features = self.network.features(pixels)  # (B, h, w, D)
        flat = features.detach().flatten(0, 2)
        codebook = self.network.codebook
        codes = codebook.nearest(flat)
        decay = 0.9 if self.update < _FORGET_FAST else 0.98
        codebook.update(flat, codes, decay=decay, generator=generator)
        quantized = codebook.vectors[codes].view_as(features)
        # Gradients pass the codebook as if it were not there.
        decoded = self.network.reconstruct(features + (quantized - features).detach())
        loss = (
            4 * F.mse_loss(decoded, pixels)
            + 0.2 * F.l1_loss(decoded, pixels)
            + 0.25 * F.mse_loss(features, quantized)
        )
        if not bool(loss.isfinite()):
            raise DataError(
                f"loss is {loss.item()} at update {self.update + 1}; train again with a lower "
                "--learning-rate"
            )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.update += 1
        return loss.item()

    def _batch(self, generator: torch.Generator) -> Tensor:
        """Return whole images, or in every second update crops of half their size.

        The centre half of an image is encoded without what is around it.
        """
        count, size = self.options.batch_size, self.config.image_size
        numbers = torch.randint(self.split.num_images, (count,), generator=generator)
        pixels = torch.stack([load_pixels(self.split, n, size) for n in numbers.tolist()])
        if self.update % 2:
            half = size // 2
            top, left = torch.randint(size - half + 1, (2,), generator=generator).tolist()
            pixels = pixels[:, :, top : top + half, left : left + half]
        return pixels.to(self.device)

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.update + 1) / 30)
        cosine = 0.5 * (1 + math.cos(math.pi * self.update / self.options.updates))
        return self.options.learning_rate * warm * (0.02 + 0.98 * cosine)

    def _save(self) -> None:
        state = {
            "identity": self.identity,
            "update": self.update,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(self.path) as temporary:
            write_torch_file(state, temporary)

    def _load(self) -> None:
        fix = "delete it to train from the beginning"
        state: dict[str, Any] = read_torch_file(self.path, fix=fix)
        if state.get("identity") != self.identity:
            raise ConfigError(
                f"{self.path} is of a training with other options or data; give these again, "
                "another output folder, or delete it"
            )
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.update = self.saved = int(state["update"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{self.path}: damaged ({reason}); {fix}") from error
