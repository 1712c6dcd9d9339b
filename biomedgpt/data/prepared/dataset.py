"""Prepared datasets: a folder with ``dataset.json`` and one HDF5 file per split.

Layout of ``<split>.h5`` (version 2)::

    attributes            format "biomedgpt-prepared", version, task, rows, fields (JSON list)
    fields/<name>/data    uint8 (bytes,)       UTF-8 of all rows, one after the other
    fields/<name>/offsets int64 (rows + 1,)    where each row's text begins
    row_images/data       int64 (2 x shown,)   numbers of an image and of its role (`ROLES`)
    row_images/offsets    int64 (rows + 1,)    where each row's list of them begins
    row_crc32             uint32 (rows x (fields + 1),)  row by row: of each field, of row_images
    images/data           uint8 (bytes,)       encoded files of all images, one after the other
    images/offsets        int64 (images + 1,)
    images/crc32          uint32 (images,)
    images/sha256         uint8 (images, 32)   of the encoded bytes

A row shows one image at most, for now. Version 1 has no checksums, and instead of ``row_images`` an
array ``image_index``, int64 (rows,): which image a row shows, -1 for none.

Every array is contiguous and unfiltered. That lets a reader map the file once and take any row or
image with two slices: no chunk is read for nothing, nothing is cached per process, and forked or
spawned workers share the pages. It also leaves little to trust: the reader accepts plain arrays
inside the file and refuses links, external storage and virtual data.
"""

import json
import operator
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import h5py
import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.prepared.arrays import ArrayFile, blocks
from biomedgpt.data.prepared.card import (
    CARD_FILE,
    FIX,
    FORMAT,
    FORMAT_VERSION,
    SPLIT_NAME,
    DatasetCard,
)
from biomedgpt.data.rows import Row
from biomedgpt.errors import DataError
from biomedgpt.files import json_hash
from biomedgpt.stamps import stamped_hash

ROLES = ("source", "target")
"""What a row shows an image for: the model sees it, or is to make it."""
FOLD_NAME = re.compile(r"fold\d+")


class _Items(NamedTuple):
    """Arrays of texts, of lists or of images, mapped."""

    data: NDArray[Any]
    offsets: NDArray[np.int64]
    crc32: NDArray[np.uint32] | None = None


class PreparedDataset:
    """A prepared dataset on disk.

    Args:
        folder: the folder that holds ``dataset.json`` and the split files.

    Raises:
        DataError: the folder is not a prepared dataset.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.card = DatasetCard.load(self.folder)
        path = self.folder / CARD_FILE
        for name in self.card.counts:
            if not SPLIT_NAME.fullmatch(name):
                raise DataError(f"{path}: {name!r} cannot name a split; {FIX}")
        if self.card.hashes.keys() != self.card.counts.keys():
            raise DataError(f"{path}: hashes are not those of the splits in counts; {FIX}")

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self.card.counts)

    @property
    def folds(self) -> list[str]:
        """Names of the folds of a cross-validation, in order; empty for other datasets."""
        names = [name for name in self.splits if FOLD_NAME.fullmatch(name)]
        return sorted(names, key=lambda name: int(name.removeprefix("fold")))

    @property
    def hash(self) -> str:
        """Short hash (16 hex digits) over the split files' hashes, which `split` holds them to."""
        return json_hash(self.card.hashes)[:16]

    def split_path(self, name: str) -> Path:
        """Return the file of a split."""
        return self.folder / f"{name}.h5"

    def split(self, name: str) -> "PreparedSplit":
        """Open one split, verified: its file is read in whole once after every change of it.

        Raises:
            DataError: there is none of that name, its file is damaged, or not what the card states.
        """
        split = self.unverified_split(name)
        if stamped_hash(split.path) != self.card.hashes[name]:
            raise DataError(
                f"{split.path}: not the file that {CARD_FILE} describes; copy or prepare the "
                "dataset again"
            )
        split.sha256 = self.card.hashes[name]
        return split

    def unverified_split(self, name: str) -> "PreparedSplit":
        """Open one split for a check that goes on when its hash is not the card's; see `split`."""
        if name not in self.card.counts:
            raise DataError(f"{self.folder} has no split {name!r}; it has {', '.join(self.splits)}")
        split = PreparedSplit(self.split_path(name))
        found = (len(split), split.fields, split.task)
        if found != (self.card.counts[name], self.card.fields, self.card.task):
            raise DataError(
                f"{split.path}: rows, fields or task are not those of {CARD_FILE}; {FIX}"
            )
        return split


class PreparedSplit(ArrayFile):
    """Random access to one split file, in any number of processes.

    ``split[i]`` is a dict of the row's text fields (``id`` among them) and, if the row shows an
    image, ``"image"``: its encoded bytes.

    Attributes:
        sha256: of the file (hex), where it was verified.

    Raises:
        DataError: not such a file, another version, or damaged; see the module's docstring.
    """

    sha256 = ""

    def __init__(self, path: str | Path) -> None:
        super().__init__(Path(path), fix=FIX)
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such file; {self.fix}")
        self._items: dict[str, _Items] = {}
        with self._open(format=FORMAT, newest=FORMAT_VERSION, what="a prepared dataset") as file:
            self._length = int(file.attrs["rows"])
            self.task, self.fields = self._read_layout(file)
        self._check_contents()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_items": {}}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        row = range(self._length)[operator.index(index)]  # as in a list, but no slices
        example: dict[str, Any] = {name: self.text(name, row) for name in self.fields}
        image = self.image_number(row)
        if image >= 0:
            example["image"] = self.image(image)
        return example

    def row(self, number: int) -> Row:
        """Return a row as it would be written."""
        fields = self[number]
        return Row(fields, fields.pop("image", None), self.locate(number))

    def text(self, name: str, row: int) -> str:
        """Return one field of one row."""
        try:
            return self._item(f"fields/{name}", row).decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{self.locate(row)}: field {name} is not UTF-8; {FIX}") from error

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.path.stem

    @property
    def folder(self) -> Path:
        """Folder of the dataset."""
        return self.path.parent

    def locate(self, row: int) -> str:
        """Return file and row, counted from 1, for messages."""
        return f"{self.path}: row {row + 1}"

    def text_bytes(self, name: str) -> int:
        """Return the size of one field of all rows in bytes."""
        return self._arrays[f"fields/{name}/data"].shape[0]

    def column(self, name: str) -> list[str]:
        """Return one field of all rows."""
        if name not in self.fields:
            raise DataError(f"{self.path}: no field {name!r}; it has {', '.join(self.fields)}")
        return [self.text(name, row) for row in range(self._length)]

    @property
    def num_images(self) -> int:
        """Number of distinct images."""
        return self._arrays["images/sha256"].shape[0]

    @property
    def image_index(self) -> NDArray[np.int64]:
        """Per row the number of its image, -1 for none; int64 of shape (rows,).

        It takes no memory where every row shows an image, or none does.
        """
        if self.version == 1:
            return self._map("image_index")
        numbers = self._map("row_images/data")[::2]
        if len(numbers) == self._length:
            return numbers
        if not len(numbers):
            return np.broadcast_to(np.int64(-1), (self._length,))
        shown = np.diff(self._map("row_images/offsets")) > 0
        index = np.full(self._length, -1)
        index[shown] = numbers
        return index

    def image_number(self, row: int) -> int:
        """Return the number of the image that a row shows, -1 for none."""
        if self.version == 1:
            return self._map("image_index").item(row)
        pair = self._item("row_images", row)
        return int.from_bytes(pair[:8], "little") if pair else -1

    def first_rows(self) -> dict[int, int]:
        """Return, by number of each image that is shown, the first row that shows it."""
        if not self.num_images:
            return {}
        numbers, rows = np.unique(self.image_index, return_index=True)
        return {n: row for n, row in zip(numbers.tolist(), rows.tolist(), strict=True) if n >= 0}

    def image(self, number: int) -> bytes:
        """Return the encoded bytes of one distinct image."""
        return self._item("images", number)

    def image_hashes(self) -> list[str]:
        """Return the SHA-256 of each distinct image's encoded bytes, as hex."""
        return [bytes(digest).hex() for digest in self._map("images/sha256")]

    def _item(self, group: str, index: int) -> bytes:
        """Return one text, list of images or image.

        Raises:
            DataError: it is not what was written.
        """
        if (items := self._items.get(group)) is None:
            data, offsets = self._map(f"{group}/data"), self._map(f"{group}/offsets")
            items = self._items[group] = _Items(data, offsets, self._checksums(group))
        start, end = items.offsets.item(index), items.offsets.item(index + 1)
        found: bytes = items.data[start:end].tobytes()
        if items.crc32 is not None and zlib.crc32(found) != items.crc32.item(index):
            images = group == "images"
            where = f"{self.path}: image {index + 1}" if images else self.locate(index)
            what = "it" if images else group.replace("fields/", "field ")
            raise DataError(
                f"{where}: {what} is not what was prepared (a checksum differs); copy or prepare "
                "the dataset again"
            )
        return found

    def _checksums(self, group: str) -> NDArray[np.uint32] | None:
        if self.version == 1:
            return None
        if group == "images":
            return self._map("images/crc32")
        columns = [name for name in self._groups if name != "images"]
        return self._map("row_crc32").reshape(-1, len(columns))[:, columns.index(group)]

    def _read_layout(self, file: h5py.File) -> tuple[str, list[str]]:
        """Return task and field names, and note the place of every array."""
        names = json.loads(file.attrs["fields"])
        if not (isinstance(names, list) and all(isinstance(n, str) and n for n in names)):
            raise DataError(f"{self.path}: the list of fields is damaged")
        self._locate(file, "images/sha256", dtype="|u1", ndim=2)
        texts = [f"fields/{name}" for name in names]
        if self.version == 1:
            self._locate(file, "image_index", dtype="<i8", ndim=1)
        self._groups = dict.fromkeys(texts, self._length)
        if self.version > 1:
            self._groups["row_images"] = self._length
        self._groups["images"] = self.num_images
        for group in self._groups:
            integers = group == "row_images"
            self._locate(file, f"{group}/data", dtype="<i8" if integers else "|u1", ndim=1)
            self._locate(file, f"{group}/offsets", dtype="<i8", ndim=1)
        if self.version > 1:
            wanted = {"row_crc32": self._length * (len(names) + 1), "images/crc32": self.num_images}
            for name, count in wanted.items():
                self._locate(file, name, dtype="<u4", ndim=1)
                if self._arrays[name].shape != (count,):
                    raise DataError(f"{self.path}: {name} has not one checksum for each; {FIX}")
        if self._arrays["images/sha256"].shape[1] != 32:
            raise DataError(f"{self.path}: images/sha256 is not of 32 bytes each")
        if self.version == 1 and self._arrays["image_index"].shape[0] != self._length:
            raise DataError(f"{self.path}: image_index has not as many entries as there are rows")
        return str(file.attrs["task"]), names

    def _check_contents(self) -> None:
        """Refuse offsets and image numbers that point outside their arrays."""
        for group, count in self._groups.items():
            offsets = self._map(f"{group}/offsets")
            size = self._arrays[f"{group}/data"].shape[0]
            if offsets.shape != (count + 1,) or offsets[0] != 0 or offsets[-1] != size:
                raise DataError(f"{self.path}: {group}/offsets do not span the data")
            for block in blocks(offsets, overlap=1):
                steps = np.diff(block)
                if (steps < 0).any():
                    raise DataError(f"{self.path}: {group}/offsets do not ascend")
                if group == "row_images" and not np.isin(steps, (0, 2)).all():
                    raise DataError(
                        f"{self.path}: a row of several images, and this program shows one; {FIX}"
                    )
        if self.version > 1:
            for block in blocks(self._map("row_images/data")[1::2], overlap=0):
                if block.min() < 0 or block.max() >= len(ROLES):
                    raise DataError(f"{self.path}: row_images has a role that is not known; {FIX}")
        for block in blocks(self.image_index, overlap=0):
            if block.min() < -1 or block.max() >= self.num_images:
                raise DataError(f"{self.path}: image_index points outside the images")
