"""Boxes in pixels of an image, as detection and grounding rows store them.

A box is ``[x0, y0, x1, y1]`` with ``0 <= x0 < x1 <= width`` and ``0 <= y0 < y1 <= height``; corners
may lie between pixels. Detection rows hold ``[{"box": box, "label": text}, ...]`` as JSON in the
field ``objects``, grounding rows one box as JSON in ``box``.
"""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from biomedgpt.errors import DataError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelledBox:
    """An object in an image."""

    box: Box
    label: str


def parse_box(text: str, *, where: str) -> Box:
    """Read the ``box`` field of a grounding row."""
    return as_box(_load(text, where=where), where=where)


def parse_objects(text: str, *, where: str) -> list[LabelledBox]:
    """Read the ``objects`` field of a detection row; there is at least one object."""
    content = _load(text, where=where)
    if not isinstance(content, list) or not content:
        raise DataError(f"{where}: objects are not a list of at least one")
    objects = []
    for number, entry in enumerate(content, start=1):
        here = f"{where}: object {number}"
        if not isinstance(entry, dict) or entry.keys() != {"box", "label"}:
            raise DataError(f"{here}: not a box and a label")
        if not isinstance(entry["label"], str) or not entry["label"].strip():
            raise DataError(f"{here}: empty label")
        objects.append(LabelledBox(as_box(entry["box"], where=here), entry["label"]))
    return objects


def format_box(box: Sequence[float]) -> str:
    """Return the ``box`` field of a grounding row."""
    return json.dumps([_short(value) for value in box])


def format_objects(objects: Sequence[LabelledBox]) -> str:
    """Return the ``objects`` field of a detection row."""
    content = [{"box": [_short(v) for v in one.box], "label": one.label} for one in objects]
    return json.dumps(content, ensure_ascii=False)


def check_inside(box: Box, size: tuple[int, int], *, where: str) -> None:
    """Raise a DataError when a box is empty or reaches out of an image of (width, height)."""
    x0, y0, x1, y1 = box
    width, height = size
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"{where}: box {format_box(box)} is empty")
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise DataError(
            f"{where}: box {format_box(box)} reaches out of its image of {width} x {height}"
        )


def as_box(values: Any, *, where: str) -> Box:
    """Return four finite numbers as a box; DataError when they are not that."""
    if (
        isinstance(values, list | tuple)
        and len(values) == 4
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    ):
        with suppress(OverflowError):
            x0, y0, x1, y1 = map(float, values)
            if all(map(math.isfinite, (x0, y0, x1, y1))):
                return x0, y0, x1, y1
    raise DataError(f"{where}: not a box of four numbers (x0, y0, x1, y1)")


def _short(value: float) -> float:
    """Round to a thousandth of a pixel; whole numbers are written without a point."""
    rounded = round(float(value), 3)
    return int(rounded) if rounded.is_integer() else rounded


def _load(text: str, *, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error})") from error
