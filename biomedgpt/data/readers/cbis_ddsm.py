"""CBIS-DDSM: crops of masses and of calcifications in mammograms, by pathology, to rows.

Expected in the raw folder, or in its folder ``csv``: the official lists of lesions,
``mass_case_description_train_set.csv`` and ``..._test_set.csv`` (or ``calc_...``); and the images
in one of two layouts::

    csv/dicom_info.csv, jpeg/<series>/*.jpg          the copy on Kaggle
    CBIS-DDSM/<case>/<study>/<series>/*.dcm          The Cancer Imaging Archive

A row is a lesion, its image the crop around it. Next to the crop, often in the same series, lies a
mask of the lesion, as large as the whole mammogram. The lists name the files of both, but the names
are those of an earlier release and often the wrong way round, so they are not relied upon.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from PIL import Image

from biomedgpt.data.imaging.dicom_file import read_header
from biomedgpt.data.raw.tables import Record, read_csv
from biomedgpt.data.rows import Row, patient_of
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

KINDS = {"cbis-ddsm-mass": "mass", "cbis-ddsm-calc": "calc"}
SPLITS = {"train": "Training", "test": "Test"}
PATHOLOGIES = {
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign without callback",
    "MALIGNANT": "malignant",
}
COLUMNS = ("patient_id", "pathology", "cropped image file path")
DICOM_FOLDER = "CBIS-DDSM"
SERIES = "SeriesDescription"
CROP, MASK = "cropped images", "ROI mask images"


FindImages = Callable[[str], Mapping[Path, str]]
"""Returns the images of a case, each with what its series is called, "" where that is not known."""


def read(release: Release) -> RawDataset:
    """Read the masses or the calcifications.

    Raises:
        ConfigError: there are DICOM files and pydicom is not installed.
        DataError: lists or images are missing, or a row is bad.
    """
    kind = KINDS[release.spec.name]
    lists = release.base("csv")
    files = {split: f"{kind}_case_description_{split}_set.csv" for split in SPLITS}
    release.require_files(files.values(), folder=lists)
    find = _find_images(release, kind)
    rows: dict[str, list[Row]] = {}
    found = {}
    for split, official in SPLITS.items():
        names = re.compile(rf"{kind.capitalize()}-{official}_P_\d+_(LEFT|RIGHT)_(CC|MLO)_\d+")
        records = read_csv(lists / files[split], columns=COLUMNS, skipped=release.skipped)
        parse = partial(_parse, raw=release.folder, names=names, find=find)
        rows[split] = list(release.rows(records, parse))
        found[f"{split} patients"] = len(set(map(patient_of, rows[split])))
    return RawDataset(
        splits=release.hold_out(rows["train"], rows["test"], group=patient_of),
        answers=tuple(PATHOLOGIES.values()),
        cleaning=(
            "images in DICOM in their window, or stretched from their own range, in 8 bits, as PNG",
        ),
        found=found,
    )


def _parse(record: Record, *, raw: Path, names: re.Pattern[str], find: FindImages) -> Row:
    """Make a row of a record; ``names`` are those of the cases that the list may have."""
    where = record.where
    case = record.text("cropped image file path").partition("/")[0]
    if not names.fullmatch(case):
        raise DataError(f"{where}: case {case!r} is not of this list ({names.pattern})")
    answer = record.choice("pathology", PATHOLOGIES)
    try:
        path = _choose_crop(find(case), case=case)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    fields = {
        "id": case,
        "answer": answer,
        "image_name": path.relative_to(raw).as_posix(),
        "patient": record.text("patient_id"),
    }
    return Row(fields, path, where)


def _find_images(release: Release, kind: str) -> FindImages:
    """Return what finds the images of a case, by what layout the folder has."""
    raw = release.folder
    index = raw / "csv" / "dicom_info.csv"
    if index.is_file() and (raw / "jpeg").is_dir():
        cases = _read_index(index, raw)
        return lambda case: cases.get(case, {})
    # Parts downloaded one by one lie in a folder each.
    folders = [raw / DICOM_FOLDER, *sorted(raw.glob(f"*/{DICOM_FOLDER}")), raw]
    folders = [folder for folder in folders if any(folder.glob(f"{kind.capitalize()}-*"))]
    if not folders:
        raise DataError(
            f"{raw} has no images: neither csv/dicom_info.csv and jpeg/ nor "
            f"{DICOM_FOLDER}/{kind.capitalize()}-*; get them from {release.spec.source}"
        )
    return lambda case: {
        path: _describe(path)
        for folder in folders
        for path in sorted((folder / case).rglob("*.dcm"))
    }


def _describe(path: Path) -> str:
    """Return what the series of a DICOM file is called."""
    return str(read_header(path, where=str(path), extra=[SERIES]).first(SERIES) or "")


def _read_index(index: Path, raw: Path) -> Mapping[str, Mapping[Path, str]]:
    """Return the JPEG files of each case; full mammograms are listed under other names."""
    cases: dict[str, dict[Path, str]] = {}
    for record in read_csv(index, columns=("PatientID", "SeriesDescription", "image_path")):
        place = PurePosixPath(record.optional("image_path"))
        if place.is_absolute() or ".." in place.parts:
            raise DataError(f"{record.where}: image_path {str(place)!r} leads out of the folder")
        path = raw.joinpath(*place.parts[place.parts[:1] == (DICOM_FOLDER,) :])
        images = cases.setdefault(record.optional("PatientID"), {})
        images[path] = record.optional("SeriesDescription")
    return cases


def _choose_crop(images: Mapping[Path, str], *, case: str) -> Path:
    """Return the crop among the images of a case: what is called so, else the smallest."""
    choice = [path for path, series in images.items() if series == CROP] or list(images)
    if len(choice) == 1 and images[choice[0]] != MASK:
        return choice[0]
    if len(choice) > 1:
        sizes = sorted((_count_pixels(path), str(path)) for path in choice)
        if sizes[0][0] < sizes[1][0]:
            return Path(sizes[0][1])
    raise DataError(f"no cropped image of {case} among the {len(images)} images of that case")


def _count_pixels(path: Path) -> int:
    """Return width times height, from the header."""
    if path.suffix == ".dcm":
        header = read_header(path, where=str(path))
        return header.whole("Rows") * header.whole("Columns")
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            return image.width * image.height
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a JPEG image ({error})") from error


_spec = partial(
    DatasetSpec,
    task="classification",
    source="https://www.cancerimagingarchive.net/collection/cbis-ddsm/",
    licence="CC BY 3.0",
    read=read,
    valid_fraction=0.1,
)
SPECS = (
    _spec(
        name="cbis-ddsm-mass",
        title="CBIS-DDSM masses: benign or malignant masses in mammograms",
        expected={"train": 1318, "test": 378, "train patients": 691, "test patients": 201},
        published=(PublishedResult("BiomedGPT-B", "macro_f1", 0.511, NATURE_MEDICINE),),
    ),
    _spec(
        name="cbis-ddsm-calc",
        title="CBIS-DDSM calcifications: benign or malignant calcifications in mammograms",
        expected={"train": 1546, "test": 326, "train patients": 602, "test patients": 151},
        published=(PublishedResult("BiomedGPT-B", "macro_f1", 0.679, NATURE_MEDICINE),),
    ),
)
