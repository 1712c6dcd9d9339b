"""What a reader of a corpus is given and what it hands over."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from biomedgpt.data.rows import Row, Skipped
from biomedgpt.data.spec import Access
from biomedgpt.errors import DataError
from biomedgpt.tasks import row_kinds

MAX_WORDS = 340
"""Words of one passage unless told otherwise: about 512 tokens of GPT-2's vocabulary, of which
biomedical prose takes one and a half per word."""


@dataclass(frozen=True)
class Work:
    """A piece of a release that one worker reads at a time.

    Attributes:
        name: its name in messages and the key under which its result is kept.
        files: the files it is read from.
        start, stop: which part of them, in bytes or items as the reader counts; ``stop`` 0 stands
            for all.
    """

    name: str
    files: tuple[Path, ...]
    start: int = 0
    stop: int = 0

    @classmethod
    def of_files(cls, paths: Sequence[Path], raw: Path) -> list[Self]:
        """Return one piece of work per file."""
        return [cls(relative_name(path, raw), (path,)) for path in paths]

    @classmethod
    def of_batches(cls, paths: Sequence[Path], raw: Path, *, size: int) -> list[Self]:
        """Return pieces of work of up to ``size`` small files each."""
        batches = [tuple(paths[start : start + size]) for start in range(0, len(paths), size)]
        return [
            cls(f"{relative_name(batch[0], raw)} and {len(batch) - 1} more", batch)
            for batch in batches
        ]

    @classmethod
    def of_parts(cls, path: Path, name: str, *, size: int) -> list[Self]:
        """Return pieces of work of ``size`` bytes of a file each; of an empty one, too."""
        return [
            cls(f"{name} from byte {start}" if start else name, (path,), start, start + size)
            for start in range(0, max(1, path.stat().st_size), size)
        ]


@dataclass(frozen=True)
class RowGroup:
    """Rows that belong together, such as the passages of an article.

    A later document of the same name, or one of a higher version, replaces the whole of an earlier
    one; a document without rows removes it.

    Attributes:
        name: identifies the document in the corpus.
        rows: examples made of it.
        version: higher ones win over lower ones wherever they are.
        group: documents of one group (a patient) go to the same split; the name unless given.
    """

    name: str
    rows: Sequence[Row]
    version: int = 0
    group: str = ""


@dataclass
class Reading:
    """What a reader works with.

    Attributes:
        raw: folder of the release.
        max_words: words of one passage of text.
        skipped: takes rows that cannot be used.
        counts: what was left out on purpose, by reason; the reader counts into it.
    """

    raw: Path
    max_words: int = MAX_WORDS
    skipped: Skipped = field(default_factory=Skipped)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A corpus that can be prepared by name.

    Attributes:
        name: short name.
        title: one line for people.
        kind: kind of its rows, a key of `biomedgpt.tasks.row_kinds`.
        source, licence, access: as in `biomedgpt.data.spec.DatasetSpec`.
        plan: lists the work of a raw folder, in the order in which later documents replace earlier
            ones; DataError when the folder is not that release.
        read: yields the documents of one piece of work.
        cleaning: what is changed, one sentence each.
        passages: its texts are cut into passages of ``max_words``.
    """

    name: str
    title: str
    kind: str
    source: str
    licence: str
    plan: Callable[[Path], list[Work]]
    read: Callable[[Work, Reading], Iterator[RowGroup]]
    access: Access = "open"
    cleaning: tuple[str, ...] = ()
    passages: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the rows' fields, ``id`` first."""
        return row_kinds()[self.kind].stored


_PASSED_OVER = (".", "__MACOSX")
"""How names of files and folders begin that are not of the release."""


def relative_name(path: Path, raw: Path) -> str:
    """Return the name of a file below the raw folder, with / between folders."""
    return path.relative_to(raw).as_posix()


def files_below(raw: Path, suffixes: tuple[str, ...], *, what: str) -> list[Path]:
    """Return the files below a folder whose names end in ``suffixes``; see `visible_files`.

    Raises:
        DataError: the folder is missing or has no such file.
    """
    if not raw.is_dir():
        raise DataError(f"{raw}: no such folder; give the folder of the raw files")
    found = [path for path in visible_files(raw) if path.name.lower().endswith(suffixes)]
    if not found:
        raise DataError(f"{raw}: no {what} ({', '.join(suffixes)}) in it; give another folder")
    return found


def check_links(folder: Path) -> None:
    """Raise a DataError for a link below a folder that leads out of it, or to nowhere.

    The files of a release are in it; what a link in it names may be anything of this machine.
    """
    base = folder.resolve()
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except PermissionError:  # nothing of it is read either
            continue
        for entry in entries:
            if entry.name.startswith(_PASSED_OVER):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry))
            elif entry.is_symlink() and not _is_inside(Path(entry), base):
                raise DataError(
                    f"{entry.path}: a link that leads out of {folder}; put what it names there"
                )


def _is_inside(path: Path, base: Path) -> bool:
    try:
        return path.resolve().is_relative_to(base)
    except (OSError, RuntimeError):  # a circle of links
        return False


def visible_files(folder: Path) -> list[Path]:
    """Return the files below a folder, ordered by path.

    Hidden files and folders, and what archivers of other systems leave behind, are passed over.

    Raises:
        DataError: a link among them leads out of the folder.
    """
    check_links(folder)
    return sorted(
        path
        for path in folder.rglob("*")
        if not any(part.startswith(_PASSED_OVER) for part in path.relative_to(folder).parts)
        and path.is_file()
    )
