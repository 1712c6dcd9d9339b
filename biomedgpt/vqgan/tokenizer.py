"""Images to codes and back.

Legend: B images, H and W pixels, h = H / f and w = W / f codes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from biomedgpt.checkpoints.hashes import check_hashes, with_hashes
from biomedgpt.checkpoints.safetensors_file import read_safetensors, write_safetensors
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.errors import CheckpointError, ConfigError, DataError
from biomedgpt.files import WEIGHTS, atomic_path, file_hash, write_json
from biomedgpt.vqgan import taming
from biomedgpt.vqgan.network import SmallConfig, SmallVQ
from biomedgpt.vqgan.pixels import load_pixels

DESCRIPTION = "vqgan.json"
_FORMAT = 1


Network = SmallVQ | taming.TamingVQ


class ImageTokenizer:
    """A VQ-GAN: images as short sequences of codes.

    Attributes:
        network: the network, in evaluation mode.
        image_size: pixels along one side of the images it was trained on.
        num_codes: number of codes; every code is less.
        downsampling: pixels per code along one side, f.
        fingerprint: SHA-256 (hex) of its kind and its weights: tokenizers with the same
            fingerprint give the same codes.
    """

    def __init__(self, network: Network, *, image_size: int) -> None:
        self.network = network
        network.eval().requires_grad_(False)
        self.image_size = image_size
        self.num_codes = network.num_codes
        self.downsampling = network.downsampling
        self.fingerprint = _fingerprint(network)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a tokenizer, published or trained here.

        Args:
            path: a folder that `save` wrote, or a folder in the layout of taming-transformers
                (``configs/model.yaml`` with ``checkpoints/last.ckpt``; the two files may also lie
                in the folder itself), or such a checkpoint.

        Raises:
            CheckpointError: nothing of the kind is there, or it is damaged or hostile.
            ConfigError: a published one, and taming-transformers is not installed.
        """
        path = Path(path)
        if (path / DESCRIPTION).is_file():
            return cls._load_small(path)
        files = taming.find_files(path)
        if files is None:
            raise CheckpointError(
                f"{path}: no image tokenizer here; expected {DESCRIPTION}, or a configuration "
                f"({', '.join(taming.CONFIGS)}) with a checkpoint ({', '.join(taming.CHECKPOINTS)})"
            )
        network, image_size = taming.load(*files)
        return cls(network, image_size=image_size)

    @classmethod
    def _load_small(cls, folder: Path) -> Self:
        path, weights = folder / DESCRIPTION, folder / WEIGHTS
        fix = "train it again with `biomedgpt vqgan train`, or restore the file"
        try:
            description = json.loads(path.read_bytes())
            if description["format"] != _FORMAT:
                raise CheckpointError(
                    f"{path}: format {description['format']!r}, this program reads {_FORMAT}; "
                    "upgrade biomedgpt"
                )
            options, fingerprint = description["config"], description["fingerprint"]
            if options.keys() != {field.name for field in fields(SmallConfig)}:
                raise TypeError("config")
            config = SmallConfig(**(options | {"widths": tuple(options["widths"])}))
        except (ValueError, KeyError, TypeError, AttributeError, OSError, ConfigError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); {fix}") from error
        network = SmallVQ(config)
        found = read_safetensors(weights, fix=fix)
        try:
            network.load_state_dict(found)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{weights}: damaged ({reason}); {fix}") from error
        tokenizer = cls(network, image_size=config.image_size)
        if tokenizer.fingerprint != fingerprint:
            raise CheckpointError(f"{weights}: not the weights that {DESCRIPTION} describes; {fix}")
        check_hashes(description, path, fix=fix)
        return tokenizer

    def save(self, folder: str | Path, facts: Mapping[str, Any] | None = None) -> None:
        """Write a tokenizer that was trained here; ``folder`` is made if missing.

        Each file appears complete or not at all, the description last.

        Args:
            folder: where to write ``vqgan.json`` and ``model.safetensors``.
            facts: what else to record of it, such as its PSNR.

        Raises:
            ConfigError: it was not trained here, or the folder cannot be written.
        """
        if not isinstance(self.network, SmallVQ):
            raise ConfigError("only tokenizers trained here can be saved; copy published files")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path, weights = folder / DESCRIPTION, folder / WEIGHTS
        with atomic_path(weights) as temporary:
            write_safetensors(self.network.state_dict(), temporary)
        description = {
            "format": _FORMAT,
            "config": asdict(self.network.config),
            "fingerprint": self.fingerprint,
            **(facts or {}),
        }
        write_json(path, with_hashes(description, path, {WEIGHTS: file_hash(weights)}))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> Self:
        """Move it to a device, in place."""
        self.network.to(device)
        return self

    def grid(self, size: int) -> int:
        """Return the codes along a side of ``size`` pixels; ConfigError if it is no multiple."""
        if size < self.downsampling or size % self.downsampling:
            raise ConfigError(
                f"an image side of {size} pixels is no multiple of the {self.downsampling} pixels "
                "of a code; choose another image size"
            )
        return size // self.downsampling

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Return the codes of images, in rows from the top left.

        Args:
            pixels: (B, 3, H, W) in [-1, 1]; H and W multiples of `downsampling`.

        Returns:
            (B, h * w) of int64.
        """
        self.grid(pixels.shape[-2])
        self.grid(pixels.shape[-1])
        return self.network.encode_codes(pixels.to(self.device)).flatten(1)

    @torch.no_grad()
    def decode(self, codes: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return the images of codes.

        Args:
            codes: (B, h * w) of int64, in rows from the top left.
            grid: (h, w).

        Returns:
            (B, 3, H, W) in [-1, 1].

        Raises:
            DataError: a code is out of range, or there are not h * w of them.
        """
        if codes.shape[-1] != grid[0] * grid[1]:
            raise DataError(
                f"{codes.shape[-1]} codes are no grid of {grid[0]} x {grid[1]}; give another grid"
            )
        if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < self.num_codes:
            raise DataError(
                f"codes from {int(codes.min())} to {int(codes.max())} are outside "
                f"0..{self.num_codes - 1}; they come from another VQ-GAN"
            )
        return self.network.decode_codes(codes.to(self.device).view(-1, *grid)).clamp(-1, 1)


def decode_images(
    tokenizer: ImageTokenizer, split: PreparedSplit, *, batch_size: int
) -> Iterator[tuple[range, Tensor, Tensor, Tensor]]:
    """Yield numbers, pixels, codes and decoded pixels of all images of a split, in batches."""
    size = tokenizer.image_size
    grid = (tokenizer.grid(size), tokenizer.grid(size))
    images = range(split.num_images)
    for first in tqdm(
        images[::batch_size], desc=f"decoding {split.name}", unit=" batches", disable=None
    ):
        numbers = images[first : first + batch_size]
        pixels = torch.stack([load_pixels(split, n, size) for n in numbers]).to(tokenizer.device)
        codes = tokenizer.encode(pixels)
        yield numbers, pixels, codes, tokenizer.decode(codes, grid)


def _fingerprint(network: nn.Module) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {type(network).__name__}".encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"\n{name} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
