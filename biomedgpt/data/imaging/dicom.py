"""DICOM images as they are meant to be looked at."""

from pathlib import Path

from PIL import Image

from biomedgpt.data.imaging.dicom_file import quiet, read_header
from biomedgpt.data.imaging.dicom_pixels import GREY, PALETTE, check_header, read_pixels
from biomedgpt.data.imaging.display import grey_shades, palette_colours
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
        file = read_header(data, where=where)
        header = check_header(file)
        frame = choose_frame(frame, header.NumberOfFrames, where=where)
        pixels = read_pixels(file, frame)
        if header.PhotometricInterpretation == PALETTE:
            return Image.fromarray(palette_colours(pixels, file))
        if header.SamplesPerPixel == 3:
            white = float((1 << header.BitsStored) - 1)
            return Image.fromarray(pixels if white == 255.0 else stretch(pixels, 0.0, white))
        shades = grey_shades(pixels, file, frame)
        inverted = header.PhotometricInterpretation == GREY[0]
        return Image.fromarray(255 - shades if inverted else shades)
