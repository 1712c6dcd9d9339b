"""Images with boxes around lesions: DeepLesion and OIA-DDR."""

import io
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

from biomedgpt.corpora import xml
from biomedgpt.corpora.reader import Corpus, Reading, RowGroup, Work, files_below
from biomedgpt.data.imaging.boxes import LabelledBox, as_box, format_objects
from biomedgpt.data.imaging.images import read_image_file
from biomedgpt.data.imaging.levels import encode_png, stretch
from biomedgpt.data.imaging.size_limits import check_size
from biomedgpt.data.raw.caption_rows import plain_name
from biomedgpt.data.raw.tables import Record, read_csv
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.errors import DataError
from biomedgpt.files import open_bytes

# DeepLesion

LESION_TABLE = "DL_info.csv"
LESION_COLUMNS = ("File_name", "Bounding_boxes", "Coarse_lesion_type", "DICOM_windows")
SLICE_FOLDERS = ("Images_png", "Key_slices", "minideeplesion", ".")
SLICES_AT_ONCE = 500
HU_OFFSET = 32768
"""What was added to Hounsfield units so that they fit in 16 bits without a sign."""
LESION_TYPES = {
    "1": "bone",
    "2": "abdomen",
    "3": "mediastinum",
    "4": "liver",
    "5": "lung",
    "6": "kidney",
    "7": "soft tissue",
    "8": "pelvis",
}
UNKNOWN_TYPE = "-1"


def plan_deep_lesion(raw: Path) -> list[Work]:
    """Return pieces of work of many slices each, counted as `_slices` does."""
    path = raw / LESION_TABLE
    if not path.is_file():
        raise DataError(f"{raw} is not the DeepLesion release: no {LESION_TABLE} in it")
    count = len(_slices(path, Reading(raw, skipped=Skipped(allowed=True))))
    return [
        Work(f"{LESION_TABLE} from slice {start + 1}", (path,), start, start + SLICES_AT_ONCE)
        for start in range(0, count, SLICES_AT_ONCE)
    ]


def read_deep_lesion(work: Work, reading: Reading) -> Iterator[RowGroup]:
    """Yield a document per slice with the lesions marked in it."""
    (path,) = work.files
    first = work.start == 0  # every piece reads the whole table; only one reports on it
    table = reading if first else Reading(reading.raw, skipped=Skipped(allowed=True))
    for name, records in list(_slices(path, table).items())[work.start : work.stop]:
        with reading.skipped.catching():
            yield _slice(name, records, reading.raw)


def _slices(path: Path, reading: Reading) -> dict[str, list[Record]]:
    """Return the rows of the table by slice, those without a type of lesion left out."""
    slices: dict[str, list[Record]] = {}
    for record in read_csv(path, columns=LESION_COLUMNS, skipped=reading.skipped):
        with reading.skipped.catching():
            name = plain_name(record.text("File_name"), where=record.where)
            if record.text("Coarse_lesion_type") == UNKNOWN_TYPE:
                reading.counts["lesions of unknown type"] += 1
            elif record.optional("Possibly_noisy") == "1":
                reading.counts["possibly noisy lesions"] += 1
            else:
                slices.setdefault(name, []).append(record)
    return slices


def _slice(name: str, records: list[Record], raw: Path) -> RowGroup:
    where = records[0].where
    objects = [
        LabelledBox(
            as_box(_numbers(record, "Bounding_boxes", 4), where=record.where),
            record.choice("Coarse_lesion_type", LESION_TYPES),
        )
        for record in records
    ]
    low, high = _numbers(records[0], "DICOM_windows", 2)
    if not low < high:
        raise DataError(f"{where}: DICOM_windows {low:g}, {high:g} is empty")
    data = _windowed(_find_slice(name, raw, where=where), low, high, where=where)
    fields = {"id": name, "objects": format_objects(objects), "image_name": name}
    series = name.rpartition("_")[0]
    return RowGroup(name, (Row(fields, data, where),), group=series.partition("_")[0])


def _numbers(record: Record, column: str, count: int) -> list[float]:
    text = record.text(column)
    try:
        numbers = [float(part) for part in text.strip("[]").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise DataError(f"{record.where}: {column} is {text!r}, not {count} numbers")
    return numbers


def _find_slice(name: str, raw: Path, *, where: str) -> Path:
    """Find ``000001_01_01_109.png`` as it is, or as ``000001_01_01/109.png``."""
    series, _, number = name.rpartition("_")
    for folder in SLICE_FOLDERS:
        for path in (raw / folder / name, raw / folder / series / number):
            if path.is_file():
                return path
    raise DataError(f"{where}: no image {series}/{number} in {raw / SLICE_FOLDERS[0]}")


def _windowed(path: Path, low: float, high: float, *, where: str) -> bytes:
    """Return a slice of 16 bits as a PNG of 8, with ``low`` to ``high`` HU from black to white."""
    where = f"{where}: {path.name}"
    data = read_image_file(path, where=where)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            check_size(*image.size, where=where)
            if not image.mode.startswith("I"):
                raise DataError(f"{where}: not a PNG of 16 bits")
            values = np.asarray(image).astype(np.float32) - HU_OFFSET
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise almost anything on damaged input.
        raise DataError(f"{where}: damaged image ({error})") from error
    return encode_png(stretch(values, low, high))


# OIA-DDR

DDR_FOLDER = "lesion_detection"
DDR_SPLITS = ("train", "valid")
DDR_LABELS = {
    "ma": "microaneurysm",
    "he": "hemorrhage",
    "ex": "hard exudate",
    "se": "soft exudate",
}
ANNOTATIONS_AT_ONCE = 200


def plan_ddr(raw: Path) -> list[Work]:
    """Return the annotation files of training and validation in batches."""
    base = _ddr_base(raw)
    paths = []
    for split in DDR_SPLITS:
        if (base / DDR_FOLDER / split).is_dir():
            paths += files_below(base / DDR_FOLDER / split, (".xml",), what="annotations")
    if not paths:
        listed = " or ".join(f"{DDR_FOLDER}/{split}/" for split in DDR_SPLITS)
        raise DataError(f"{raw} is not the OIA-DDR release: no {listed} in it")
    return Work.of_batches(paths, raw, size=ANNOTATIONS_AT_ONCE)


def read_ddr(work: Work, reading: Reading) -> Iterator[RowGroup]:
    """Yield a document per annotated photograph."""
    for path in work.files:
        with reading.skipped.catching():
            row = _annotated(path, _ddr_base(reading.raw))
            if row is None:
                reading.counts["without lesion"] += 1
            else:
                yield RowGroup(row.fields["id"], (row,))


def _ddr_base(raw: Path) -> Path:
    return raw / "DDR-dataset" if (raw / "DDR-dataset").is_dir() else raw


def _annotated(path: Path, base: Path) -> Row | None:
    with open_bytes(path) as stream:
        elements = xml.iterate(stream, ("annotation",), roots=("annotation",), where=str(path))
        annotation = next(elements)
        objects = [
            _marked(entry, where=f"{path}: object {number}")
            for number, entry in enumerate(annotation.findall("object"), start=1)
        ]
    if not objects:
        return None
    split, stem = path.parent.name, path.stem
    folders = (
        base / "lesion_segmentation" / split / "image",
        base / DDR_FOLDER / split / "image",
        base / DDR_FOLDER / split,
        base / split,
        base / "DR_grading" / split,
    )
    candidates = (folder / f"{stem}.jpg" for folder in folders)
    image = next((candidate for candidate in candidates if candidate.is_file()), None)
    if image is None:
        raise DataError(f"{path}: no image {stem}.jpg in {folders[0]}")
    fields = {"id": stem, "objects": format_objects(objects), "image_name": image.name}
    return Row(fields, image, str(path))


def _marked(entry: Element, *, where: str) -> LabelledBox:
    name = clean_text(entry.findtext("name") or "")
    label = DDR_LABELS.get(name.lower())
    if label is None:
        raise DataError(f"{where}: name is {name!r}, must be one of {', '.join(DDR_LABELS)}")
    corners = []
    for side in ("xmin", "ymin", "xmax", "ymax"):
        text = entry.findtext(f"bndbox/{side}") or ""
        try:
            corners.append(float(text))
        except ValueError as error:
            raise DataError(f"{where}: {side} is {text!r}, not a number") from error
    return LabelledBox(as_box(corners, where=where), label)


CORPORA = (
    Corpus(
        name="deeplesion",
        title="DeepLesion: CT slices with boxes around lesions",
        kind="detection",
        source="https://nihcc.app.box.com/v/DeepLesion",
        licence="terms of the NIH Clinical Center: cite the publication, do not re-identify",
        plan=plan_deep_lesion,
        read=read_deep_lesion,
        cleaning=(
            "slices shown in the window that the table names, as 8-bit PNG",
            "lesions without a type, and those marked as possibly noisy, are left out",
        ),
    ),
    Corpus(
        name="oia-ddr",
        title="OIA-DDR: fundus photographs with boxes around lesions",
        kind="detection",
        source="https://github.com/nkicsl/DDR-dataset",
        licence="research use, as stated in the repository",
        plan=plan_ddr,
        read=read_ddr,
        cleaning=(
            "labels written out (ma: microaneurysm, he: hemorrhage, ex: hard exudate, se: soft "
            "exudate)",
            "photographs without a marked lesion are left out",
        ),
    ),
)
