"""Folders of images without texts: CheXpert, CytoImageNet, ISIC 2020, fundus photographs, own ones.

Only what is official training data is taken where a release says so.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from biomedgpt.corpora.reader import Corpus, Reading, RowGroup, Work, files_below, relative_name
from biomedgpt.data.rows import Row
from biomedgpt.errors import DataError

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".dcm", ".dicom", ".nii", ".nii.gz"),
)
FILES_AT_ONCE = 1000
_PATIENT = re.compile(r"(patient\d+)/")  # train/patient00001/study1/view1_frontal.jpg
_BOTH_EYES = re.compile(r"(\d+)_(?:left|right)\.")  # train/10_left.jpeg


def _plan(raw: Path, *, name: str, folders: tuple[str, ...]) -> list[Work]:
    """Return batches of the images below the first of ``folders`` that is there."""
    base = next((raw / folder for folder in folders if (raw / folder).is_dir()), None)
    if base is None:
        listed = " or ".join(f"{folder}/" for folder in folders)
        raise DataError(f"{raw} is not the {name} release: no {listed} in it")
    return Work.of_batches(files_below(base, SUFFIXES, what="images"), raw, size=FILES_AT_ONCE)


def _read(work: Work, reading: Reading, *, group: re.Pattern[str] | None) -> Iterator[RowGroup]:
    """Yield a document per image; ``group`` finds the patient in its name."""
    for path in work.files:
        name = relative_name(path, reading.raw)
        row = Row({"id": name, "image_name": name}, path, str(path))
        patient = group.search(name) if group else None
        yield RowGroup(name, (row,), group=patient[1] if patient else "")


def _corpus(
    name: str, *, folders: tuple[str, ...], group: re.Pattern[str] | None = None, **facts: Any
) -> Corpus:
    plan, read = partial(_plan, name=name, folders=folders), partial(_read, group=group)
    return Corpus(name=name, kind="images", plan=plan, read=read, **facts)


CORPORA = (
    _corpus(
        "chexpert-small",
        title="CheXpert-v1.0-small: chest X-rays of the training set",
        folders=("CheXpert-v1.0-small/train", "train"),
        source="https://stanfordmlgroup.github.io/competitions/chexpert/",
        licence="Stanford University School of Medicine CheXpert Dataset Research Use Agreement",
        access="registration",
        group=_PATIENT,
    ),
    _corpus(
        "cytoimagenet",
        title="CytoImageNet: microscopy images",
        folders=("cytoimagenet", "."),
        source="https://github.com/stan-hua/CytoImageNet",
        licence="per image, that of its source; listed in the release",
    ),
    _corpus(
        "isic-2020",
        title="ISIC 2020: dermoscopic images of the training set",
        folders=("ISIC_2020_Training_JPEG/train", "ISIC_2020_Training_JPEG", "train"),
        source="https://challenge2020.isic-archive.com",
        licence="CC BY-NC 4.0",
    ),
    _corpus(
        "retinal-fundus",
        title="diabetic retinopathy detection: fundus photographs of the training set",
        folders=("train", "."),
        source="https://www.kaggle.com/c/diabetic-retinopathy-detection",
        licence="rules of the competition",
        access="registration",
        group=_BOTH_EYES,
    ),
    _corpus(
        "image-folder",
        title="own images, in any folders",
        folders=(".",),
        source="own files",
        licence="that of the files",
    ),
)
