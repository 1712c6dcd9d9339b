"""Chest X-rays of tuberculosis, Shenzhen (sz-cxr) and Montgomery County (mc-cxr), to rows.

Expected in the raw folder, or up to two folders below it: ``CXR_png/CHNCXR_0001_0.png`` (Shenzhen)
or ``CXR_png/MCUCXR_0001_0.png`` (Montgomery). The last digit of the name is the label: 0 normal,
1 tuberculosis. Other files, such as the radiologists' readings, are not needed.

The releases have no split; one is drawn by patient, stratified by class.
"""

import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path

from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.rows import Row, Skipped, good_rows, hold_out
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult
from biomedgpt.errors import DataError

IMAGE_FOLDER = "CXR_png"
PREFIXES = {"sz-cxr": "CHNCXR", "mc-cxr": "MCUCXR"}
CLASSES = {"0": "normal", "1": "tuberculosis"}
FIELDS = ("id", "answer", "image_name", "patient")
TEST_FRACTION = 0.2
VALID_FRACTION = 0.125  # of what the test split leaves, so a tenth of all

SAME_PATIENT = {
    "MCUCXR_0117_1": "MCUCXR_0113_1",
    "MCUCXR_0166_1": "MCUCXR_0162_1",
    "MCUCXR_0170_1": "MCUCXR_0162_1",
}
"""Images of a patient who has an earlier one.

The readings say so ("same pt as MCUCXR_0162_1"); that of 0170 speaks of earlier views, and sex and
age agree. All other images count as patients of their own.
"""


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read one of the two releases; see `biomedgpt.data.prepare`.

    Raises:
        DataError: there are no images, or one has a name without a label.
    """
    prefix = PREFIXES[spec.name]
    images = _find_images(raw, prefix)
    if not images:
        raise DataError(
            f"{raw} is not the {spec.name} release: no {IMAGE_FOLDER}/{prefix}_*.png in it or up "
            f"to two folders below; get it from {spec.source}"
        )
    rows = list(good_rows(images, lambda path: _parse(path, prefix), skipped))
    fraction = options.valid_fraction or 0.0
    parts: dict[str, set[str]] = {"train": set(), "valid": set(), "test": set()}
    for name in CLASSES.values():
        members = [row for row in rows if row.fields["answer"] == name]
        rest, test = hold_out(members, TEST_FRACTION, seed=options.seed, group=_patient)
        train, valid = hold_out(rest, fraction, seed=options.seed, group=_patient)
        for split, part in (("train", train), ("valid", valid), ("test", test)):
            parts[split] |= {row.fields["id"] for row in part}
    splits = {
        split: [row for row in rows if row.fields["id"] in ids]
        for split, ids in parts.items()
        if ids or split != "valid"
    }
    counts = Counter(row.fields["answer"] for row in rows)
    return RawDataset(
        splits=splits,
        fields=FIELDS,
        answers=tuple(CLASSES.values()),
        found={"images": len(images)} | {name: counts[name] for name in CLASSES.values()},
        preparation={"test_fraction": TEST_FRACTION},
    )


def _find_images(raw: Path, prefix: str) -> list[Path]:
    """Return the PNG files of a release, by name; a folder may hold both releases."""
    others = tuple(one for one in PREFIXES.values() if one != prefix)
    for pattern in (IMAGE_FOLDER, f"*/{IMAGE_FOLDER}", f"*/*/{IMAGE_FOLDER}"):
        for folder in sorted(raw.glob(pattern)):
            images = [path for path in sorted(folder.glob("*.png")) if path.is_file()]
            images = [path for path in images if not path.name.startswith(others)]
            if any(path.name.startswith(prefix) for path in images):
                return images
    return []


def _parse(path: Path, prefix: str) -> Row:
    """Make a row of an image; the label is in its name."""
    match = re.fullmatch(rf"{prefix}_\d+_([01])", path.stem)
    if match is None:
        raise DataError(f"{path}: no label in the name, must be {prefix}_<number>_<0 or 1>.png")
    fields = {
        "id": path.stem,
        "answer": CLASSES[match[1]],
        "image_name": path.name,
        "patient": SAME_PATIENT.get(path.stem, path.stem),
    }
    return Row(fields, path, str(path.parent))


def _patient(row: Row) -> Hashable:
    return row.fields["patient"]


def _spec(name: str, title: str, counts: dict[str, int], accuracy: float) -> DatasetSpec:
    return DatasetSpec(
        name=name,
        title=title,
        task="classification",
        access="open",
        source="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets",
        licence="none stated; source and papers to be named",
        read=read,
        valid_fraction=VALID_FRACTION,
        expected=counts,
        published=(PublishedResult("BiomedGPT-B", "accuracy", accuracy, NATURE_MEDICINE),),
    )


SPECS = (
    _spec(
        "sz-cxr",
        "SZ-CXR: tuberculosis in chest X-rays from Shenzhen",
        {"images": 662, "normal": 326, "tuberculosis": 336},
        0.970,
    ),
    _spec(
        "mc-cxr",
        "MC-CXR: tuberculosis in chest X-rays from Montgomery County",
        {"images": 138, "normal": 80, "tuberculosis": 58},
        0.897,
    ),
)
