"""CBIS-DDSM: masses as in the copy on Kaggle, calcifications as in The Cancer Imaging Archive."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from raw_releases.drawing import picture

PATHOLOGIES = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")
ROOT = "1.3.6.1.4.1.9590.100.1.2"
TRAITS = {
    "mass": ("mass shape", "mass margins"),
    "calc": ("calc type", "calc distribution"),
}
CROP_SIZE, MASK_SIZE = (24, 20), (48, 64)
SPLITS = {"train": ("Training", range(1, 13)), "test": ("Test", range(13, 19))}


def case_name(kind: str, number: int) -> str:
    """Return the name of a case; two cases belong to a patient."""
    official = SPLITS["train" if number < 13 else "test"][0]
    view = "CC" if number % 2 else "MLO"
    return f"{kind.capitalize()}-{official}_P_{(number + 1) // 2:05}_LEFT_{view}_1"


def series(number: int) -> str:
    return f"{ROOT}.{10**30 + number}"


def write_lists(folder: Path, kind: str) -> None:
    """Write both lists of lesions, with the line ends within values that the official ones have."""
    traits = (
        ["mass shape", "mass margins"] if kind == "mass" else ["calc type", "calc distribution"]
    )
    density = "breast_density" if kind == "mass" else "breast density"
    names = ["patient_id", density, "left or right breast", "image view", "abnormality id"]
    names += ["abnormality type", *traits, "assessment", "pathology", "subtlety"]
    names += ["image file path", "cropped image file path", "ROI mask file path"]
    folder.mkdir(parents=True, exist_ok=True)
    for split, (_, numbers) in SPLITS.items():
        path = folder / f"{kind}_case_description_{split}_set.csv"
        with path.open("w", newline="") as file:
            lines = csv.writer(file)  # line ends are CRLF
            lines.writerow(names)
            for number in numbers:
                case = case_name(kind, number)
                image = f"{case[:-2]}/{series(100 + number)}/{series(200 + number)}/000000.dcm"
                # The names of the two files are often the wrong way round.
                crop = f"{case}/{series(300 + number)}/{series(400 + number)}/000001.dcm\n"
                mask = f"{case}/{series(300 + number)}/{series(400 + number)}/000000.dcm\n"
                patient, view = case[5:].split("_P_")[1][:5], case.split("_")[4]
                values = [f"P_{patient}", 3, "LEFT", view, 1, kind, "OVAL", "N/A", 4]
                values += [PATHOLOGIES[number % 3], 4, image, crop, mask]
                lines.writerow(values)


def build_jpeg(folder: Path, kind: str = "mass") -> None:
    """Write the layout of the copy on Kaggle."""
    write_lists(folder / "csv", kind)
    names = ["file_path", "image_path", "BitsAllocated", "Modality", "PatientID"]
    names += ["SeriesDescription", "SeriesInstanceUID"]
    with (folder / "csv" / "dicom_info.csv").open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(names)
        for number in range(1, 19):
            case = case_name(kind, number)
            images = [
                (case, "cropped images", series(400 + number), CROP_SIZE),
                # Masks without a description occur.
                (case, "ROI mask images" if number % 4 else "", series(400 + number), MASK_SIZE),
                (case[:-2], "full mammogram images", series(200 + number), MASK_SIZE),
            ]
            for index, (patient, description, uid, size) in enumerate(images, start=1):
                place = folder / "jpeg" / uid / f"{index}-{number:03}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                picture(10 * number + index, size=size, grey=True).save(place)
                image = f"CBIS-DDSM/jpeg/{uid}/{place.name}"
                dicom = f"CBIS-DDSM/dicom/{uid}/{place.stem}.dcm"
                lines.writerow([dicom, image, 16, "MG", patient, description, uid])


def write_dicom(path: Path, pixels: np.ndarray, *, case: str, description: str, uid: str) -> None:
    """Write a greyscale DICOM file of 8 or 16 bits."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = f"{uid}.1"
    dataset.PatientID, dataset.Modality = case, "MG"
    dataset.SeriesDescription, dataset.SeriesInstanceUID = description, uid
    dataset.Rows, dataset.Columns = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = bits - 1, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def crop_pixels(number: int) -> np.ndarray:
    """Return the 16-bit crop of a case."""
    grey = np.asarray(picture(number, size=CROP_SIZE, grey=True)).astype(np.uint16)
    return grey * 120 + 5000


def build_dicom(folder: Path, kind: str = "calc") -> None:
    """Write the layout of The Cancer Imaging Archive, in both forms of it."""
    write_lists(folder, kind)
    mask = np.zeros(MASK_SIZE[::-1], np.uint8)
    mask[10:20, 10:20] = 255
    for number in range(1, 19):
        case, uid = case_name(kind, number), series(400 + number)
        study = folder / "CBIS-DDSM" / case / series(300 + number)
        # Every third case has a folder for the mask; the others share one and its description.
        names = ("ROI mask images", "ROI mask images")
        places = [study / uid / "1-2.dcm", study / uid / "1-1.dcm"]
        if number % 3 == 0:
            study = study.with_name("08-29-2017-DDSM-NA-94942")
            names = ("cropped images", "ROI mask images")
            places = [study / f"1.000000-{name}-18515" / "1-1.dcm" for name in names]
        images = zip(places, (crop_pixels(number), mask), names, strict=True)
        for place, pixels, name in images:
            write_dicom(place, pixels, case=case, description=name, uid=uid)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "cbis-ddsm-mass": build_jpeg,
    "cbis-ddsm-calc": build_dicom,
}
