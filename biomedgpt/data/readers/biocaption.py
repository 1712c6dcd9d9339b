"""IU X-ray and PEIR Gross, as bioCaption lays them out, and the Open-i release of IU X-ray.

Expected layout of bioCaption, in the raw folder or in a folder ``iu_xray`` or ``peir_gross`` in
it; lines are file name TAB caption, without a header::

    iu_xray_images/*.png      or  peir_gross_images/*.jpg
    train_images.tsv
    test_images.tsv

Expected layout of Open-i::

    NLMCXR_png/CXR*.png       or  CXR*.png, as the archive has no folder of its own
    ecgen-radiology/*.xml     or  NLMCXR_reports/ecgen-radiology/*.xml

Of an Open-i release the captions and the test set are made as bioCaption makes them.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from biomedgpt.data.raw.caption_rows import CAPTION_CLEANING, caption_row, plain_name
from biomedgpt.data.raw.tables import read_lines
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

BIOCAPTION = "https://github.com/nlpaueb/bioCaption"
OPEN_I = "https://openi.nlm.nih.gov/faq"
TRAIN_FILE, TEST_FILE = "train_images.tsv", "test_images.tsv"
IMAGES = "iu_xray_images"
XML_FOLDERS = ("NLMCXR_reports/ecgen-radiology", "ecgen-radiology", "NLMCXR_reports")
PNG_FOLDERS = ("NLMCXR_png", IMAGES, ".")
BIOCAPTION_SEED = 42
PEIR_TRAIN_TENTHS = 8
"""Tenths of the list of training images that PEIR Gross is trained on; the rest validates."""


def read_iu_xray(release: Release) -> RawDataset:
    """Read IU X-ray in either layout.

    Raises:
        DataError: neither layout is there, or a row is bad.
    """
    folder = release.base("iu_xray")
    reports = next((folder / name for name in XML_FOLDERS if (folder / name).is_dir()), None)
    if reports is not None and not (folder / TRAIN_FILE).exists():
        cases = dict(_open_i_cases(reports, _open_i_images(folder), release.skipped))
        rest, test = _biocaption_split(cases)
        layout = "Open-i"
    else:
        source = f"{BIOCAPTION}, or both archives of Open-i from {OPEN_I}"
        rest, test = _biocaption_lists(release, folder, IMAGES, source=source)
        layout = "bioCaption"
    return RawDataset(
        splits=release.hold_out(rest, test, group=_report),
        cleaning=CAPTION_CLEANING,
        preparation={"layout": layout},
    )


def read_peir_gross(release: Release) -> RawDataset:
    """Read PEIR Gross.

    Raises:
        DataError: files are missing, or a row is bad.
    """
    rows, test = _biocaption_lists(release, release.base("peir_gross"), "peir_gross_images")
    border = len(rows) * PEIR_TRAIN_TENTHS // 10
    return RawDataset(
        splits={"train": rows[:border], "valid": rows[border:], "test": test},
        cleaning=CAPTION_CLEANING,
    )


def _biocaption_lists(
    release: Release, folder: Path, images: str, *, source: str = ""
) -> list[list[Row]]:
    """Return the rows for training and for testing, after a look at the whole release."""
    release.require_files([f"{images}/", TRAIN_FILE, TEST_FILE], folder=folder, source=source)
    return [
        _listed(folder / name, folder / images, release.skipped) for name in (TRAIN_FILE, TEST_FILE)
    ]


def _open_i_images(folder: Path) -> Path:
    """Return the folder with the images of an Open-i release."""
    for name in PNG_FOLDERS:
        if next((folder / name).glob("CXR*.png"), None) is not None:
            return folder / name
    raise DataError(
        f"{folder} is not the Open-i chest X-ray release: no {PNG_FOLDERS[0]}/CXR*.png; get both "
        f"the PNG images and the reports from {OPEN_I}"
    )


def _listed(path: Path, images: Path, skipped: Skipped) -> list[Row]:
    """Return a row per image of a list; an image on several lines has several captions."""
    captions: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for where, line in read_lines(path):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        with skipped.catching():
            if not tab:
                raise DataError(f"{where}: no tab between file name and caption")
            name = plain_name(name.strip(), where=where)
            captions.setdefault(name, []).append(caption)
            first.setdefault(name, where)

    def parse(name: str) -> Row:
        image = images / name
        return caption_row(image.stem, captions[name], image, where=first[name])

    return list(good_rows(captions, parse, skipped))


def _open_i_cases(reports: Path, images: Path, skipped: Skipped) -> Iterator[tuple[str, list[Row]]]:
    """Yield (file name, a row per image) of the Open-i reports that bioCaption uses.

    These are the ones with an image, findings and an impression; the caption is the impression
    and then the findings.
    """
    for path in sorted(reports.glob("*.xml")):
        with skipped.catching():
            root = _parse_xml(path)
            sections = {
                clean_text(part.get("Label", "")).upper(): "".join(part.itertext())
                for part in root.iter("AbstractText")
            }
            impression = clean_text(sections.get("IMPRESSION", ""))
            findings = clean_text(sections.get("FINDINGS", ""))
            names = [image.get("id", "") for image in root.iter("parentImage")]
            if not (names and impression and findings):
                continue
            rows = [
                caption_row(
                    plain_name(name, where=str(path)),
                    [f"{impression} {findings}"],
                    images / f"{name}.png",
                    where=f"{path}: image {name}",
                )
                for name in dict.fromkeys(names)
            ]
            yield path.name, rows


def _parse_xml(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: not readable as XML ({error})") from error
    if root.find("MedlineCitation") is None:
        raise DataError(f"{path}: no MedlineCitation (is this an Open-i report?)")
    return root


def _biocaption_split(cases: dict[str, list[Row]]) -> tuple[list[Row], list[Row]]:
    """Split reports into (80 % for training, 20 % for test) with bioCaption's own draw."""
    order = list(cases)
    random.Random(BIOCAPTION_SEED).shuffle(order)
    border = int(len(order) * 0.8)
    train = [row for name in order[:border] for row in cases[name]]
    test = [row for name in order[border:] for row in cases[name]]
    return train, test


def _report(row: Row) -> str:
    """Return the report that an image belongs to: ``CXR1`` of ``CXR1_1_IM-0001-3001``."""
    return row.fields["id"].split("_")[0]


SPECS = (
    DatasetSpec(
        name="iu-xray",
        title="IU X-ray: chest X-rays of Indiana University with impression and findings",
        task="captioning",
        source=OPEN_I,
        licence="CC BY-NC-ND 4.0, as stated in the files of the reports",
        read=read_iu_xray,
        valid_fraction=0.1,
        published=(PublishedResult("BiomedGPT-B", "cider_d", 0.401, NATURE_MEDICINE),),
    ),
    DatasetSpec(
        name="peir-gross",
        title="PEIR Gross: photographs of gross pathology with a description",
        task="captioning",
        source=BIOCAPTION,
        licence="none named; the terms of the PEIR Digital Library apply",
        read=read_peir_gross,
        published=(PublishedResult("BiomedGPT-B", "cider_d", 1.227, NATURE_MEDICINE),),
    ),
)
