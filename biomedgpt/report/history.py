"""Loss and validation history from a fairseq training log."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biomedgpt.errors import DataError
from biomedgpt.files import parse_json

KINDS = ("train_inner", "train", "valid")
# "2026-01-01 10:00:00 | INFO | train_inner | {...}" on screen; a file written by fairseq's own
# --log-file option holds the JSON alone.
_TAGGED = re.compile(r"\|\s*(train_inner|train|valid)\s*\|\s*(\{.*)$")


@dataclass(frozen=True)
class History:
    """Entries of a training log.

    Attributes:
        entries: each has ``kind`` (train_inner, train or valid), ``update`` (int) and the logged
            numbers by name, without the ``train_`` or ``valid_`` prefix; in order of updates.
        bad_lines: how many lines should have held numbers but could not be read.
    """

    entries: list[dict[str, Any]]
    bad_lines: int = 0


def read_fairseq_log(path: Path | str) -> History:
    """Read a log of ``fairseq-train --log-format json``, from the screen or from --log-file.

    fairseq repeats lines in its log file, and a resumed run goes over some updates again: of the
    entries for one update the last counts. Lines that are not statistics are passed over; broken
    ones (a killed run leaves such) are counted.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot read the training log ({error.strerror})") from error
    found: dict[tuple[str, int], dict[str, Any]] = {}
    bad_lines = 0
    for line in text.splitlines():
        tagged = _TAGGED.search(line)
        if tagged is None and not line.startswith("{"):
            continue
        kind, content = tagged.groups() if tagged else (None, line)
        entry = _parse(content, kind)
        if entry is None:
            bad_lines += 1
            continue
        found[entry["kind"], entry["update"]] = entry
    entries = sorted(
        found.values(), key=lambda entry: (entry["update"], KINDS.index(entry["kind"]))
    )
    return History(entries=entries, bad_lines=bad_lines)


def _parse(content: str, kind: str | None) -> dict[str, Any] | None:
    """Return one entry, None when it holds no update number or is not JSON."""
    stats = parse_json(content)
    if not isinstance(stats, dict):
        return None
    if kind is None:
        kind = next(
            (kind for kind in ("train", "valid") if f"{kind}_num_updates" in stats), "train_inner"
        )
    numbers = _numbers(stats, prefix="" if kind == "train_inner" else f"{kind}_")
    if "num_updates" not in numbers:
        return None
    # fairseq's own "update" counts epochs.
    return numbers | {"kind": kind, "update": int(numbers.pop("num_updates"))}


def _numbers(stats: Mapping[str, Any], *, prefix: str) -> dict[str, float]:
    """Return the finite numbers of ``stats`` (fairseq writes them as strings)."""
    numbers = {}
    for key, value in stats.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            numbers[key.removeprefix(prefix)] = number
    return numbers
