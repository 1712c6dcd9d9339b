"""Shades of grey for measured values, as DICOM defines them (PS3.3, C.11.1 and C.11.2).

Stored values become measured ones (rescale, or a modality table), these become shades (a table of
values of interest, or a window; without either the range of the image itself).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.imaging.levels import own_range, stretch

Values: TypeAlias = NDArray[np.float64]
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True)
class Rescale:
    """From stored to measured values: ``slope`` x value + ``intercept``."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, values: Values) -> Values:
        """Return the measured values."""
        return values * self.slope + self.intercept


@dataclass(frozen=True)
class Table:
    """A lookup table: entry 0 is for ``first`` and below, the last one for all above.

    Attributes:
        first: value that the first entry is for.
        entries: what values become.
        bits: of an entry; 2^bits - 1 is white where the table gives shades.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def __call__(self, values: Values) -> Values:
        """Return the entries for whole numbers."""
        places = (values - self.first).clip(0, len(self.entries) - 1)
        return self.entries[places.astype(np.int64)].astype(np.float64)

    def shade(self, values: Values) -> Values:
        """Return shades from 0 to 255."""
        # Entries of 8 bits are at times written as if they were of 16.
        white = max((1 << self.bits) - 1, int(self.entries.max()))
        return self(values) * (255.0 / white)

    def render(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the shades of stored values."""
        return _map(pixels, self.shade)


@dataclass(frozen=True)
class Window:
    """The stretch of measured values that is shown from black to white."""

    center: float
    width: float
    function: WindowFunction = "LINEAR"

    @property
    def usable(self) -> bool:
        """Whether it is a window at all: headers with a width of 0 occur."""
        least = 1.0 if self.function == "LINEAR" else 0.0
        finite = np.isfinite(self.center) and np.isfinite(self.width)
        return bool(finite and self.width >= least and self.width > 0)

    def shade(self, values: Values) -> Values:
        """Return shades from 0 to 255."""
        if self.function == "SIGMOID":
            slope = -4.0 * (values - self.center) / self.width
            return 255.0 / (1.0 + np.exp(slope.clip(-700.0, 700.0)))
        if self.function == "LINEAR_EXACT":
            share = (values - self.center) / self.width + 0.5
        elif self.width == 1.0:
            share = (values > self.center - 0.5).astype(np.float64)
        else:
            share = (values - (self.center - 0.5)) / (self.width - 1.0) + 0.5
        return share.clip(0.0, 1.0) * 255.0


def render(
    pixels: NDArray[Any],
    *,
    modality: Rescale | Table,
    interest: Table | Window | None,
    padding: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Return the shades of stored values.

    Args:
        pixels: (H, W), whole numbers or floating point.
        modality: from stored to measured values.
        interest: from measured values to shades; None shows all of the image, from its minimum to
            its maximum.
        padding: stored values (from, to) that stand for no measurement; they do not count as
            minimum or maximum.

    Raises:
        ValueError: values that are not finite, where their range is needed.
    """
    if interest is None:
        low, high = _measured_range(pixels, modality, padding)

        def shade(values: Values) -> Values:
            return stretch(modality(values), low, high).astype(np.float64)
    else:
        chosen = interest

        def shade(values: Values) -> Values:
            return chosen.shade(modality(values))

    return _map(pixels, shade)


def _measured_range(
    pixels: NDArray[Any], modality: Rescale | Table, padding: tuple[float, float] | None
) -> tuple[float, float]:
    """Return the least and the greatest measured value of an image."""
    low, high = own_range(pixels)
    if padding is not None:
        image = (pixels < padding[0]) | (pixels > padding[1])
        if image.any():
            low = float(pixels.min(where=image, initial=high))
            high = float(pixels.max(where=image, initial=low))
    if isinstance(modality, Table):
        return own_range(modality(np.arange(low, high + 1)))
    ends = modality(np.array([low, high]))
    return own_range(ends)


def _map(pixels: NDArray[Any], shade: Callable[[Values], Values]) -> NDArray[np.uint8]:
    """Apply a function of single values to an image, in little memory."""
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
        low, high = int(pixels.min()), int(pixels.max())
        table = np.rint(shade(np.arange(low, high + 1, dtype=np.float64))).astype(np.uint8)
        # Modulo 2^16, so that differences of signed values stay in two bytes.
        return table[pixels.astype(np.uint16) - np.uint16(low & 0xFFFF)]
    result = np.empty(pixels.shape, dtype=np.uint8)
    for row, values in enumerate(pixels):
        result[row] = np.rint(shade(values.astype(np.float64)))
    return result
