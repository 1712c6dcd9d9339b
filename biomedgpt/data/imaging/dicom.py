"""DICOM images as they are meant to be looked at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedgpt.data.imaging.dicom_file import COLOURS, DicomFile, open_dicom, quiet
from biomedgpt.data.imaging.dicom_pixels import GREY, PALETTE, Layout, read_layout, read_pixels
from biomedgpt.data.imaging.display import Rescale, Table, Window, WindowFunction, render
from biomedgpt.data.imaging.levels import stretch
from biomedgpt.data.imaging.size_limits import choose_frame


def decode_dicom(data: bytes | Path, *, where: str, frame: int | None = None) -> Image.Image:
    """Decode one frame to an 8-bit image, of mode L or RGB.

    * Stored values become measured ones (modality table, or slope and intercept), and these shades:
      by the table of values of interest, else by the first window (LINEAR, LINEAR_EXACT or
      SIGMOID). Without either, values of 8 bits stay as they are, others are stretched from the
      minimum to the maximum of the image without its padding. MONOCHROME1 is inverted.
    * Colour is RGB in the end, if stored as YBR or by a palette, too; of more than 8 bits it is
      scaled by the bits stored.
    * Pixels that are not square stay so; overlays are not drawn.

    Args:
        data: the file, or its bytes.
        where: how to call this image in messages.
        frame: which one, counted from 0; None takes the first.

    Raises:
        ConfigError: pydicom is not installed.
        DataError: damaged, without pixels, too large, without that frame, or in a transfer syntax
            that no installed codec reads.
    """
    with quiet(where):
        file = open_dicom(data, where=where)
        layout = read_layout(file)
        frame = choose_frame(frame, layout.frames, where=where)
        pixels = read_pixels(file, layout, frame)
        if layout.interpretation == PALETTE:
            return Image.fromarray(_through_palette(pixels, file, layout))
        if layout.samples == 3:
            white = float((1 << layout.stored) - 1)
            return Image.fromarray(pixels if white == 255.0 else stretch(pixels, 0.0, white))
        shades = _shades(pixels, file, layout, frame)
        inverted = layout.interpretation == GREY[0]
        return Image.fromarray(255 - shades if inverted else shades)


def _shades(pixels: NDArray[Any], file: DicomFile, layout: Layout, frame: int) -> NDArray[np.uint8]:
    """Return the shades of stored values of greyscale."""
    modality = _modality(file, layout, frame)
    interest = _interest(file, layout, modality, frame)
    plain = interest is None and modality == Rescale()
    if plain and pixels.dtype == np.uint8 and layout.stored == 8:
        return pixels
    padding = None
    value = file.number("PixelPaddingValue")
    if value is not None:
        limit = file.number("PixelPaddingRangeLimit")
        low, high = sorted((value, value if limit is None else limit))
        padding = (low, high)
    return render(pixels, modality=modality, interest=interest, padding=padding)


def _groups(file: DicomFile, frame: int, sequence: str) -> Iterator[Any]:
    """Yield where a value may stand: for the frame, for all frames, or for the whole image."""
    per_frame = file.items("PerFrameFunctionalGroupsSequence")[frame : frame + 1]
    for group in (*per_frame, *file.items("SharedFunctionalGroupsSequence")[:1]):
        yield from file.items(sequence, group)[:1]
    yield file.dataset


def _modality(file: DicomFile, layout: Layout, frame: int) -> Rescale | Table:
    """Return what makes measured values of stored ones."""
    tables = file.items("ModalityLUTSequence")
    if tables:
        return _table(file, "LUT", tables[0], signed=layout.signed)
    for group in _groups(file, frame, "PixelValueTransformationSequence"):
        slope = file.number("RescaleSlope", group)
        intercept = file.number("RescaleIntercept", group)
        if slope is not None or intercept is not None:
            found = Rescale(1.0 if slope is None else slope, intercept or 0.0)
            if found.slope == 0.0 or not np.isfinite((found.slope, found.intercept)).all():
                raise file.bad("RescaleSlope or RescaleIntercept")
            return found
    return Rescale()


def _interest(
    file: DicomFile, layout: Layout, modality: Rescale | Table, frame: int
) -> Table | Window | None:
    """Return what makes shades of measured values; None where the header does not say."""
    tables = file.items("VOILUTSequence")
    if tables:
        negative = isinstance(modality, Rescale) and (layout.signed or modality.intercept < 0)
        return _table(file, "LUT", tables[0], signed=negative)
    for group in _groups(file, frame, "FrameVOILUTSequence"):
        center, width = file.number("WindowCenter", group), file.number("WindowWidth", group)
        if center is not None and width is not None:
            named = str(file.first("VOILUTFunction", group) or "").strip()
            functions: dict[str, WindowFunction] = {one: one for one in get_args(WindowFunction)}
            window = Window(center, width, functions.get(named, "LINEAR"))
            return window if window.usable else None
    return None


def _table(file: DicomFile, prefix: str, item: Any, *, signed: bool) -> Table:
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
    return Table(first, entries.astype(np.uint16), bits)


def _through_palette(pixels: NDArray[Any], file: DicomFile, layout: Layout) -> NDArray[np.uint8]:
    """Return the colours that stored numbers stand for, (H, W, 3)."""
    colours = np.empty((*pixels.shape, 3), dtype=np.uint8)
    for channel, colour in enumerate(COLOURS):
        prefix = f"{colour}PaletteColorLookupTable"
        if file.dataset.get(f"{prefix}Data") is None:
            raise file.bad("a palette that is missing or in segments")
        table = _table(file, prefix, file.dataset, signed=layout.signed)
        colours[..., channel] = table.render(pixels)
    return colours
