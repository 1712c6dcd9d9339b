"""Pictures that Pillow reads, to 8-bit RGB."""

import io
import itertools
import warnings

import numpy as np
from PIL import Image, ImageChops, TiffImagePlugin, UnidentifiedImageError

from biomedgpt.data.imaging.levels import own_range, stretch
from biomedgpt.data.imaging.size_limits import MAX_PIXELS, check_size, choose_frame
from biomedgpt.errors import DataError, reason_of

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "JPEG2000", "TIFF", "WEBP")
"""Pillow formats that are opened; it would run an external interpreter for PostScript.

Looked for in this order. From the sixth on, Pillow imports the readers of all its formats first.
"""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)


def decode_raster(data: bytes, *, where: str, frame: int | None = None) -> Image.Image:
    """Decode an encoded picture to RGB; see `biomedgpt.data.imaging.images`.

    Raises:
        DataError: not a picture, damaged, too large, or without that frame.
    """
    try:
        # Pillow warns of much that is no concern of ours, and only warns where a limit refuses.
        with warnings.catch_warnings(action="ignore"):
            image = _open(data)
            check_size(*image.size, where=where)
            if frame is not None:
                _seek(image, frame, where=where)
            _check_tiles(image, where=where)
            image.load()
            return to_rgb(image)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: image has more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: not an image of a known kind ({len(data):,} bytes)") from error
    except Exception as error:  # Pillow's readers raise almost anything on damaged input.
        raise DataError(f"{where}: damaged image ({reason_of(error)})") from error


def image_size(data: bytes) -> tuple[int, int]:
    """Return width and height, as shown, of a picture known to be whole, from its header.

    Raises:
        DataError: it is not whole.
    """
    try:
        with warnings.catch_warnings(action="ignore"), _open(data) as image:
            # Pillow would decode a whole PNG to look for metadata behind its pixels; TIFF it turns.
            if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
                return image.size
            width, height = image.size
            return (height, width) if _orientation(image) in _ON_ITS_SIDE else (width, height)
    except Exception as error:  # Pillow's readers raise almost anything on damaged input.
        raise DataError(f"damaged image ({reason_of(error)})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a loaded image upright and make it 8-bit RGB, without transparency.

    Raises:
        ValueError: its mode has no colours, or its pixels are not finite.
    """
    upright = _UPRIGHT.get(_orientation(image))
    if image.mode.startswith("I") or image.mode == "F":
        image = _shallow(image)
    elif image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes all of these for Adobe's, which are stored inverted.
        image = ImageChops.invert(image)
    elif image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    image = image.convert("RGB")
    return image if upright is None else image.transpose(upright)


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _seek(image: Image.Image, frame: int, *, where: str) -> None:
    """Go to a frame; its size may be another than that of the first."""
    if frame:
        try:
            image.seek(frame)
        except (EOFError, ValueError):
            choose_frame(frame, _count_frames(image), where=where)
            raise
        check_size(*image.size, where=where)


def _count_frames(image: Image.Image) -> int:
    """Count frames one by one: behind a seek too far, Pillow's own count of a TIFF fails."""
    for count in itertools.count():
        try:
            image.seek(count)
        except (EOFError, ValueError):
            break
    return count


def _check_tiles(image: Image.Image, *, where: str) -> None:
    """Refuse tiles that are much larger than the image: memory is allocated for a whole one."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)
        check_size(*(image.tag_v2.get(tag, 1) for tag in tags), where=f"{where}: tile")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Damaged metadata around a sound image is common.
        return 1


def _shallow(image: Image.Image) -> Image.Image:
    """Make 8 bits of greyscale with more, by the range of its values."""
    values = np.asarray(image)  # (H, W)
    pixels = stretch(values, *own_range(values))
    tiff = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    # Pillow undoes "white is zero" up to 8 bits only.
    white_is_zero = tiff.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    return Image.fromarray(255 - pixels if white_is_zero else pixels)


def _on_white(image: Image.Image) -> Image.Image:
    """Lay an RGBA image on white, the page that drawings with black lines are made for."""
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    page = Image.new("RGB", image.size, (255, 255, 255))
    page.paste(image, mask=alpha)
    return page
