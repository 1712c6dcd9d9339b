"""Chest X-rays of tuberculosis, Shenzhen (sz-cxr) and Montgomery County (mc-cxr), to rows.

Expected in the raw folder, or up to two folders below it: ``CXR_png/CHNCXR_0001_0.png`` (Shenzhen)
or ``CXR_png/MCUCXR_0001_0.png`` (Montgomery). The last digit of the name is the label: 0 normal,
1 tuberculosis. Other files, such as the radiologists' readings, are not needed.

The releases have no split; one is drawn by patient, stratified by class.
"""

import re
from collections import Counter
from functools import partial
from pathlib import Path

from biomedgpt.data.rows import Row, hold_out, patient_of
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

IMAGE_FOLDER = "CXR_png"
PREFIXES = {"sz-cxr": "CHNCXR", "mc-cxr": "MCUCXR"}
CLASSES = {"0": "normal", "1": "tuberculosis"}
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


def read(release: Release) -> RawDataset:
    """Read one of the two releases.

    Raises:
        DataError: there are no images, or one has a name without a label.
    """
    spec, options = release.spec, release.options
    prefix = PREFIXES[spec.name]
    images = _find_images(release.folder, prefix)
    if not images:
        raise DataError(
            f"{release.folder} is not the {spec.name} release: no {IMAGE_FOLDER}/{prefix}_*.png in "
            f"it or up to two folders below; get it from {spec.source}"
        )
    rows = list(release.rows(images, partial(_parse, prefix=prefix)))
    drawn: dict[str, set[str]] = {"train": set(), "valid": set(), "test": set()}
    for name in CLASSES.values():
        members = [row for row in rows if row.fields["answer"] == name]
        rest, test = hold_out(members, TEST_FRACTION, seed=options.seed, group=patient_of)
        for split, part in release.hold_out(rest, test, group=patient_of).items():
            drawn[split] |= {row.fields["id"] for row in part}
    splits = {
        split: [row for row in rows if row.fields["id"] in ids]
        for split, ids in drawn.items()
        if ids or split != "valid"
    }
    counts = Counter(row.fields["answer"] for row in rows)
    return RawDataset(
        splits=splits,
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


_spec = partial(
    DatasetSpec,
    task="classification",
    source="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets",
    licence="none stated; source and papers to be named",
    read=read,
    valid_fraction=VALID_FRACTION,
)
SPECS = (
    _spec(
        name="sz-cxr",
        title="SZ-CXR: tuberculosis in chest X-rays from Shenzhen",
        expected={"images": 662, "normal": 326, "tuberculosis": 336},
        published=(PublishedResult("BiomedGPT-B", "accuracy", 0.970, NATURE_MEDICINE),),
    ),
    _spec(
        name="mc-cxr",
        title="MC-CXR: tuberculosis in chest X-rays from Montgomery County",
        expected={"images": 138, "normal": 80, "tuberculosis": 58},
        published=(PublishedResult("BiomedGPT-B", "accuracy", 0.897, NATURE_MEDICINE),),
    ),
)
