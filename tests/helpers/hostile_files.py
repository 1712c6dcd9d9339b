"""Files that want to run something, to be extracted elsewhere, or to fill the memory."""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from data_samples import encoded
from imaging_samples import dataset, dicom, dicom_bytes, dicom_compressed, nifti, ramp
from PIL import Image


class Command:
    """What a pickle is made to do when it is loaded: make a folder."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def zeros(count: int, *, header: bytes = b"", wbits: int = zlib.MAX_WBITS) -> bytes:
    """Compressed bytes that unfold to ``header`` and ``count`` zeros."""
    packer = zlib.compressobj(1, zlib.DEFLATED, wbits)
    block = bytes(1 << 20)
    parts = [packer.compress(header)]
    parts += [packer.compress(block) for _ in range(count >> 20)]
    return b"".join([*parts, packer.flush()])


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def large_png(side: int = 30_000) -> bytes:
    """A PNG that is whole, of 900 million white or black pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zeros(side * (side // 8 + 1) + (1 << 20))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_with_text(size: int = 1 << 26) -> bytes:
    """A small PNG with a comment that unfolds to 64 megabytes."""
    plain = encoded()
    text = chunk(b"zTXt", b"Comment\0\0" + zeros(size))
    return plain[:33] + text + plain[33:]


def tiff_with_large_tile(side: int = 60_000) -> bytes:
    """A TIFF of 16 x 16 pixels in one compressed tile of gigabytes."""
    code = zeros(1 << 20)
    tags = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side)]
    tags += [(324, 8 + 2 + 12 * 10 + 4), (325, len(code))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + code


def gif_with_large_screen() -> bytes:
    """A GIF of one pixel on a screen of four billion."""
    data = bytearray(encoded(format="GIF", size=(1, 1)))
    data[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(data)


def deflated_dicom(size: int = 300 << 20) -> bytes:
    """A DICOM file whose dataset unfolds to 300 megabytes."""
    whole = dicom_bytes(dataset(ramp(), syntax="DeflatedExplicitVRLittleEndian"))
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    return whole[:start] + zeros(size, wbits=-zlib.MAX_WBITS)


def dicom_with_large_stream() -> bytes:
    """A DICOM image of 16 x 20 pixels, compressed to one that says to be of 60,000 x 60,000."""
    buffer = io.BytesIO()
    Image.fromarray(ramp()).save(buffer, "JPEG2000", no_jp2=True)
    code = bytearray(buffer.getvalue())
    code[8:16] = struct.pack(">II", 60_000, 60_000)
    return dicom_compressed(dataset(ramp()), "JPEG2000Lossless", [bytes(code)])


def nifti_header(shape: tuple[int, int, int]) -> bytes:
    """The head of a NIfTI file of bytes."""
    data = bytearray(nifti(np.zeros((2, 2, 2), np.uint8))[:352])
    data[40:48] = struct.pack("<4h", 3, *shape)
    return bytes(data)


IMAGES = {
    "large.png": (large_png, "more than 100,000,000 pixels"),
    "text.png": (png_with_text, "damaged image"),
    "tile.tif": (tiff_with_large_tile, "tile: image of 60000 x 60000 has more than"),
    "screen.gif": (gif_with_large_screen, "more than 100,000,000 pixels"),
    "script.png": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch canary) run\n",
        "not an image of a known kind",
    ),
    "drawing.png": (
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "not an image of a known kind",
    ),
    "page.png": (lambda: b"<html>403</html>", "not an image of a known kind"),
    "empty.png": (lambda: b"", "not an image of a known kind"),
    "report.dcm": (lambda: dicom(ramp(), PixelData=None), "a DICOM object without pixels"),
    "size.dcm": (
        lambda: dicom(ramp(), Rows=60_000, Columns=60_000),
        "image of 60000 x 60000 has more than 100,000,000 pixels",
    ),
    "frames.dcm": (
        lambda: dicom(ramp(), Rows=9999, Columns=9999, NumberOfFrames=2**31 - 1),
        "truncated DICOM file",
    ),
    "deflated.dcm": (deflated_dicom, "unfolds to more than 268,435,456 bytes"),
    "stream.dcm": (dicom_with_large_stream, "compressed image of 60000 x 60000"),
    "claims.nii.gz": (
        lambda: gzip.compress(nifti_header((9999, 9999, 40))),
        "truncated NIfTI file",
    ),
    "plane.nii.gz": (
        lambda: gzip.compress(nifti_header((30_000, 30_000, 4))),
        "image of 30000 x 30000 has more than 100,000,000 pixels",
    ),
    "volume.nii.gz": (
        lambda: gzip.compress(nifti_header((5000, 5000, 5000))),
        "NIfTI volume of 125,000,000,000 bytes",
    ),
}
"""By file name: what makes the file, and what is said about it."""


def npy(array: np.ndarray) -> bytes:
    """An array as a file; of objects, as a pickle."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The head of an array that claims a shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def npz(changes: dict[str, bytes], arrays: dict[str, np.ndarray]) -> bytes:
    """An archive of arrays, some of them replaced by other bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", changes.get(name) or npy(array))
    return buffer.getvalue()


def escaping_names(folder: Path) -> Iterator[str]:
    """Names of members that lead out of wherever an archive is extracted to."""
    yield "../../../../canary/NCT00000001.xml"
    yield f"{folder}/canary/NCT00000001.xml"
    yield "..\\..\\canary\\NCT00000001.xml"
