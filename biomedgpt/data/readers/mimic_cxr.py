"""MIMIC-CXR: reports, and images of MIMIC-CXR-JPG, to summaries and captions.

Expected layout of the raw folder; each part may also lie in a folder inside it, such as
``mimic-cxr-reports/`` and ``mimic-cxr-jpg/``::

    files/p10/p10000032/s50414267.txt                mimic-cxr-reports.zip, extracted
    mimic-cxr-2.0.0-split.csv                        or .csv.gz
    mimic-cxr-2.0.0-metadata.csv                     or .csv.gz; captions only
    files/p10/p10000032/s50414267/<dicom_id>.jpg     captions only

A study is a row where its report has what the task needs: findings and impression for a summary,
findings and a frontal image for a caption. The splits are the official ones, by patient.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from biomedgpt.data.raw.caption_rows import CAPTION_CLEANING, caption_row
from biomedgpt.data.raw.tables import Record, read_csv, read_text
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

REPORTS_SOURCE = "https://physionet.org/content/mimic-cxr/"
IMAGES_SOURCE = "https://physionet.org/content/mimic-cxr-jpg/"
SPLIT_TABLE, METADATA_TABLE = "mimic-cxr-2.0.0-split.csv", "mimic-cxr-2.0.0-metadata.csv"
FILES = "files"
SPLITS = {"train": "train", "validate": "valid", "test": "test"}
FRONTAL_VIEWS = ("PA", "AP")
"""Views a caption is learned from, the preferred one first."""

# Headings of the reports, as the official section parser groups them.
_HEADING = re.compile(r"\n ([A-Z ()/,-]+):\s")
_IMPRESSION_TITLES = {
    "conclusion",
    "ndication",
    "impresson",
    "imprression",
    "imoression",
    "impressoin",
    "imprssion",
    "impresion",
    "imperssion",
    "mpression",
    "impession",
}
_FINDINGS_TITLES = {
    "finding",
    "findins",
    "findindgs",
    "findgings",
    "findngs",
    "findnings",
    "finidngs",
}
_OTHER_WORDS = ("history", "comparison", "addendum")
_STUDY_WORDS = (
    "chest",
    "portable",
    "pa and lat",
    "lateral and pa",
    "ap and lateral",
    "lateral and ap",
    "frontal and",
    "two views",
    "frontal view",
    "pa view",
    "ap view",
    "one view",
    "lateral view",
    "bone window",
    "frontal upright",
    "frontal semi-upright",
    "ribs",
)


@dataclass(frozen=True, slots=True)
class _Study:
    """A study, from its first line in the split table."""

    number: str
    patient: str
    where: str

    @property
    def folder(self) -> str:
        """Its folder of images, relative to the release; the report is beside it, as .txt."""
        return f"{FILES}/p{self.patient[:2]}/p{self.patient}/s{self.number}"


def read_summaries(release: Release) -> RawDataset:
    """Read findings and impressions.

    Raises:
        DataError: files are missing, or a row is bad.
    """
    tree = _Tree(release)
    studies, found = _studies(tree, release.skipped)

    def rows(split: str) -> Iterator[Row]:
        for study, sections, where in _reports(tree, studies[split], release.skipped):
            if sections["findings"] and sections["impression"]:
                fields = {
                    "id": f"s{study.number}",
                    "source": sections["findings"],
                    "summary": sections["impression"],
                    "patient": study.patient,
                }
                yield Row(fields, where=where)

    return RawDataset(
        splits={split: rows(split) for split in SPLITS.values()},
        cleaning=CAPTION_CLEANING,
        found=found,
    )


def read_captions(release: Release) -> RawDataset:
    """Read findings and one frontal image per study.

    Raises:
        DataError: files are missing, or a row is bad.
    """
    tree = _Tree(release)
    studies, found = _studies(tree, release.skipped)
    frontal = _frontal_images(tree.table(METADATA_TABLE), release.skipped)

    def rows(split: str) -> Iterator[Row]:
        wanted = [study for study in studies[split] if study.number in frontal]
        for study, sections, where in _reports(tree, wanted, release.skipped):
            if sections["findings"]:
                image = tree.path(f"{study.folder}/{frontal[study.number]}.jpg")
                captions = [sections["findings"]]
                row_id, patient = f"s{study.number}", study.patient
                yield caption_row(row_id, captions, image, where=where, patient=patient)

    return RawDataset(
        splits={split: rows(split) for split in SPLITS.values()},
        cleaning=CAPTION_CLEANING,
        found=found,
    )


class _Tree:
    """Finds the parts of the release in the raw folder and in the folders right inside it."""

    def __init__(self, release: Release) -> None:
        self.release = release
        raw = release.folder
        inside = sorted(path for path in raw.iterdir() if path.is_dir() and path.name != FILES)
        self.folders = [raw, *inside]
        self.trees = [folder for folder in self.folders if (folder / FILES).is_dir()]
        if not self.trees:
            raise DataError(
                f"{raw} is not the MIMIC-CXR release: missing {FILES + '/'!r}; get the reports "
                f"from {REPORTS_SOURCE} and extract them"
            )

    def table(self, name: str) -> Path:
        """Return a table, gzipped or not."""
        for folder in self.folders:
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    return path
        problem = f"missing {name!r} (or {name + '.gz'!r})"
        raise self.release.refused(problem, source=IMAGES_SOURCE)

    def path(self, name: str) -> Path:
        """Return where a file of ``files/`` is, or where it was looked for first."""
        paths = [tree / name for tree in self.trees]
        return next((path for path in paths if path.exists()), paths[0])


def _studies(tree: _Tree, skipped: Skipped) -> tuple[dict[str, list[_Study]], dict[str, int]]:
    """Return the studies of each split, and how many studies and images the table lists."""
    path = tree.table(SPLIT_TABLE)
    columns = ("dicom_id", "study_id", "subject_id", "split")
    studies: dict[str, dict[str, _Study]] = {split: {} for split in SPLITS.values()}
    split_of: dict[str, str] = {}  # of a study
    images = 0
    for record in read_csv(path, columns=columns, skipped=skipped):
        images += 1
        with skipped.catching():
            study = _Study(_digits(record, "study_id"), _digits(record, "subject_id"), record.where)
            split = record.choice("split", SPLITS)
            known = split_of.setdefault(study.number, split)
            if known != split:
                raise DataError(
                    f"{record.where}: study {study.number} is in split {split} here and in split "
                    f"{known} before"
                )
            # A dictionary, as the images of a study need not follow each other.
            studies[split].setdefault(study.number, study)
    listed = {split: list(several.values()) for split, several in studies.items()}
    return listed, {"studies": len(split_of), "images": images}


def _digits(record: Record, name: str) -> str:
    """Return a number that becomes part of a path; DataError when it is none."""
    text = record.text(name)
    if not (text.isascii() and text.isdigit()):
        raise DataError(f"{record.where}: {name} {text!r} is not a number")
    return text


def _frontal_images(path: Path, skipped: Skipped) -> dict[str, str]:
    """Return the frontal image of each study: PA before AP, the first of equals."""
    best: dict[str, tuple[int, str]] = {}
    for record in read_csv(path, columns=("dicom_id", "study_id", "ViewPosition"), skipped=skipped):
        with skipped.catching():
            view = record.optional("ViewPosition")
            if view not in FRONTAL_VIEWS:
                continue
            dicom = record.text("dicom_id")
            if not re.fullmatch(r"[0-9a-f-]+", dicom):
                raise DataError(f"{record.where}: dicom_id {dicom!r} is not a DICOM id")
            rank = FRONTAL_VIEWS.index(view)
            study = _digits(record, "study_id")
            if study not in best or rank < best[study][0]:
                best[study] = (rank, dicom)
    return {study: dicom for study, (_, dicom) in best.items()}


def _reports(
    tree: _Tree, studies: list[_Study], skipped: Skipped
) -> Iterator[tuple[_Study, Mapping[str, str], str]]:
    """Yield (study, its sections, report file) where the report can be read."""
    for study in studies:
        with skipped.catching():
            path = tree.path(f"{study.folder}.txt")
            if not path.is_file():
                raise DataError(f"{study.where}: no report {path}")
            yield study, report_sections(read_text(path)), str(path)


def report_sections(text: str) -> dict[str, str]:
    """Return the findings and the impression of a report, "" where there are none.

    Follows the official section parser: a heading is in capitals, begins a line with a space
    before it and ends with a colon; of several sections of a kind the last one that is not empty
    counts. White space is collapsed.
    """
    text = text.replace("\r\n", "\n")
    found = {"findings": "", "impression": ""}
    headings = list(_HEADING.finditer(text))
    bounds = [*(heading.start() for heading in headings), len(text)]
    for heading, end in zip(headings, bounds[1:], strict=True):
        kind = _kind(heading[1])
        content = clean_text(text[heading.end() : end])
        if kind in found and content:
            found[kind] = content
    return found


def _kind(title: str) -> str:
    """Return what a section with this heading is."""
    title = title.lower().strip()
    if title in _IMPRESSION_TITLES or "impression" in title:
        return "impression"
    if title in _FINDINGS_TITLES or "findings" in title:
        return "findings"
    if any(word in title for word in _OTHER_WORDS):
        return "other"
    # A heading that names the examination, such as CHEST, TWO VIEWS, stands for the findings.
    return "findings" if any(words in title for words in _STUDY_WORDS) else "other"


_spec = partial(
    DatasetSpec,
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    expected={"studies": 227_827, "images": 377_110},
)
SPECS = (
    _spec(
        name="mimic-cxr-summary",
        title="MIMIC-CXR: the impression of a chest X-ray report from its findings",
        task="summarization",
        source=REPORTS_SOURCE,
        read=read_summaries,
        published=(
            PublishedResult("BiomedGPT-B", "rouge_l", 0.444, NATURE_MEDICINE),
            PublishedResult("prior best there", "rouge_l", 0.445, NATURE_MEDICINE),
        ),
    ),
    _spec(
        name="mimic-cxr-caption",
        title="MIMIC-CXR: the findings of a chest X-ray report from the image",
        task="captioning",
        source=IMAGES_SOURCE,
        read=read_captions,
        published=(PublishedResult("BiomedGPT-B", "meteor", 0.159, NATURE_MEDICINE),),
    ),
)
