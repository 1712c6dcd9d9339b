"""Stored pixels of DICOM files, checked against the file before memory is taken for them."""

import math
import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedgpt.data.imaging.dicom_file import DicomFile
from biomedgpt.data.imaging.size_limits import check_size
from biomedgpt.errors import DataError

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def check_header(file: DicomFile) -> Any:
    """Return the header, with whole numbers for shape and type of the pixels (PS3.3, C.7.6.3).

    Raises:
        DataError: there are no pixels, more than are accepted, or of a kind that is not read.
    """
    where, header = file.where, file.dataset
    if not file.place or file.first("Rows") is None or file.first("Columns") is None:
        raise DataError(f"{where}: a DICOM object without pixels")
    header.Rows, header.Columns = file.whole("Rows"), file.whole("Columns")
    check_size(header.Columns, header.Rows, where=where)
    header.NumberOfFrames = file.whole("NumberOfFrames", 1)
    if header.NumberOfFrames < 1:
        raise DataError(f"{where}: a DICOM image of {header.NumberOfFrames} frames")
    header.SamplesPerPixel = samples = file.whole("SamplesPerPixel", 1)
    interpretation = str(file.first("PhotometricInterpretation") or "").strip()
    known = _COLOUR if samples == 3 else (*GREY, PALETTE)
    if samples not in (1, 3) or interpretation not in known:
        raise DataError(
            f"{where}: a DICOM image with {samples} samples per pixel and a photometric "
            f"interpretation other than {', '.join(known)}; export it as greyscale or RGB"
        )
    header.PhotometricInterpretation = interpretation
    header.BitsAllocated = allocated = file.whole("BitsAllocated")
    header.BitsStored = stored = file.whole("BitsStored", allocated)
    header.HighBit = high = file.whole("HighBit", stored - 1)
    kinds = (8, 16, 32, 64) if samples == 3 else (1, 8, 16, 32, 64)
    if allocated not in kinds or not 1 <= stored <= high + 1 <= allocated:
        raise file.bad(f"{stored} of {allocated} bits, the highest being {high}")
    header.PixelRepresentation = file.whole("PixelRepresentation", 0)
    header.PlanarConfiguration = file.whole("PlanarConfiguration", 0)
    if not {header.PixelRepresentation, header.PlanarConfiguration} <= {0, 1}:
        raise file.bad("PixelRepresentation or PlanarConfiguration")
    return header


def read_pixels(file: DicomFile, frame: int) -> NDArray[Any]:
    """Return the stored values of one frame: (H, W), or (H, W, 3) in RGB.

    Args:
        file: with a header that `check_header` has seen.
        frame: which one, counted from 0.

    Raises:
        DataError: truncated, damaged, or compressed in a way that nothing installed decodes.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import as_pixel_options
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless

    header = file.dataset
    options: dict[str, Any] = {"pixel_keyword": file.keyword}
    pixels: NDArray[Any]
    if file.syntax.is_encapsulated:
        _check_codec(file)
        code = _encoded_frame(file, frame)
        options = as_pixel_options(header, number_of_frames=1, extended_offsets=None, **options)
        if file.syntax == RLELossless:
            options["planar_configuration"] = 1
            source, syntax = _unfold_rle(code, file), ExplicitVRLittleEndian
        else:
            _check_code(code, file)
            source, syntax = encapsulate([code]), file.syntax
        pixels, _ = get_decoder(syntax).as_array(source, index=0, **options)
        return pixels
    bits = header.Rows * header.Columns * header.SamplesPerPixel * header.BitsAllocated
    if header.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3  # two pixels have their colours in common
    size = -(-bits * header.NumberOfFrames // 8)
    there = len(file.data) - file.place
    if file.length is None or file.length > there or size > file.length:
        raise DataError(
            f"{file.where}: truncated DICOM file (pixels of {size:,} bytes, there are "
            f"{min(there, file.length or 0):,})"
        )
    if header.BitsAllocated == 1:
        return _one_bit(file, frame)
    if file.vr:
        options["pixel_vr"] = file.vr
    # Bits above the highest one are not of the value, nor are those below what is stored.
    options = as_pixel_options(header, bits_stored=header.HighBit + 1, **options)
    pixels, _ = get_decoder(file.syntax).as_array(file.stream(), index=frame, **options)
    return pixels >> unused if (unused := header.HighBit + 1 - header.BitsStored) else pixels


def _one_bit(file: DicomFile, frame: int) -> NDArray[np.uint8]:
    """Unpack a frame of single bits; pydicom misses the end of frames that share a byte."""
    shape = (file.dataset.Rows, file.dataset.Columns)
    start, unused = divmod(frame * math.prod(shape), 8)
    stop = unused + math.prod(shape)
    data = np.frombuffer(file.data, np.uint8, -(-stop // 8), offset=file.place + start)
    return np.unpackbits(data, count=stop, bitorder="little")[unused:].reshape(shape)


def _check_codec(file: DicomFile) -> None:
    """Refuse a transfer syntax that nothing installed can decode, and say what could."""
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(file.syntax)
    except NotImplementedError:
        raise DataError(
            f"{file.where}: DICOM in the transfer syntax {file.syntax.name} ({file.syntax}) is "
            "not read; export the image uncompressed"
        ) from None
    if not decoder.is_available:
        raise _codec_error(file)


def _codec_error(file: DicomFile) -> DataError:
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGBaseline8Bit

    packages = "python-gdcm, or pylibjpeg and pylibjpeg-libjpeg"
    if file.syntax in JPEG2000TransferSyntaxes:
        packages = "pylibjpeg and pylibjpeg-openjpeg"
    elif file.syntax == JPEGBaseline8Bit:
        packages = "pillow"
    return DataError(
        f"{file.where}: DICOM in the transfer syntax {file.syntax.name} ({file.syntax}) needs a "
        f"codec; install {packages} (with pip), or export the image uncompressed"
    )


def _encoded_frame(file: DicomFile, frame: int) -> bytes:
    """Return one compressed frame."""
    from pydicom.encaps import get_frame

    if file.length is not None:
        raise file.bad("compressed pixels that are not in fragments")
    _check_fragments(file)
    frames: int = file.dataset.NumberOfFrames
    tables = file.first("ExtendedOffsetTable"), file.first("ExtendedOffsetTableLengths")
    offsets = tables if frames > 1 and all(isinstance(table, bytes) for table in tables) else None
    return bytes(get_frame(file.stream(), frame, number_of_frames=frames, extended_offsets=offsets))


def _check_fragments(file: DicomFile) -> None:
    """Refuse fragments that go on behind the end of the file; the end mark may be missing."""
    place = file.place
    while head := file.data[place : place + 8]:
        group, element, length = struct.unpack("<HHI", head.ljust(8, b"\0"))
        if (group, element) == (0xFFFE, 0xE0DD):
            return
        place += 8 + length
        if (group, element) != (0xFFFE, 0xE000) or place > len(file.data):
            raise DataError(f"{file.where}: truncated DICOM file")


def _unfold_rle(code: bytes, file: DicomFile) -> bytes:
    """Return a frame of PS3.5, annex G, uncompressed: little endian, sample by sample.

    pydicom's codec would unfold more than there is room for; Pillow's stops there.
    """
    header = file.dataset
    pixels, width = header.Rows * header.Columns, header.BitsAllocated // 8
    count = header.SamplesPerPixel * width  # segments, those of high bytes first
    heads = struct.unpack_from("<16I", code.ljust(64, b"\0"))
    if not width or header.PhotometricInterpretation == "YBR_FULL_422" or heads[0] != count:
        raise file.bad("segments of run lengths")
    frame = np.empty((header.SamplesPerPixel, pixels, width), np.uint8)
    for number, (start, stop) in enumerate(pairwise((*heads[1 : count + 1], len(code)))):
        sample, byte = divmod(number, width)
        try:
            plane = Image.frombytes("L", (pixels, 1), code[start:stop], "packbits", "L")
        except ValueError:
            raise file.bad("a segment of run lengths that ends early") from None
        frame[sample, :, -1 - byte] = plane
    return frame.tobytes()


def _check_code(code: bytes, file: DicomFile) -> None:
    """Hold a compressed frame to the header: decoders take memory for what it says itself."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGExtended12Bit

    find = _jpeg2000_heads if file.syntax in JPEG2000TransferSyntaxes else _jpeg_heads
    heads = list(find(code))
    if not heads:
        raise file.bad("compressed pixels")
    said = (file.dataset.Columns, file.dataset.Rows, file.dataset.SamplesPerPixel)
    for *found, bits in heads:
        if tuple(found) != said:
            raise file.bad(
                "compressed image of {} x {} with {} samples, the header says {} x {} with "
                "{}".format(*found, *said)
            )
        # Pillow counts as a codec of this syntax, and reads no 12 bits.
        codecs = get_decoder(file.syntax).available_plugins
        if file.syntax == JPEGExtended12Bit and bits > 8 and codecs == ("pillow",):
            raise _codec_error(file)


def _jpeg_heads(code: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield columns, rows, samples and bits of a JPEG or JPEG-LS image."""
    place = 2
    while code[place : place + 1] == b"\xff" and place + 10 <= len(code):
        marker = code[place + 1]
        if marker == 0xFF:  # padding
            place += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, rows, columns, samples = struct.unpack_from(">BHHB", code, place + 4)
            yield columns, rows, samples, bits
            return
        else:
            place += 2 + int.from_bytes(code[place + 2 : place + 4])


def _jpeg2000_heads(code: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield columns, rows, samples and 0 for all that a decoder may take for the head."""
    for found in re.finditer(rb"\xff\x4f\xff\x51", code):
        head = code[found.end() : found.end() + 38]
        if len(head) == 38:
            right, bottom, left, top = struct.unpack_from(">4I", head, 4)
            (samples,) = struct.unpack_from(">H", head, 36)
            yield right - left, bottom - top, samples, 0
