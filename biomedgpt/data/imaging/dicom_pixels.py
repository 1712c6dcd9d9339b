"""Stored pixels of DICOM files, checked against the file before memory is taken for them."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.imaging.dicom_file import DicomFile
from biomedgpt.data.imaging.size_limits import check_size
from biomedgpt.errors import DataError

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_JPEG_12_BITS = "1.2.840.10008.1.2.4.51"
_JPEG_CODECS = "python-gdcm, or pylibjpeg and pylibjpeg-libjpeg"
_CODECS = {
    "1.2.840.10008.1.2.4.50": "pillow",
    _JPEG_12_BITS: _JPEG_CODECS,
    "1.2.840.10008.1.2.4.57": _JPEG_CODECS,
    "1.2.840.10008.1.2.4.70": _JPEG_CODECS,
    "1.2.840.10008.1.2.4.80": _JPEG_CODECS,
    "1.2.840.10008.1.2.4.81": _JPEG_CODECS,
}
_JPEG_2000_CODECS = "pylibjpeg and pylibjpeg-openjpeg"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Shape and type of the stored pixels, as PS3.3, C.7.6.3 defines them."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: int
    interpretation: str

    @property
    def frame_bits(self) -> int:
        """Size of one uncompressed frame."""
        bits = self.rows * self.columns * self.samples * self.allocated
        return bits * 2 // 3 if self.interpretation == "YBR_FULL_422" else bits


def read_layout(file: DicomFile) -> Layout:
    """Read and check what a header says about the pixels.

    Raises:
        DataError: there are no pixels, more than are accepted, or of a kind that is not read.
    """
    where = file.where
    if not file.place or file.first("Rows") is None or file.first("Columns") is None:
        raise DataError(f"{where}: a DICOM object without pixels")
    rows, columns = file.whole("Rows"), file.whole("Columns")
    check_size(columns, rows, where=where)
    frames = file.whole("NumberOfFrames", 1)
    if frames < 1:
        raise DataError(f"{where}: a DICOM image of {frames} frames")
    samples = file.whole("SamplesPerPixel", 1)
    interpretation = str(file.first("PhotometricInterpretation") or "").strip()
    known = _COLOUR if samples == 3 else (*GREY, PALETTE)
    if samples not in (1, 3) or interpretation not in known:
        raise DataError(
            f"{where}: a DICOM image with {samples} samples per pixel and a photometric "
            f"interpretation other than {', '.join(known)}; export it as greyscale or RGB"
        )
    allocated = file.whole("BitsAllocated")
    stored = file.whole("BitsStored", allocated)
    high = file.whole("HighBit", stored - 1)
    signed, planar = file.whole("PixelRepresentation", 0), file.whole("PlanarConfiguration", 0)
    kinds = (8, 16, 32, 64) if samples == 3 else (1, 8, 16, 32, 64)
    if allocated not in kinds or not 1 <= stored <= high + 1 <= allocated:
        raise file.bad(f"{stored} of {allocated} bits, the highest being {high}")
    if not {signed, planar} <= {0, 1}:
        raise file.bad("PixelRepresentation or PlanarConfiguration")
    return Layout(
        rows=rows,
        columns=columns,
        samples=samples,
        frames=frames,
        allocated=allocated,
        stored=stored,
        high=high,
        signed=bool(signed),
        planar=planar,
        interpretation=interpretation,
    )


def read_pixels(file: DicomFile, layout: Layout, frame: int) -> NDArray[Any]:
    """Return the stored values of one frame: (H, W), or (H, W, 3) in RGB.

    Raises:
        DataError: truncated, damaged, or compressed in a way that nothing installed decodes.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless

    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.interpretation,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "planar_configuration": layout.planar,
        "pixel_keyword": file.keyword,
        "number_of_frames": 1,
    }
    pixels: NDArray[Any]
    if file.syntax.is_encapsulated:
        _check_codec(file)
        code = _encoded_frame(file, layout, frame)
        if file.syntax == RLELossless:
            options |= {"planar_configuration": 1}
            plain = _unfold_rle(code, layout, file)
            pixels, _ = get_decoder(ExplicitVRLittleEndian).as_array(plain, index=0, **options)
            return pixels
        _check_code(code, file, layout)
        pixels, _ = get_decoder(file.syntax).as_array(encapsulate([code]), index=0, **options)
        return pixels
    size = -(-layout.frame_bits * layout.frames // 8)
    there = len(file.data) - file.place
    if file.length is None or file.length > there or size > file.length:
        raise DataError(
            f"{file.where}: truncated DICOM file (pixels of {size:,} bytes, there are "
            f"{min(there, file.length or 0):,})"
        )
    if layout.allocated == 1:
        return _one_bit(file, layout, frame)
    # Bits above the highest one are not of the value, nor are those below what is stored.
    options |= {"number_of_frames": layout.frames, "bits_stored": layout.high + 1}
    if file.vr:
        options["pixel_vr"] = file.vr
    view = memoryview(file.data)[file.place : file.place + size + size % 2]
    pixels, _ = get_decoder(file.syntax).as_array(view, index=frame, **options)
    unused = layout.high + 1 - layout.stored
    return pixels >> unused if unused else pixels


def _one_bit(file: DicomFile, layout: Layout, frame: int) -> NDArray[np.uint8]:
    """Unpack a frame of single bits; pydicom misses the end of frames that share a byte."""
    first = frame * layout.frame_bits
    start, unused = divmod(first, 8)
    stop = -(-(first + layout.frame_bits) // 8)
    data = np.frombuffer(file.data[file.place + start : file.place + stop], np.uint8)
    bits = np.unpackbits(data, bitorder="little")[unused : unused + layout.frame_bits]
    return bits.reshape(layout.rows, layout.columns)


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
    packages = _CODECS.get(str(file.syntax), _JPEG_2000_CODECS)
    return DataError(
        f"{file.where}: DICOM in the transfer syntax {file.syntax.name} ({file.syntax}) needs a "
        f"codec; install {packages} (with pip), or export the image uncompressed"
    )


def _encoded_frame(file: DicomFile, layout: Layout, frame: int) -> bytes:
    """Return one compressed frame."""
    from pydicom.encaps import get_frame

    if file.length is not None:
        raise file.bad("compressed pixels that are not in fragments")
    _check_fragments(file)
    offsets = None
    if layout.frames > 1:
        keywords = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
        tables = tuple(file.first(keyword) for keyword in keywords)
        offsets = tables if all(isinstance(table, bytes) for table in tables) else None
    return bytes(
        get_frame(file.stream(), frame, number_of_frames=layout.frames, extended_offsets=offsets)
    )


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


def _unfold_rle(code: bytes, layout: Layout, file: DicomFile) -> bytes:
    """Return a frame of PS3.5, annex G, uncompressed: little endian, sample by sample.

    The installed codecs go beyond the end of damaged frames, or unfold more than there is room for.
    """
    count = layout.samples * layout.allocated // 8  # segments, those of high bytes first
    heads = struct.unpack_from("<16I", code.ljust(64, b"\0"))
    if layout.allocated == 1 or layout.interpretation == "YBR_FULL_422" or heads[0] != count:
        raise file.bad("segments of run lengths")
    pixels = layout.rows * layout.columns
    frame = np.empty((layout.samples, pixels, layout.allocated // 8), np.uint8)
    stops = (*heads[2 : count + 1], len(code))
    for number, (start, stop) in enumerate(zip(heads[1 : count + 1], stops, strict=True)):
        sample, byte = divmod(number, layout.allocated // 8)
        unfolded = _unfold_segment(code[start:stop], pixels)
        if len(unfolded) < pixels:
            raise file.bad("a segment of run lengths that ends early")
        frame[sample, :, -1 - byte] = np.frombuffer(unfolded, np.uint8, pixels)
    return frame.tobytes()


def _unfold_segment(code: bytes, size: int) -> bytearray:
    """Unfold run lengths up to ``size`` bytes and little more."""
    unfolded = bytearray()
    place = 0
    while len(unfolded) < size and place + 1 < len(code):
        length = code[place]
        if length < 128:  # as many bytes as they are, and one
            unfolded += code[place + 1 : place + 2 + length]
            place += length + 1
        elif length > 128:
            unfolded += code[place + 1 : place + 2] * (257 - length)
            place += 1
        place += 1
    return unfolded


def _check_code(code: bytes, file: DicomFile, layout: Layout) -> None:
    """Hold a compressed frame to the header: decoders take memory for what it says itself."""
    from pydicom.uid import JPEG2000TransferSyntaxes

    find = _jpeg2000_heads if file.syntax in JPEG2000TransferSyntaxes else _jpeg_heads
    heads = list(find(code))
    if not heads:
        raise file.bad("compressed pixels")
    for columns, rows, samples, bits in heads:
        if (columns, rows, samples) != (layout.columns, layout.rows, layout.samples):
            raise file.bad(
                f"compressed image of {columns} x {rows} with {samples} samples, the header says "
                f"{layout.columns} x {layout.rows} with {layout.samples}"
            )
        if file.syntax == _JPEG_12_BITS and bits > 8 and not _reads_12_bits():
            raise _codec_error(file)


def _reads_12_bits() -> bool:
    """Tell whether a codec for JPEG of 12 bits is there; Pillow, of the same syntax, is none."""
    from pydicom.pixels.decoders.base import get_decoder

    return any(name != "pillow" for name in get_decoder(_JPEG_12_BITS).available_plugins)


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
