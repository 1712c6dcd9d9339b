"""Shades of grey for stored values, as DICOM defines them (PS3.3, C.11.1 and C.11.2).

Stored values become measured ones (rescale, or a modality table), these become shades (a table of
values of interest, or a window; without either the range of the image itself).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.imaging.dicom_file import DicomFile
from biomedgpt.data.imaging.levels import own_range, stretch

Values: TypeAlias = NDArray[np.float64]
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class _Rescale:
    """From stored to measured values: ``slope`` x value + ``intercept``."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, values: Values) -> Values:
        """Return the measured values."""
        return values * self.slope + self.intercept

    def span(self, low: float, high: float) -> tuple[float, float]:
        """Return the least and the greatest measured value of those from ``low`` to ``high``."""
        return own_range(self(np.array([low, high])))


@dataclass(frozen=True)
class _LookupTable:
    """A lookup table: entry 0 is for ``first`` and below, the last one for all above."""

    first: int
    """Value that the first entry is for."""
    entries: NDArray[np.uint16]
    """What values become."""
    bits: int
    """Of an entry; 2^bits - 1 is white where the table gives shades."""

    def __call__(self, values: Values) -> Values:
        """Return the entries for whole numbers."""
        return self.entries[self._places(values)].astype(np.float64)

    def span(self, low: float, high: float) -> tuple[float, float]:
        """Return the least and the greatest entry for values from ``low`` to ``high``."""
        first, last = self._places(np.array([low, high]))
        return own_range(self.entries[first : last + 1])

    def shade(self, values: Values) -> Values:
        """Return shades from 0 to 255."""
        # Entries of 8 bits are at times written as if they were of 16.
        white = max((1 << self.bits) - 1, int(self.entries.max()))
        return self(values) * (255.0 / white)

    def _places(self, values: Values) -> NDArray[np.int64]:
        return (values - self.first).clip(0, len(self.entries) - 1).astype(np.int64)


def grey_shades(pixels: NDArray[Any], file: DicomFile, frame: int) -> NDArray[np.uint8]:
    """Return the shades of stored values, (H, W), of one frame; 8 bits may stay as they are.

    Raises:
        ValueError: values that are not finite, where their range is needed.
        DataError: a damaged header.
    """
    modality = _modality(file, frame)
    shade = _interest(file, modality, frame)
    if shade is not None:
        return _map(pixels, lambda values: shade(modality(values)))
    if modality == _Rescale() and pixels.dtype == np.uint8 and file.dataset.BitsStored == 8:
        return pixels
    low, high = modality.span(*_shown_range(pixels, file))
    return _map(pixels, lambda values: stretch(modality(values), low, high).astype(np.float64))


def palette_colours(pixels: NDArray[Any], file: DicomFile) -> NDArray[np.uint8]:
    """Return the colours that stored numbers stand for, (H, W, 3)."""
    colours = np.empty((*pixels.shape, 3), dtype=np.uint8)
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        prefix = f"{colour}PaletteColorLookupTable"
        if file.dataset.get(f"{prefix}Data") is None:
            raise file.bad("a palette that is missing or in segments")
        table = _table(file, prefix, file.dataset, signed=file.dataset.PixelRepresentation)
        colours[..., channel] = _map(pixels, table.shade)
    return colours


def _shown_range(pixels: NDArray[Any], file: DicomFile) -> tuple[float, float]:
    """Return minimum and maximum of the stored values that are no padding."""
    low, high = own_range(pixels)
    padding = file.number("PixelPaddingValue")
    if padding is None:
        return low, high
    limit = file.number("PixelPaddingRangeLimit")
    first, last = sorted((padding, padding if limit is None else limit))
    image = (pixels < first) | (pixels > last)
    if not image.any():
        return low, high
    return float(pixels.min(where=image, initial=high)), float(pixels.max(where=image, initial=low))


def _groups(file: DicomFile, frame: int, sequence: str) -> Iterator[Any]:
    """Yield where a value may stand: for the frame, for all frames, or for the whole image."""
    per_frame = file.items("PerFrameFunctionalGroupsSequence")[frame : frame + 1]
    for group in (*per_frame, *file.items("SharedFunctionalGroupsSequence")[:1]):
        yield from file.items(sequence, group)[:1]
    yield file.dataset


def _modality(file: DicomFile, frame: int) -> _Rescale | _LookupTable:
    """Return what makes measured values of stored ones."""
    if tables := file.items("ModalityLUTSequence"):
        return _table(file, "LUT", tables[0], signed=file.dataset.PixelRepresentation)
    for group in _groups(file, frame, "PixelValueTransformationSequence"):
        slope = file.number("RescaleSlope", group)
        intercept = file.number("RescaleIntercept", group)
        if slope is not None or intercept is not None:
            found = _Rescale(1.0 if slope is None else slope, intercept or 0.0)
            if found.slope == 0.0 or not np.isfinite((found.slope, found.intercept)).all():
                raise file.bad("RescaleSlope or RescaleIntercept")
            return found
    return _Rescale()


def _interest(
    file: DicomFile, modality: _Rescale | _LookupTable, frame: int
) -> Callable[[Values], Values] | None:
    """Return what makes shades of measured values; None where the header does not say."""
    if tables := file.items("VOILUTSequence"):
        signed = file.dataset.PixelRepresentation
        negative = isinstance(modality, _Rescale) and (signed or modality.intercept < 0)
        return _table(file, "LUT", tables[0], signed=negative).shade
    for group in _groups(file, frame, "FrameVOILUTSequence"):
        center, width = file.number("WindowCenter", group), file.number("WindowWidth", group)
        if center is not None and width is not None:
            named = str(file.first("VOILUTFunction", group) or "").strip()
            return _window(center, width, named if named in _FUNCTIONS else "LINEAR")
    return None


def _window(center: float, width: float, function: str) -> Callable[[Values], Values] | None:
    """Return what makes shades by a window; None where it is none, as headers with 0 occur."""
    from pydicom import Dataset
    from pydicom.pixels.processing import apply_windowing

    least = 1.0 if function == "LINEAR" else np.nextafter(0.0, 1.0)
    if not (np.isfinite(center) and least <= width < np.inf):
        return None
    # As if of 8 bits, so that the shades are from 0 to 255.
    window = Dataset()
    window.PhotometricInterpretation, window.VOILUTFunction = "MONOCHROME2", function
    window.BitsStored, window.PixelRepresentation = 8, 0
    window.add_new("WindowCenter", "FD", center)  # a DS would be shortened
    window.add_new("WindowWidth", "FD", width)
    return lambda values: apply_windowing(values, window)


def _table(file: DicomFile, prefix: str, item: Any, *, signed: bool) -> _LookupTable:
    """Return a lookup table; ``signed`` tells how the values that it is for are written."""
    descriptor, data = item.get(f"{prefix}Descriptor"), item.get(f"{prefix}Data")
    try:
        count, first, bits = (int(number) for number in descriptor)
    except (TypeError, ValueError):
        raise file.bad(f"{prefix}Descriptor") from None
    count = count or 1 << 16
    if isinstance(data, bytes):
        order = "<" if file.syntax.is_little_endian else ">"
        words = len(data) >= 2 * count  # else there are two entries of 8 bits in one
        entries = np.frombuffer(data[: count * (2 if words else 1)], f"{order}u{1 + words}")
    else:
        entries = np.array(() if data is None else data, dtype=np.int64).reshape(-1)[:count]
    if not 1 <= bits <= 16 or not 0 < count == len(entries) <= 1 << 16:
        raise file.bad(f"{prefix}Data")
    if signed and first >= 1 << 15:
        first -= 1 << 16
    return _LookupTable(first, entries.astype(np.uint16), bits)


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
