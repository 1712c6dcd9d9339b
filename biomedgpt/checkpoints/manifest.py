"""Checkpoints that others published, by name: what they are, where they are, whose licence.

The list is ``manifest.toml``; the files are not part of this project.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from biomedgpt.errors import CheckpointError, ConfigError, did_you_mean

FOLDER_VARIABLE = "BIOMEDGPT_CHECKPOINTS"
MANIFEST = Path(__file__).with_name("manifest.toml")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FILE = re.compile(r"(vocabulary/)?[A-Za-z0-9_-][A-Za-z0-9._-]*")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a published checkpoint."""

    name: str
    """Where it goes, relative to the folder of the checkpoint."""
    url: str
    sha256: str | None = None
    """None where nobody published it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published checkpoint."""

    name: str
    title: str
    task: str
    """What it was trained for, in words."""
    size: str
    """A name of `biomedgpt.model.PRESETS`."""
    format: Literal["fairseq", "hf"]
    licence: str
    """Of the weights."""
    page: str
    """Where its publisher describes it, or offers it for download by hand."""
    files: tuple[RemoteFile, ...]
    """Empty where it cannot be downloaded by a program."""

    @property
    def weights(self) -> str:
        """Name of the file that `biomedgpt.checkpoints.checkpoint` reads; empty for the folder."""
        return self.files[0].name if self.format == "fairseq" and self.files else ""


def default_folder() -> Path:
    """Return where fetched checkpoints lie: $BIOMEDGPT_CHECKPOINTS, or a folder of the cache."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "biomedgpt" / "checkpoints"


def read_manifest(path: Path = MANIFEST) -> dict[str, Entry]:
    """Read a list of published checkpoints.

    Raises:
        ConfigError: it is no such list; the message names the entry.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        shared = {
            name: tuple(_file(one) for one in files)
            for name, files in content.get("shared", {}).items()
        }
        releases = content.get("release", {})
        entries = [_entry(_inherited(one, releases), shared) for one in content["checkpoint"]]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; install biomedgpt again") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: not a list of checkpoints ({error})") from error
    if len({entry.name for entry in entries}) != len(entries):
        raise ConfigError(f"{path}: a name stands twice")
    return {entry.name: entry for entry in entries}


def get_entry(name: str, entries: Mapping[str, Entry]) -> Entry:
    """Return an entry; ConfigError, with the nearest name, when there is none."""
    if name not in entries:
        hint = did_you_mean(name, entries)
        raise ConfigError(f"unknown checkpoint {name!r}; {hint}see `biomedgpt fetch --list`")
    return entries[name]


def fetched_path(name: str) -> Path | None:
    """Return the file or folder of a checkpoint by its name; None if that is no known name.

    Raises:
        CheckpointError: it is known, but was not fetched.
    """
    entry = read_manifest().get(name) if _NAME.fullmatch(name) else None
    if entry is None:
        return None
    place = default_folder() / name
    if not entry.files or not all((place / file.name).is_file() for file in entry.files):
        raise CheckpointError(f"{name} was not fetched yet; run `biomedgpt fetch {name}` first")
    return place / entry.weights


def _inherited(content: Mapping[str, Any], releases: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a table and of the release that it is like, its own going first."""
    own = dict(content)
    return _inherited(releases[own.pop("like")], releases) | own if "like" in own else own


def _entry(content: Mapping[str, Any], shared: Mapping[str, tuple[RemoteFile, ...]]) -> Entry:
    options = dict(content)
    name = options.get("name")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} cannot name a checkpoint")
    address = options.pop("address", "").replace("{page}", str(options.get("page")))
    files = tuple(_file(one, address) for one in options.pop("files", ()))
    if "uses" in options:
        files += shared[options.pop("uses")]
    if any(not isinstance(value, str) for value in options.values()):
        raise TypeError(f"{name}: everything but files is a text")
    if options["format"] not in ("fairseq", "hf"):
        raise ValueError(f"{name}: format {options['format']!r}")
    return Entry(**options, files=files)


def _file(content: Mapping[str, Any] | str, address: str = "") -> RemoteFile:
    if isinstance(content, str):
        url = address + content
        content = {"name": urlsplit(url).path.rpartition("/")[2], "url": url}
    file = RemoteFile(**content)
    if _FILE.fullmatch(file.name) is None:
        raise ValueError(f"{file.name!r} cannot name a file")
    if urlsplit(file.url).scheme not in ("http", "https"):
        raise ValueError(f"{file.url}: neither http nor https")
    if file.sha256 is not None and _HASH.fullmatch(file.sha256) is None:
        raise ValueError(f"{file.name}: {file.sha256!r} is no SHA-256")
    return file
