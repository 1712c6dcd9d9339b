"""Downloads that go on where they stopped, and appear complete or not at all."""

import http.client
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.manifest import Entry, RemoteFile
from biomedgpt.errors import CheckpointError, ConfigError
from biomedgpt.files import file_hash, put_in_place

logger = logging.getLogger(__name__)

TIMEOUT = 60.0
"""Seconds without an answer after which a server is given up."""
_BLOCK = 1 << 20
_RESERVE = 256 << 20  # bytes of the disk that a download leaves free

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a file, the bytes that are there, and how many there will be."""


def fetch(entry: Entry, folder: Path, *, progress: Progress | None = None) -> dict[str, str]:
    """Download the files of a checkpoint into ``folder / entry.name``; return their hashes.

    Files that are there already are left alone if their hash is right, or nobody knows it.

    Args:
        entry: what to download.
        folder: made if missing.
        progress: is told how far a file is.

    Raises:
        CheckpointError: a file could not be downloaded, or has another hash than published. What
            was downloaded of it stays, and the next call goes on there.
        ConfigError: the checkpoint can only be downloaded by hand, or the disk is full.
    """
    if not entry.files:
        raise ConfigError(
            f"{entry.name} cannot be downloaded by a program; get it from {entry.page} and give "
            "the path of the file"
        )
    place = folder / entry.name
    hashes = {}
    for file in entry.files:
        path = place / file.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{path.parent}: {error.strerror}; give another --out") from error
        if not path.is_file():
            _download(file, path, progress)
        hashes[file.name] = _checked(file, path)
    return hashes


def _checked(file: RemoteFile, path: Path) -> str:
    found = file_hash(path)
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


def _receive(file: RemoteFile, part: Path, progress: Progress | None) -> None:
    have = part.stat().st_size if part.is_file() else 0
    tag = part.with_name(f"{part.name}.tag")
    headers = {"User-Agent": "biomedgpt", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag.is_file():
            headers["If-Range"] = tag.read_text(encoding="utf-8")
    request = urllib.request.Request(file.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        part.unlink()  # it is longer than the file there: another one
        return _receive(file, part, progress)
    with closing(response):
        resumed = response.status == 206
        place = response.headers.get("Content-Range", "")  # such as bytes 200-1000/1001
        if resumed and not place.startswith(f"bytes {have}-"):
            raise http.client.HTTPException("another part than the one asked for")
        have = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        if total is not None:
            _check_disk(part, total - have)
        _remember(tag, response.headers)
        with part.open("ab" if resumed else "wb") as out:
            while block := response.read(_BLOCK):
                out.write(block)
                have += len(block)
                if progress is not None:
                    progress(file.name, have, total)
        if total is not None and have != total:
            raise http.client.HTTPException(f"{have:,} of {total:,} bytes came")
    tag.unlink(missing_ok=True)
    return None


def _remember(tag: Path, headers: Any) -> None:
    """Keep what tells whether the file there is still the same when the download goes on."""
    mark = headers.get("ETag") or headers.get("Last-Modified")
    if mark and not mark.startswith("W/"):
        tag.write_text(mark, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def _check_disk(part: Path, needed: int) -> None:
    free = shutil.disk_usage(os.fspath(part.parent)).free
    if needed + _RESERVE > free:
        raise ConfigError(
            f"{part.parent}: {needed / 1e9:.1f} GB are to come and {free / 1e9:.1f} GB are free; "
            "make room, or give another --out"
        )
