"""The file that describes a pretraining run: corpora, weights and settings, as TOML.

::

    seed = 1
    image_size = 256
    augment = true

    [weights]                       # of the families of streams
    vision_language = 8
    text = 2
    image = 1
    detection = 1

    [streams.captioning]
    data = ["medicat", "roco"]      # prepared datasets; folders are relative to this file
    weight = 1.0                    # within its family; by number of rows where none has one

    [streams.mlm]
    data = "pubmed"

Every key and every stream may be left out, but there must be one stream.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from biomedgpt.errors import ConfigError, did_you_mean

FAMILIES = ("vision_language", "text", "image", "detection")
KINDS = {
    "captioning": "vision_language",
    "vqa": "vision_language",
    "matching": "vision_language",
    "grounding": "vision_language",
    "grounded_captioning": "vision_language",
    "mlm": "text",
    "mim": "image",
    "image_generation": "image",
    "detection": "detection",
}
"""Kinds of streams and their families; ``mlm`` and ``mim`` mask words and the middle of images."""
DEFAULT_WEIGHTS = {"vision_language": 8.0, "text": 2.0, "image": 1.0, "detection": 1.0}
"""Of the reference: with every eight pairs come two texts, one image and one detection image."""


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """One stream: what is made of which datasets."""

    kind: str
    data: tuple[Path, ...]
    """Folders of prepared datasets."""
    weight: float | None = None
    """Weight within the family; None for the number of rows."""


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """Everything about a run that is not an option of the model or the optimizer."""

    path: Path = Path()
    """The file this came from."""
    seed: int = 1
    """Of the order of the rows and of everything drawn for an example."""
    image_size: int = 256
    """Pixels along one side of the square that images are resized to."""
    max_image_size: int = 512
    """Pixels that all location bins together stand for, along one side. A smaller image uses the
    first ``image_size / max_image_size`` of them, as in the reference, so that a pixel is as many
    bins at every size; give ``image_size`` to spread the bins over the image."""
    augment: bool = True
    """Change training images at random, see `biomedgpt.pretraining.views`."""
    sampled_patches: int = 196
    """Image patches drawn at random per image in training; 0 keeps all. Masked images keep all."""
    max_source_tokens: int = 512
    """Longest source, instruction included; longer texts are cut."""
    max_target_tokens: int = 256
    """Longest caption, answer or list of objects; masked texts are bounded by the source."""
    mask_ratio: float = 0.3
    """Share of the words of a text that is masked."""
    span_length: float = 3.0
    """Mean of the Poisson distribution of the words in a masked span."""
    examples_per_epoch: int | None = None
    """None for as many as there can be without showing one twice."""
    valid_examples: int = 512
    """Most rows per stream that are validated on."""
    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    """By family."""
    streams: tuple[StreamConfig, ...] = ()

    @property
    def bins_per_image(self) -> float:
        """Share of the location bins that the images use."""
        return self.image_size / self.max_image_size

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file.

        Raises:
            ConfigError: it cannot be read, or a key is unknown, missing or out of range.
        """
        path = Path(path)
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(
                f"{path}: cannot be read ({reason}); give a pretraining configuration (TOML)"
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not TOML ({error}); fix the line") from error
        try:
            return cls(path=path, **_read(content, path.parent))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def __post_init__(self) -> None:
        if self.image_size > self.max_image_size:
            raise ConfigError(
                f"image_size {self.image_size} is more than max_image_size {self.max_image_size}, "
                "which location bins reach; raise max_image_size"
            )


_NUMBERS: dict[str, tuple[type, float, float]] = {
    "seed": (int, 0, 2**32),
    "image_size": (int, 16, 4096),
    "max_image_size": (int, 16, 4096),
    "sampled_patches": (int, 0, 10**6),
    "max_source_tokens": (int, 32, 1024),
    "max_target_tokens": (int, 4, 1023),
    "mask_ratio": (float, 0.01, 0.99),
    "span_length": (float, 1, 100),
    "examples_per_epoch": (int, 1, 2**40),
    "valid_examples": (int, 1, 2**40),
}
"""Type and limits, both included."""


def _read(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    known = [entry.name for entry in fields(PretrainingConfig) if entry.name != "path"]
    _refuse_unknown("", content, known)
    values = {
        name: _number(name, content[name], *limits)
        for name, limits in _NUMBERS.items()
        if name in content
    }
    if "augment" in content:
        values["augment"] = content["augment"]
        if not isinstance(values["augment"], bool):
            raise ConfigError(f"augment must be true or false, not {content['augment']!r}")
    if "weights" in content:
        given = _table("weights", content["weights"], FAMILIES)
        values["weights"] = DEFAULT_WEIGHTS | {
            name: _number(f"weights.{name}", value, float, 0, 1e6) for name, value in given.items()
        }
    streams = _table("streams", content.get("streams", {}), KINDS)
    # In the order of KINDS: the order in the file must not change what is drawn.
    values["streams"] = tuple(
        _stream(kind, streams[kind], folder) for kind in KINDS if kind in streams
    )
    if not values["streams"]:
        raise ConfigError("no stream; add a table such as [streams.captioning]")
    return values


def _stream(kind: str, content: Any, folder: Path) -> StreamConfig:
    key = f"streams.{kind}"
    table = _table(key, content, ("data", "weight"))
    data = table.get("data")
    names = [data] if isinstance(data, str) else data
    if not (isinstance(names, list) and names and all(isinstance(one, str) for one in names)):
        raise ConfigError(f"{key}.data must name a prepared dataset, or a list of them")
    weight = None
    if "weight" in table:
        weight = _number(f"{key}.weight", table["weight"], float, 1e-6, 1e12)
    return StreamConfig(kind=kind, data=tuple(folder / name for name in names), weight=weight)


def _number(key: str, value: Any, kind: type, low: float, high: float) -> Any:
    accepted = (int, float) if kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, accepted) or not math.isfinite(value):
        what = "a number" if kind is float else "a whole number"
        raise ConfigError(f"{key} must be {what}, not {value!r}")
    if not low <= value <= high:
        raise ConfigError(f"{key} must be between {low:g} and {high:g}, got {value:g}")
    return kind(value)


def _table(key: str, value: Any, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{key} must be a table, as in [{key}]")
    _refuse_unknown(f"{key}.", value, known)
    return value


def _refuse_unknown(prefix: str, table: dict[str, Any], known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known, f"known are {', '.join(known)}")
            raise ConfigError(f"unknown key {prefix}{key}; {hint.strip()}")
