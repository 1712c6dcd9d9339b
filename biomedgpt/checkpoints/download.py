"""Downloads that go on where they stopped, and appear complete or not at all.

What is there of a file goes on only with more of the same file: the server must say so, or a
published hash be there to judge. Otherwise it begins again.
"""

import http.client
import json
import logging
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

from biomedgpt.checkpoints.manifest import Entry, RemoteFile
from biomedgpt.errors import CheckpointError, ConfigError
from biomedgpt.files import file_hash, parse_json, put_in_place, sole, tidy
from biomedgpt.stamps import stamped_hash

logger = logging.getLogger(__name__)

TIMEOUT = 60.0
"""Seconds without an answer after which a server is given up."""
_BLOCK = 1 << 20
_PLACE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")  # such as bytes 200-1000/1001
_RESERVE = 256 << 20  # bytes of the disk that a download leaves free
_SETTLED = 60  # seconds after which a file that changes has another time than before

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a file, the bytes that are there, and how many there will be."""


def fetch(entry: Entry, folder: Path, *, progress: Progress | None = None) -> dict[str, str]:
    """Download the files of a checkpoint into ``folder / entry.name``; return their hashes.

    Files that are there already are left alone if their hash is right, or nobody knows it. One
    process at a time downloads; another is refused, and finds the files afterwards.

    Args:
        entry: what to download.
        folder: made if missing.
        progress: is told how far a file is.

    Raises:
        CheckpointError: a file could not be downloaded, or has another hash than published. What
            was downloaded of it stays, and the next call goes on there.
        ConfigError: the checkpoint can only be downloaded by hand, another process is at it, or
            the disk is full.
    """
    if not entry.files:
        raise ConfigError(
            f"{entry.name} cannot be downloaded by a program; get it from {entry.page} and give "
            "the path of the file"
        )
    place = folder / entry.name
    if not all((place / file.name).is_file() for file in entry.files):
        try:
            for file in entry.files:
                (place / file.name).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{place}: {error.strerror}; give another --out") from error
        remedy = "wait for its end, and give the command again to use what it downloads"
        with sole(place, remedy=remedy):
            for file in entry.files:
                if not (place / file.name).is_file():
                    _download(file, place / file.name, progress)
    tidy(place)
    return {file.name: _checked(file, place / file.name) for file in entry.files}


def _checked(file: RemoteFile, path: Path) -> str:
    found = stamped_hash(path)
    if file.sha256 not in (None, found):
        raise CheckpointError(
            f"{path}: has SHA-256 {found}, not {file.sha256} as published; delete it and fetch it "
            "again"
        )
    return found


def _download(file: RemoteFile, path: Path, progress: Progress | None) -> None:
    """Download to ``NAME.part``, which is renamed when it is complete and right."""
    part = path.with_name(f"{path.name}.part")
    try:
        _receive(file, part, progress)
        if file.sha256 is not None and file_hash(part) != file.sha256:
            part.unlink()
            raise CheckpointError(
                f"{file.url}: what came does not have the published SHA-256 {file.sha256}, and was "
                "deleted; try again, and do not use it if that happens again"
            )
        put_in_place(part, path)
    except urllib.error.HTTPError as error:
        raise CheckpointError(
            f"{file.url}: the server says {error.code} {error.reason}; look at the checkpoint's "
            "page for where it is now"
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as e:
        reason = e.reason if isinstance(e, urllib.error.URLError) else (str(e) or type(e).__name__)
        raise CheckpointError(
            f"{file.url}: the download broke off ({reason}); give the command again to go on"
        ) from e
    except OSError as error:
        raise ConfigError(f"{part}: {error.strerror}; fix that, or give another --out") from error


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """What a server says of a file, by which another one is told from it."""

    tag: str | None
    """``ETag``."""
    modified: str | None
    """``Last-Modified``."""
    settled: bool
    """Whether a file with another content would have another time."""
    total: int | None
    """Bytes."""

    @classmethod
    def of(cls, headers: Any, total: int | None) -> Self:
        modified, now = headers.get("Last-Modified"), headers.get("Date")
        try:
            age = parsedate_to_datetime(now) - parsedate_to_datetime(modified)
            settled = age.total_seconds() >= _SETTLED
        except (TypeError, ValueError):
            settled = False
        return cls(tag=headers.get("ETag"), modified=modified, settled=settled, total=total)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what `write` wrote; None where there is nothing of the kind."""
        try:
            return cls(**parse_json(path.read_bytes()))
        except (OSError, TypeError):
            return None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @property
    def condition(self) -> str | None:
        """What a server compares, byte for byte, before it goes on: for ``If-Range``."""
        if self.tag and not self.tag.startswith("W/"):
            return self.tag
        return self.modified if self.settled else None

    def belongs_to(self, other: Self) -> bool:
        """Say whether nothing that both say speaks for another file."""
        pairs = ((self.tag, other.tag), (self.modified, other.modified), (self.total, other.total))
        return all(None in pair or pair[0] == pair[1] for pair in pairs)


def _receive(file: RemoteFile, part: Path, progress: Progress | None) -> None:
    """Download to ``part``, going on with what is there if that is of the same file."""
    noted = part.with_name(f"{part.name}.tag")
    mark = _Mark.read(noted)
    have = part.stat().st_size if part.is_file() and mark is not None else 0
    condition = None if mark is None else mark.condition
    if condition is None and file.sha256 is None:
        have = 0
    headers = {"User-Agent": "biomedgpt", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {} if condition is None else {"If-Range": condition}
    request = urllib.request.Request(file.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        return _again(file, part, progress)  # it is longer than the file there: another one
    with closing(response):
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise http.client.HTTPException("it is sent compressed, which was not asked for")
        resumed = response.status == 206
        if resumed and not have:
            raise http.client.HTTPException("a part of it comes, which was not asked for")
        total = _total(response, have if resumed else 0)
        found = _Mark.of(response.headers, total)
        if resumed and (mark is None or not mark.belongs_to(found)):
            return _again(file, part, progress)
        have = have if resumed else 0
        if total is not None:
            _check_disk(part, total - have)
        if not resumed:
            part.unlink(missing_ok=True)  # what is there is of another file than is noted next
        found.write(noted)
        with part.open("ab" if resumed else "wb") as out:
            while block := response.read(_BLOCK):
                out.write(block)
                have += len(block)
                if progress is not None:
                    progress(file.name, have, total)
        if total is not None and have != total:
            raise http.client.HTTPException(f"{have:,} of {total:,} bytes came")
        if total is None and not response.chunked and file.sha256 is None:
            part.unlink()
            raise http.client.HTTPException(
                "the server does not say how long the file is, and nobody published its hash: "
                "whether all of it came cannot be known"
            )
    noted.unlink(missing_ok=True)
    return None


def _again(file: RemoteFile, part: Path, progress: Progress | None) -> None:
    """Begin from the first byte."""
    part.unlink()
    _receive(file, part, progress)


def _total(response: Any, have: int) -> int | None:
    """Return how long the whole file is; None where the server does not say.

    Raises:
        HTTPException: what comes is not what was asked for, or not the rest of the file.
    """
    length = response.headers.get("Content-Length", "")
    left = int(length) if length.isdigit() else None
    if response.status != 206:
        return left
    place = _PLACE.fullmatch(response.headers.get("Content-Range", ""))
    if place is None or int(place[1]) != have:
        raise http.client.HTTPException("another part than the one asked for")
    total = None if place[3] == "*" else int(place[3])
    if total is None or int(place[2]) + 1 != total or left not in (None, total - have):
        raise http.client.HTTPException("the server contradicts itself about the length")
    return total


def _check_disk(part: Path, needed: int) -> None:
    free = shutil.disk_usage(os.fspath(part.parent)).free
    if needed + _RESERVE > free:
        raise ConfigError(
            f"{part.parent}: {needed / 1e9:.1f} GB are to come and {free / 1e9:.1f} GB are free; "
            "make room, or give another --out"
        )
