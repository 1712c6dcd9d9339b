"""Codes of a split's images: ``<split>.codes.h5`` beside ``<split>.h5``.

Layout (version 2)::

    attributes   format "biomedgpt-codes", version, tokenizer (fingerprint, hex), num_codes,
                 images (SHA-256 over the split's image hashes, hex),
                 image_size, middle_grid, whole_size, whole_grid (codes along one side),
                 sha256 (of the other attributes and of all codes, hex)
    middle       int32 (images, middle_grid^2)   the centre half of the image at image_size
    whole        int32 (images, whole_grid^2)    the whole image at whole_size; may be absent

Codes are in rows from the top left. The arrays are contiguous, and mapped as those of the split.
Version 1 has no ``sha256``.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.prepared.arrays import ArrayFile, blocks
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.data.prepared.new_file import new_hdf5
from biomedgpt.errors import DataError
from biomedgpt.stamps import stamped

FORMAT = "biomedgpt-codes"
FORMAT_VERSION = 2
_PARTS = ("middle", "whole")


@dataclass(frozen=True)
class CodesInfo:
    """What fixes the codes of a split besides its images."""

    tokenizer: str
    """Fingerprint of the image tokenizer."""
    num_codes: int
    """Codes of the tokenizer; every code is less."""
    image_size: int
    """Pixels along one side of the square an image is resized to before its centre half is
    encoded."""
    middle_grid: int
    """Codes along one side of the centre half."""
    whole_size: int = 0
    """Pixels along one side of the square that is encoded as a whole; 0 for none."""
    whole_grid: int = 0
    """Codes along one side of that; 0 for none."""


def codes_path(split: PreparedSplit) -> Path:
    """Return where the codes of a split are kept."""
    return split.folder / f"{split.name}.codes.h5"


def images_digest(split: PreparedSplit) -> str:
    """Return the SHA-256 (hex) over the hashes of a split's distinct images, in order."""
    return hashlib.sha256(bytes.fromhex("".join(split.image_hashes()))).hexdigest()


def write_codes(
    split: PreparedSplit,
    info: CodesInfo,
    middle: NDArray[np.int32],
    whole: NDArray[np.int32] | None = None,
) -> Path:
    """Write the codes of all images of a split, atomically; return the file.

    Args:
        split: the images, which the file will be bound to.
        info: tokenizer and sizes.
        middle: (images, middle_grid^2) codes.
        whole: (images, whole_grid^2) codes, unless ``info.whole_size`` is 0.

    Raises:
        DataError: a code is out of range, or the arrays are not of those shapes.
    """
    path = codes_path(split)
    arrays = {"middle": middle} | ({} if whole is None else {"whole": whole})
    fix = "encode the images again"
    _check_shapes(path, info, arrays, split.num_images, fix=fix)
    _check_range(path, info, arrays, fix=fix)
    with new_hdf5(path) as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = FORMAT_VERSION
        images = images_digest(split)
        file.attrs["images"] = images
        file.attrs.update(asdict(info))
        file.attrs["sha256"] = _digest(info, images, arrays)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, dtype="<i4")
    return path


class CodesFile(ArrayFile):
    """Codes of the images of a split, by image number (see `PreparedSplit.image_index`).

    All codes are checked here, once after every change of the file.

    Args:
        split: the split whose images the codes are of.

    Attributes:
        path: the file.
        info: tokenizer and sizes.

    Raises:
        DataError: there is no such file, it is damaged or was changed, holds codes of other images,
            or a code is out of range.
    """

    def __init__(self, split: PreparedSplit) -> None:
        encode = f"`biomedgpt vqgan encode {split.folder}`"
        super().__init__(codes_path(split), fix=f"make it again with {encode}")
        if not self.path.is_file():
            raise DataError(
                f"{self.path}: no such file, the images of {split.path.name} have no codes; make "
                f"them with {encode}"
            )
        with self._open(format=FORMAT, newest=FORMAT_VERSION, what="a file of image codes") as file:
            kinds = get_type_hints(CodesInfo)
            self.info = CodesInfo(**{name: kind(file.attrs[name]) for name, kind in kinds.items()})
            for name in _PARTS if self.info.whole_size else _PARTS[:1]:
                self._locate(file, name, dtype="<i4", ndim=2)
            images = str(file.attrs["images"])
            stated = str(file.attrs["sha256"]) if self.version > 1 else None
        if images != images_digest(split):
            raise DataError(
                f"{self.path}: codes of other images than those of {split.path.name}; {self.fix}"
            )
        arrays = {name: self._map(name) for name in self._arrays}
        _check_shapes(self.path, self.info, arrays, split.num_images, fix=self.fix)

        def find(path: Path) -> str:
            _check_range(path, self.info, arrays, fix=self.fix)
            return _digest(self.info, images, arrays)

        found = stamped(self.path, "codes", find)
        if stated is not None and stated != found:
            raise DataError(f"{self.path}: changed since it was written; {self.fix}")

    def __len__(self) -> int:
        return self._arrays["middle"].shape[0]

    @property
    def has_whole(self) -> bool:
        """Whether the codes of whole images are there."""
        return "whole" in self._arrays

    def middle(self, image_number: int) -> list[int]:
        """Return the codes of an image's centre half, in rows from the top left."""
        return self._map("middle")[image_number].tolist()

    def whole(self, image_number: int) -> list[int]:
        """Return the codes of a whole image; DataError when the file has none of these."""
        if not self.has_whole:
            raise DataError(
                f"{self.path}: no codes of whole images; encode again with --whole-size"
            )
        return self._map("whole")[image_number].tolist()


def _check_shapes(
    path: Path, info: CodesInfo, arrays: dict[str, NDArray[Any]], images: int, *, fix: str
) -> None:
    """Raise a DataError for arrays of other shapes than ``info`` says."""
    wanted = {"middle": (images, info.middle_grid**2)}
    if info.whole_size:
        wanted["whole"] = (images, info.whole_grid**2)
    if (shapes := {name: array.shape for name, array in arrays.items()}) != wanted:
        raise DataError(f"{path}: arrays of codes are {shapes}, not {wanted}; {fix}")


def _check_range(path: Path, info: CodesInfo, arrays: dict[str, NDArray[Any]], *, fix: str) -> None:
    """Raise a DataError for codes out of range."""
    for name, array in arrays.items():
        first = 0
        for block in blocks(array.reshape(-1), overlap=0):
            wrong = np.flatnonzero((block < 0) | (block >= info.num_codes))
            if len(wrong):
                image = (first + int(wrong[0])) // array.shape[1]
                raise DataError(
                    f"{path}: image {image + 1}: code {block[wrong[0]]} of {name!r} is out of "
                    f"range 0..{info.num_codes - 1}; {fix}"
                )
            first += len(block)


def _digest(info: CodesInfo, images: str, arrays: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 (hex) of all that a file of codes holds."""
    facts = [asdict(info), images, {name: array.shape for name, array in arrays.items()}]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        for block in blocks(arrays[name].reshape(-1), overlap=0):
            digest.update(block.astype("<i4", copy=False).tobytes())
    return digest.hexdigest()
