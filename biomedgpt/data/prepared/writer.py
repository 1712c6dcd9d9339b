"""Writing prepared datasets: streaming, atomic, each distinct image once per split."""

import hashlib
import json
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from tqdm import tqdm

from biomedgpt.data.imaging.images import decode_image, stored_image
from biomedgpt.data.imaging.raster import image_size
from biomedgpt.data.prepared import summary
from biomedgpt.data.prepared.card import (
    CARD_FILE,
    FORMAT,
    FORMAT_VERSION,
    SPLIT_NAME,
    DatasetCard,
    DatasetFacts,
)
from biomedgpt.data.prepared.dataset import ROLES, PreparedSplit
from biomedgpt.data.prepared.new_file import new_hdf5
from biomedgpt.data.rows import Row, Skipped
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import file_hash, sole_writer, tidy
from biomedgpt.tasks import row_kinds
from biomedgpt.tasks.dialogue import IN_ANSWER

_COPY_BYTES = 1 << 22


class _Spool:
    """Bytes of one array, gathered in a nameless file until their number is known."""

    def __init__(self, folder: Path, stack: ExitStack, *, dtype: str) -> None:
        self.file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
        self.dtype = np.dtype(dtype)
        self.size = 0

    def append(self, data: bytes) -> None:
        self.file.write(data)
        self.size += len(data)

    def copy_to(self, file: h5py.File, name: str) -> None:
        """Write the gathered bytes as the array ``name`` of ``file``."""
        shape = (self.size // self.dtype.itemsize,)
        array = file.create_dataset(name, shape=shape, dtype=self.dtype)
        self.file.seek(0)
        start = 0
        while block := self.file.read(_COPY_BYTES):
            values = np.frombuffer(block, dtype=self.dtype)
            array[start : start + len(values)] = values
            start += len(values)


@dataclass(eq=False, repr=False)
class SplitWriter:
    """Write one split file row by row; the file appears, complete, when the block ends.

    Memory does not grow with the text or the pixels: both are spooled beside the file (which for
    a moment needs the room twice). What stays in memory is the ids and one digest per image.
    """

    path: Path
    """The file."""
    _: KW_ONLY
    task: str
    """Name of the task, or kind of corpus, of its rows."""
    fields: Sequence[str]
    """Names of the text fields, ``id`` among them."""
    check_ids: bool = True
    """Refuse an id that was there before; without it no ids are kept in memory, and the caller sees
    to it."""
    check_images: bool = True
    """Decode every image; without it they are known to be whole."""

    def __post_init__(self) -> None:
        names = self.fields
        if "id" not in names or not all(re.fullmatch(r"[A-Za-z]\w*", name) for name in names):
            raise ConfigError(f"fields must be plain names with `id` among them, not {names}")
        self.rows = 0
        self.sizes: Counter[tuple[int, int]] = Counter()  # (width, height) of distinct images
        self._ids: set[str] = set()
        self._images: dict[bytes, int] = {}
        self._spools: dict[str, _Spool] = {}
        # Questions on one image follow each other; its file is read, and decoded, once.
        self._last: tuple[Path | None, int] = (None, -1)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = self.path.parent
            texts = [f"fields/{name}" for name in self.fields]
            kinds = dict.fromkeys(("row_crc32", "images/crc32"), "<u4")
            for group in ("images", *texts, "row_images"):
                kinds[f"{group}/data"] = "<i8" if group == "row_images" else "|u1"
                kinds[f"{group}/offsets"] = "<i8"
            for array, dtype in kinds.items():
                self._spools[array] = _Spool(folder, stack, dtype=dtype)
            for group in ("images", *texts, "row_images"):
                self._spools[f"{group}/offsets"].append(bytes(8))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
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
        number = -1 if row.image is None else self._image_number(row, row.image)
        for name, text in texts.items():
            self._append(f"fields/{name}", text)
        shown = b""
        if number >= 0:
            role = ROLES.index("target" if row.fields.get("image_in") == IN_ANSWER else "source")
            shown = number.to_bytes(8, "little") + role.to_bytes(8, "little")
        self._append("row_images", shown)
        if self.check_ids:
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

    def _image_number(self, row: Row, image: bytes | Path) -> int:
        if isinstance(image, Path) and image == self._last[0]:
            return self._last[1]
        data = stored_image(image, where=row.where)
        where = f"{row.where}: {image.name}" if isinstance(image, Path) else row.where
        digest = hashlib.sha256(data).digest()
        number = self._images.get(digest)
        if number is None:
            check = self.check_images
            size = decode_image(data, where=where).size if check else image_size(data)
            self.sizes[size] += 1
            number = self._images[digest] = len(self._images)
            self._append("images", data)
        if isinstance(image, Path):
            self._last = (image, number)
        return number

    def _append(self, group: str, data: bytes) -> None:
        spool = self._spools[f"{group}/data"]
        spool.append(data)
        end = spool.size // spool.dtype.itemsize
        self._spools[f"{group}/offsets"].append(end.to_bytes(8, "little"))
        checksums = self._spools["images/crc32" if group == "images" else "row_crc32"]
        checksums.append(zlib.crc32(data).to_bytes(4, "little"))

    def _write(self) -> None:
        with new_hdf5(self.path) as file:
            file.attrs["format"] = FORMAT
            file.attrs["version"] = FORMAT_VERSION
            file.attrs["task"] = self.task
            file.attrs["rows"] = self.rows
            file.attrs["fields"] = json.dumps(list(self.fields))
            for name, spool in self._spools.items():
                spool.copy_to(file, name)
            digests = np.frombuffer(b"".join(self._images), dtype=np.uint8)
            file.create_dataset("images/sha256", data=digests.reshape(-1, 32))


@contextmanager
def staged_folder(
    folder: Path, *, overwrite: bool = False, marker: str = CARD_FILE
) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` when the block ends without an error.

    Args:
        folder: what is to appear.
        overwrite: replace what is there, if it has a file ``marker``.
        marker: file by which such a folder is known.

    Raises:
        ConfigError: ``folder`` holds something already, and ``overwrite`` is false or what it
            holds is not such a folder.
        DataError: the disk is full, or another failure of the file system.
    """
    folder = folder.resolve()
    if folder.exists():
        if not folder.is_dir():
            raise ConfigError(f"{folder} is a file; give another output folder")
        occupied = any(folder.iterdir())
        what = "a prepared dataset" if marker == CARD_FILE else f"a folder with {marker}"
        if occupied and not (folder / marker).is_file():
            raise ConfigError(f"{folder} is not empty and not {what}; give another output folder")
        if occupied and not overwrite:
            tidy(folder)
            raise ConfigError(
                f"{folder} holds {what.removeprefix('a folder with ')}; add --overwrite or give "
                "another output folder"
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write beside {folder}: {error.strerror}; give another output folder"
        ) from error
    try:
        with sole_writer(folder) as temporary:
            temporary.mkdir()
            yield temporary
    except OSError as error:  # a full disk, most likely
        raise DataError(
            f"{folder}: not written ({error.strerror or error}); fix that, or write elsewhere"
        ) from error


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
    checked: bool = False,
) -> DatasetCard:
    """Write split files and card straight into ``folder``; see `write_dataset`.

    Rows that are ``checked`` come from files that a `SplitWriter` wrote, with ids known to differ.
    """
    skipped = skipped or Skipped()
    sizes: Counter[tuple[int, int]] = Counter()
    for name, rows in splits.items():
        if not SPLIT_NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a split: use a-z, 0-9 and _")
        path = folder / f"{name}.h5"
        with SplitWriter(
            path,
            task=facts.task,
            fields=facts.fields,
            check_ids=not checked,
            check_images=not checked,
        ) as writer:
            for row in tqdm(rows, desc=f"writing {name}", unit=" rows", disable=None):
                with skipped.catching():
                    writer.add(row)
            if not writer.rows:
                problem = f"{facts.name}: split {name} has no usable row"
                if skipped.reasons:
                    problem += f" ({len(skipped.reasons):,} skipped; {skipped.reasons[0]})"
                raise DataError(f"{problem}; fix what it is made from")
        sizes += writer.sizes
    notes = {
        **(preparation or {}),
        "skip_bad": skipped.allowed,
        "skipped": len(skipped.reasons),
        "skipped_rows": skipped.reasons,
    }
    card = _describe(folder, facts, list(splits), sizes=sizes, preparation=notes)
    card.save(folder)
    return card


def _describe(
    folder: Path,
    facts: DatasetFacts,
    names: list[str],
    *,
    sizes: Counter[tuple[int, int]],
    preparation: dict[str, Any],
) -> DatasetCard:
    """Make the card from the finished split files."""
    splits = {name: PreparedSplit(folder / f"{name}.h5") for name in names}
    task = row_kinds().get(facts.task)
    has_answers = "answer" in facts.fields and not (task is not None and task.free_text)
    answers = list(facts.answers or ())
    if facts.answers is None and has_answers:
        answers = summary.candidate_answers(splits)
    majority, by_type = summary.majority_answers(splits) if has_answers else ("", {})
    typed = splits if "answer_type" in facts.fields else {}
    answer_types = {
        name: dict(sorted(Counter(split.column("answer_type")).items()))
        for name, split in typed.items()
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
        majority_answer=majority,
        majority_answers=by_type,
        leakage=summary.leakage(splits),
        cleaning=list(facts.cleaning),
        preparation=preparation,
        hashes={name: file_hash(split.path) for name, split in splits.items()},
        answers=answers,
    )


def _size_range(sizes: Counter[tuple[int, int]]) -> dict[str, list[int]]:
    """Return minimum, median and maximum width and height."""
    if not sizes:
        return {}
    sides = np.array(list(sizes.elements()))  # (images, 2)
    found = {"min": sides.min(axis=0), "median": np.median(sides, axis=0), "max": sides.max(axis=0)}
    return {name: size.astype(int).tolist() for name, size in found.items()}
