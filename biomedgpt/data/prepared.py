"""Prepared datasets: a folder with ``dataset.json`` and one HDF5 file per split.

Layout of ``<split>.h5`` (version 1)::

    attributes            format "biomedgpt-prepared", version, task, rows, fields (JSON list)
    fields/<name>/data    uint8 (bytes,)       UTF-8 of all rows, one after the other
    fields/<name>/offsets int64 (rows + 1,)    where each row's text begins
    image_index           int64 (rows,)        which image a row shows; -1 for none
    images/data           uint8 (bytes,)       encoded files of all images, one after the other
    images/offsets        int64 (images + 1,)
    images/sha256         uint8 (images, 32)   of the encoded bytes

Every array is contiguous and unfiltered. That lets a reader map the file once and take any row or
image with two slices: no chunk is read for nothing, nothing is cached per process, and forked or
spawned workers share the pages. It also leaves little to trust: the reader accepts plain arrays
inside the file and refuses links, external storage and virtual data.
"""

import hashlib
import json
import operator
import re
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex, get_origin, get_type_hints

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from biomedgpt.data import summary
from biomedgpt.data.images import decode_image, read_image_file
from biomedgpt.data.rows import Row, Skipped
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import atomic_path

FORMAT = "biomedgpt-prepared"
FORMAT_VERSION = 1
CARD_FILE = "dataset.json"
VQA_FIELDS = (
    "id",
    "question",
    "answer",
    "answer_type",
    "question_type",
    "object",
    "references",
    "image_name",
)
_COPY_BYTES = 1 << 22
_SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class DatasetFacts:
    """What a reader knows about its dataset before the first row is written.

    Attributes:
        name: short name, as in ``biomedgpt data prepare NAME``.
        task: name of the task its rows are for.
        source: where the raw files come from.
        licence: licence of the data, not of this code.
        fields: names of the text fields of every row; ``id`` first.
        answers: class names, where they are fixed; ``None`` collects the candidate answers of
            the ``answer`` field from train and valid.
        cleaning: what was changed in the text, one sentence each.
    """

    name: str
    task: str
    source: str
    licence: str
    fields: tuple[str, ...] = VQA_FIELDS
    answers: tuple[str, ...] | None = None
    cleaning: tuple[str, ...] = ()


@dataclass
class DatasetCard:
    """Content of ``dataset.json``.

    Attributes:
        name, task, source, licence, fields, cleaning: see `DatasetFacts`.
        counts: rows per split.
        image_counts: distinct images per split.
        image_size: ``{"min": [width, height], "median": ..., "max": ...}`` over distinct images
            as stored, or empty without images.
        answer_types: rows per answer type (OPEN, CLOSED) per split.
        answers: candidate answers from train and valid, by first appearance, or class names.
        answer_coverage: per other split, rows whose answer is among ``answers``.
        majority_answer: commonest training answer.
        majority_answers: the same by question type; see `biomedgpt.data.summary`.
        leakage: see `biomedgpt.data.summary.leakage`.
        preparation: options, rows skipped and why, expected and found counts.
        hashes: SHA-256 of each split file.
        format_version: version of this layout.
    """

    name: str
    task: str
    source: str
    licence: str
    fields: list[str]
    counts: dict[str, int]
    image_counts: dict[str, int]
    image_size: dict[str, list[int]]
    answer_types: dict[str, dict[str, int]]
    answer_coverage: dict[str, dict[str, Any]]
    majority_answer: str
    majority_answers: dict[str, str]
    leakage: dict[str, Any]
    cleaning: list[str]
    preparation: dict[str, Any]
    hashes: dict[str, str]
    answers: list[str]
    format_version: int = FORMAT_VERSION

    def save(self, folder: Path) -> None:
        """Write ``dataset.json`` in ``folder``, atomically."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        with atomic_path(folder / CARD_FILE) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "DatasetCard":
        """Read ``dataset.json`` of ``folder``; DataError when it is missing or not one."""
        path = folder / CARD_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"{folder} is not a prepared dataset (no {CARD_FILE}); make one with "
                "`biomedgpt data prepare`"
            ) from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise DataError(f"{path}: not a JSON object; prepare the dataset again")
        version = content.get("format_version")
        if version != FORMAT_VERSION:
            raise DataError(
                f"{path}: format version {version}, this program reads {FORMAT_VERSION}; prepare "
                "the dataset again"
            )
        expected = {name: get_origin(kind) or kind for name, kind in get_type_hints(cls).items()}
        if content.keys() != expected.keys():
            wrong = ", ".join(sorted(content.keys() ^ expected.keys()))
            raise DataError(f"{path}: missing or unknown keys: {wrong}; prepare the dataset again")
        for key, value in content.items():
            if not isinstance(value, expected[key]):
                raise DataError(f"{path}: {key} should be a {expected[key].__name__}")
        return cls(**content)


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
        for name in self.card.counts:
            if not _SPLIT_NAME.fullmatch(name):
                raise DataError(f"{self.folder / CARD_FILE}: {name!r} cannot name a split")

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self.card.counts)

    @property
    def hash(self) -> str:
        """Short hash (16 hex digits) over the split files' hashes as the card states them."""
        text = json.dumps(self.card.hashes, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def split_path(self, name: str) -> Path:
        """Return the file of a split."""
        return self.folder / f"{name}.h5"

    def split(self, name: str) -> "PreparedSplit":
        """Open one split; DataError when there is none of that name or its file is damaged."""
        if name not in self.card.counts:
            raise DataError(f"{self.folder} has no split {name!r}; it has {', '.join(self.splits)}")
        split = PreparedSplit(self.split_path(name))
        if len(split) != self.card.counts[name] or split.fields != self.card.fields:
            raise DataError(
                f"{split.path}: rows or fields are not those of {CARD_FILE}; prepare the dataset "
                "again"
            )
        return split


@dataclass(frozen=True)
class _Array:
    """Where one array lies in its file."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class PreparedSplit:
    """Random access to one split file.

    ``split[i]`` is a dict of the row's text fields (``id`` among them) and, if the row shows an
    image, ``"image"``: its encoded bytes. Instances can be pickled and used in forked or spawned
    workers; each process maps the file at its first access.

    Raises:
        DataError: not such a file, another version, or damaged; see the module's docstring.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._mapped: dict[str, NDArray[Any]] | None = None
        self.task, self.fields, self._arrays = _read_layout(self.path)
        self._length = self._arrays["image_index"].shape[0]
        self._check_contents()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": None}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        row = range(self._length)[operator.index(index)]  # as in a list, but no slices
        example: dict[str, Any] = {name: self.text(name, row) for name in self.fields}
        image = int(self._map("image_index")[row])
        if image >= 0:
            example["image"] = self.image(image)
        return example

    def text(self, name: str, row: int) -> str:
        """Return one field of one row."""
        data = self._slice(f"fields/{name}", row)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: field {name} of row {row} is not UTF-8") from error

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
        """Per row the number of its image, -1 for none; int64 of shape (rows,)."""
        return self._map("image_index")

    def image(self, number: int) -> bytes:
        """Return the encoded bytes of one distinct image."""
        return self._slice("images", number)

    def image_hashes(self) -> list[str]:
        """Return the SHA-256 of each distinct image's encoded bytes, as hex."""
        return [bytes(digest).hex() for digest in self._map("images/sha256")]

    def _slice(self, group: str, index: int) -> bytes:
        offsets = self._map(f"{group}/offsets")
        return self._map(f"{group}/data")[offsets[index] : offsets[index + 1]].tobytes()

    def _map(self, name: str) -> NDArray[Any]:
        if self._mapped is None:
            file = np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r"))
            self._mapped = {
                key: _view(file, self.path, array) for key, array in self._arrays.items()
            }
        return self._mapped[name]

    def _check_contents(self) -> None:
        """Refuse offsets and image numbers that point outside their arrays."""
        for group in [*(f"fields/{name}" for name in self.fields), "images"]:
            offsets = self._map(f"{group}/offsets")
            size = self._arrays[f"{group}/data"].shape[0]
            count = self.num_images if group == "images" else self._length
            if offsets.shape != (count + 1,) or offsets[0] != 0 or offsets[-1] != size:
                raise DataError(f"{self.path}: {group}/offsets do not span the data")
            for block in _blocks(offsets, overlap=1):
                if (np.diff(block) < 0).any():
                    raise DataError(f"{self.path}: {group}/offsets do not ascend")
        for block in _blocks(self.image_index, overlap=0):
            if block.min() < -1 or block.max() >= self.num_images:
                raise DataError(f"{self.path}: image_index points outside the images")


def _blocks(array: NDArray[Any], *, overlap: int) -> Iterator[NDArray[Any]]:
    """Yield pieces of at most 1e6 entries; neighbours share ``overlap`` entries."""
    for start in range(0, len(array), 1_000_000):
        yield array[start : start + 1_000_000 + overlap]


def _view(file: NDArray[np.uint8], path: Path, array: _Array) -> NDArray[Any]:
    """Return the array at its place in the mapped file."""
    dtype = np.dtype(array.dtype)
    size = int(np.prod(array.shape)) * dtype.itemsize
    if array.offset < 0 or array.offset + size > len(file):
        raise DataError(f"{path}: truncated; prepare the dataset again")
    return file[array.offset : array.offset + size].view(dtype).reshape(array.shape)


def _read_layout(path: Path) -> tuple[str, list[str], dict[str, _Array]]:
    """Return task, field names and the place of every array; refuse anything unexpected."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; prepare the dataset again")
    if not h5py.is_hdf5(path):
        raise DataError(f"{path}: not an HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path}: damaged or truncated HDF5 file; prepare it again") from error
    with file:
        try:
            return _read_open_layout(file, path)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: damaged HDF5 file ({reason}); prepare it again") from error


def _read_open_layout(file: h5py.File, path: Path) -> tuple[str, list[str], dict[str, _Array]]:
    attributes = dict(file.attrs)
    if attributes.get("format") != FORMAT:
        raise DataError(f"{path}: not a prepared dataset (format {attributes.get('format')!r})")
    version = attributes.get("version")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: format version {version}, this program reads {FORMAT_VERSION}; prepare the "
            "dataset again"
        )
    names = json.loads(attributes["fields"])
    if not (isinstance(names, list) and all(isinstance(n, str) and n for n in names)):
        raise DataError(f"{path}: the list of fields is damaged")
    arrays = {"image_index": ("<i8", 1), "images/sha256": ("|u1", 2)}
    for group in ["images", *(f"fields/{name}" for name in names)]:
        arrays |= {f"{group}/data": ("|u1", 1), f"{group}/offsets": ("<i8", 1)}
    layout = {
        name: _locate(file, path, name, dtype=dtype, ndim=ndim)
        for name, (dtype, ndim) in arrays.items()
    }
    if layout["images/sha256"].shape[1] != 32:
        raise DataError(f"{path}: images/sha256 is not of 32 bytes each")
    if layout["image_index"].shape[0] != attributes["rows"]:
        raise DataError(f"{path}: image_index has not as many entries as there are rows")
    return str(attributes["task"]), names, layout


def _locate(file: h5py.File, path: Path, name: str, *, dtype: str, ndim: int) -> _Array:
    """Find one array, following nothing but hard links inside the file."""
    node: Any = file
    walked = ""
    for part in name.split("/"):
        walked = f"{walked}/{part}"
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise DataError(f"{path}: no {walked[1:]}; prepare the dataset again")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{path}: {walked[1:]} is a link to elsewhere; refused")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.dtype.str != dtype or node.ndim != ndim:
        raise DataError(f"{path}: {name} is not an array of the expected kind")
    if node.external or node.is_virtual:
        raise DataError(f"{path}: {name} keeps its data in other files; refused")
    if node.chunks is not None:
        raise DataError(f"{path}: {name} is stored in chunks; prepare the dataset again")
    offset = node.id.get_offset()  # None when nothing was ever written
    if offset is None and node.size:
        raise DataError(f"{path}: {name} has no data; prepare the dataset again")
    return _Array(offset or 0, node.shape, dtype)


class _Spool:
    """Bytes of one array, gathered in a nameless file until their number is known."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
        self.size = 0

    def append(self, data: bytes) -> None:
        self.file.write(data)
        self.size += len(data)

    def copy_to(self, file: h5py.File, name: str, *, dtype: str) -> None:
        """Write the gathered bytes as the array ``name`` of ``file``."""
        array = file.create_dataset(
            name, shape=(self.size // np.dtype(dtype).itemsize,), dtype=dtype
        )
        self.file.seek(0)
        start = 0
        while block := self.file.read(_COPY_BYTES):
            values = np.frombuffer(block, dtype=dtype)
            array[start : start + len(values)] = values
            start += len(values)


class SplitWriter:
    """Write one split file row by row; the file appears, complete, when the block ends.

    Memory does not grow with the text or the pixels: both are spooled beside the file (which for
    a moment needs the room twice). What stays in memory is the ids and one digest per image.
    """

    def __init__(self, path: Path, *, task: str, fields: Sequence[str]) -> None:
        if "id" not in fields or not all(re.fullmatch(r"[A-Za-z]\w*", name) for name in fields):
            raise ConfigError(f"fields must be plain names with `id` among them, not {fields}")
        self.path = path
        self.task = task
        self.fields = list(fields)
        self.rows = 0
        self.sizes: Counter[tuple[int, int]] = Counter()  # (width, height) of distinct images
        self._ids: set[str] = set()
        self._images: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            groups = ["images", *(f"fields/{name}" for name in self.fields)]
            self._data = {group: _Spool(self.path.parent, stack) for group in groups}
            self._offsets = {group: _Spool(self.path.parent, stack) for group in groups}
            self._index = _Spool(self.path.parent, stack)
            for spool in self._offsets.values():
                spool.append(bytes(8))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self._write()

    def add(self, row: Row) -> None:
        """Append one row.

        Raises:
            DataError: a field is missing, unknown or not text, the id is empty or was there
                before, or the image cannot be decoded. Nothing of the row is written then.
        """
        texts = self._check(row)
        number = -1
        if row.image is not None:
            number = self._image_number(row)
        for name, text in texts.items():
            self._append(f"fields/{name}", text)
        self._index.append(number.to_bytes(8, "little", signed=True))
        self._ids.add(row.fields["id"])
        self.rows += 1

    def _check(self, row: Row) -> dict[str, bytes]:
        if row.fields.keys() != set(self.fields):
            wrong = ", ".join(sorted(row.fields.keys() ^ set(self.fields)))
            raise DataError(f"{row.where}: missing or unknown fields: {wrong}")
        texts = {}
        for name in self.fields:
            try:
                texts[name] = row.fields[name].encode()
            except (AttributeError, UnicodeEncodeError) as error:
                raise DataError(f"{row.where}: field {name} is not valid text") from error
        if not texts["id"]:
            raise DataError(f"{row.where}: empty id")
        if row.fields["id"] in self._ids:
            raise DataError(f"{row.where}: id {row.fields['id']} was there before")
        return texts

    def _image_number(self, row: Row) -> int:
        image = row.image
        assert image is not None
        where = row.where
        if isinstance(image, Path):
            data = read_image_file(image, where=where)
            where = f"{where}: {image.name}"
        else:
            data = image
        digest = hashlib.sha256(data).digest()
        number = self._images.get(digest)
        if number is None:
            self.sizes[decode_image(data, where=where).size] += 1
            number = self._images[digest] = len(self._images)
            self._append("images", data)
        return number

    def _append(self, group: str, data: bytes) -> None:
        spool = self._data[group]
        spool.append(data)
        self._offsets[group].append(spool.size.to_bytes(8, "little"))

    def _write(self) -> None:
        with atomic_path(self.path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["version"] = FORMAT_VERSION
            file.attrs["task"] = self.task
            file.attrs["rows"] = self.rows
            file.attrs["fields"] = json.dumps(self.fields)
            for group, spool in self._data.items():
                spool.copy_to(file, f"{group}/data", dtype="|u1")
                self._offsets[group].copy_to(file, f"{group}/offsets", dtype="<i8")
            self._index.copy_to(file, "image_index", dtype="<i8")
            digests = np.frombuffer(b"".join(self._images), dtype=np.uint8)
            file.create_dataset("images/sha256", data=digests.reshape(-1, 32))


@contextmanager
def staged_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` when the block ends without an error.

    Raises:
        ConfigError: ``folder`` holds something already, and ``overwrite`` is false or what it
            holds is not a prepared dataset.
        DataError: the disk is full, or another failure of the file system.
    """
    folder = folder.resolve()
    if folder.exists():
        if not folder.is_dir():
            raise ConfigError(f"{folder} is a file; give another output folder")
        occupied = any(folder.iterdir())
        if occupied and not (folder / CARD_FILE).is_file():
            raise ConfigError(
                f"{folder} is not empty and not a prepared dataset; give another output folder"
            )
        if occupied and not overwrite:
            raise ConfigError(
                f"{folder} holds a prepared dataset; add --overwrite or give another output folder"
            )
    tag = uuid.uuid4().hex[:8]
    staged = folder.with_name(f".{folder.name}.{tag}.partial")
    try:
        staged.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"cannot write beside {folder}: {error.strerror}") from error
    try:
        yield staged
        if folder.exists():
            old = folder.with_name(f".{folder.name}.{tag}.old")
            folder.rename(old)
            staged.rename(folder)
            shutil.rmtree(old)
        else:
            staged.rename(folder)
    except OSError as error:  # a full disk, most likely
        raise DataError(f"{folder}: not written: {error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def write_dataset(
    folder: str | Path,
    facts: DatasetFacts,
    splits: Mapping[str, Iterable[Row]],
    *,
    overwrite: bool = False,
    skipped: Skipped | None = None,
    preparation: Mapping[str, Any] | None = None,
) -> DatasetCard:
    """Write a prepared dataset; ``folder`` appears only when everything is in it.

    Args:
        folder: output folder; must be missing or empty unless ``overwrite``.
        facts: what the card says besides what is counted here.
        splits: rows by split name; consumed one after the other, once.
        overwrite: replace an existing prepared dataset.
        skipped: gathers rows that cannot be used, if it allows that.
        preparation: options to record in the card (seed, fractions, ...).

    Raises:
        DataError: a row that cannot be used, or a split without rows.
        ConfigError: the output folder is taken.
    """
    with staged_folder(Path(folder), overwrite=overwrite) as staged:
        return write_splits(staged, facts, splits, skipped=skipped, preparation=preparation)


def write_splits(
    folder: Path,
    facts: DatasetFacts,
    splits: Mapping[str, Iterable[Row]],
    *,
    skipped: Skipped | None = None,
    preparation: Mapping[str, Any] | None = None,
) -> DatasetCard:
    """Write split files and card straight into ``folder``; see `write_dataset`."""
    skipped = skipped or Skipped()
    sizes: Counter[tuple[int, int]] = Counter()
    for name, rows in splits.items():
        if not _SPLIT_NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a split: use a-z, 0-9 and _")
        path = folder / f"{name}.h5"
        with SplitWriter(path, task=facts.task, fields=facts.fields) as writer:
            for row in tqdm(rows, desc=f"writing {name}", unit=" rows", disable=None):
                try:
                    writer.add(row)
                except DataError as error:
                    skipped.take(error)
            if not writer.rows:
                raise DataError(f"{facts.name}: split {name} has no usable row")
        sizes += writer.sizes
    card = _describe(folder, facts, list(splits), sizes=sizes)
    card.preparation = {
        **(preparation or {}),
        "skip_bad": skipped.allowed,
        "skipped": len(skipped.reasons),
        "skipped_rows": skipped.reasons,
    }
    card.save(folder)
    return card


def _describe(
    folder: Path, facts: DatasetFacts, names: list[str], *, sizes: Counter[tuple[int, int]]
) -> DatasetCard:
    """Make the card from the finished split files."""
    splits = {name: PreparedSplit(folder / f"{name}.h5") for name in names}
    has_answers = "answer" in facts.fields
    answers = list(facts.answers or ())
    if facts.answers is None and has_answers:
        answers = summary.candidate_answers(splits)
    majority: tuple[str, dict[str, str]] = ("", {})
    if has_answers:
        majority = summary.majority_answers(splits)
    answer_types = {}
    if "answer_type" in facts.fields:
        answer_types = {
            name: dict(sorted(Counter(split.column("answer_type")).items()))
            for name, split in splits.items()
        }
    return DatasetCard(
        name=facts.name,
        task=facts.task,
        source=facts.source,
        licence=facts.licence,
        fields=list(facts.fields),
        counts={name: len(split) for name, split in splits.items()},
        image_counts={name: split.num_images for name, split in splits.items()},
        image_size=_size_range(sizes),
        answer_types=answer_types,
        answer_coverage=summary.answer_coverage(splits, answers) if has_answers else {},
        majority_answer=majority[0],
        majority_answers=majority[1],
        leakage=summary.leakage(splits),
        cleaning=list(facts.cleaning),
        preparation={},
        hashes={name: file_hash(split.path) for name, split in splits.items()},
        answers=answers,
    )


def _size_range(sizes: Counter[tuple[int, int]]) -> dict[str, list[int]]:
    """Return minimum, median and maximum width and height."""
    if not sizes:
        return {}
    sides = np.array(list(sizes.elements()))  # (images, 2)
    return {
        "min": [int(side) for side in sides.min(axis=0)],
        "median": [int(side) for side in np.median(sides, axis=0)],
        "max": [int(side) for side in sides.max(axis=0)],
    }


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
