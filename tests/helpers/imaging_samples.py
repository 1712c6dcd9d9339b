"""DICOM and NIfTI files drawn for the tests."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np

PATIENT = "Doe^Jane^Secret"
"""What must never be seen again."""


def ramp(low: int = 0, high: int = 255, shape: tuple[int, int] = (16, 20), dtype: Any = np.uint8):
    """Return an array that goes from ``low`` to ``high``."""
    return np.linspace(low, high, shape[0] * shape[1]).round().astype(dtype).reshape(shape)


def dicom(pixels: np.ndarray, *, syntax: str = "ExplicitVRLittleEndian", **elements: Any) -> bytes:
    """Return a DICOM file; ``elements`` replace those made of the pixels, None removes one.

    The pixels are (rows, columns), (frames, rows, columns), or with ``SamplesPerPixel=3`` have an
    axis of colours at the end.
    """
    return dicom_bytes(dataset(pixels, syntax=syntax, **elements))


def dataset(pixels: np.ndarray, *, syntax: str = "ExplicitVRLittleEndian", **elements: Any) -> Any:
    """Return what `dicom` writes."""
    from pydicom import uid
    from pydicom.dataset import Dataset, FileMetaDataset

    colour = elements.get("SamplesPerPixel") == 3
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = getattr(uid, syntax)
    made.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = uid.generate_uid()
    made.SOPClassUID = uid.SecondaryCaptureImageStorage
    made.PatientName = PATIENT
    made.PatientID = PATIENT
    made.Rows, made.Columns = rows, columns
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    if pixels.ndim > (3 if colour else 2):
        made.NumberOfFrames = pixels.shape[0]
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    big = syntax == "ExplicitVRBigEndian"
    made.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    if isinstance(made.get("PixelData"), bytes):
        made["PixelData"].VR = "OB" if made.BitsAllocated <= 8 else "OW"
    return made


def dicom_bytes(made: Any) -> bytes:
    """Return the file of a dataset."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicom_compressed(made: Any, syntax: str, frames: list[bytes]) -> bytes:
    """Return the file of a dataset with other pixels, of frames that are compressed already."""
    from pydicom import uid
    from pydicom.encaps import encapsulate

    made.file_meta.TransferSyntaxUID = getattr(uid, syntax)
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return dicom_bytes(made)


def nifti(
    array: np.ndarray, *, axes: str = "RAS", affine: np.ndarray | None = None, **header: Any
) -> bytes:
    """Return a NIfTI-1 file whose axes go into the given directions."""
    import nibabel

    if affine is None:
        affine = np.diag([0.0, 0.0, 0.0, 1.0])
        for place, axis in enumerate(axes):
            affine["RAS".find(axis) if axis in "RAS" else "LPI".find(axis), place] = (
                1.0 if axis in "RAS" else -1.0
            )
    image = nibabel.Nifti1Image(array, affine)
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


def write(path: Path, data: bytes, *, compress: bool = False) -> Path:
    """Write a file, gzipped if asked for."""
    path.write_bytes(gzip.compress(data) if compress else data)
    return path
