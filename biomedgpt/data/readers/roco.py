"""ROCO: the official repository with its downloaded images to rows.

Expected layout of the raw folder (or of a folder ``data`` or ``all_data`` in it)::

    train/radiology/captions.txt           id TAB caption
    train/radiology/images/<id>.jpg        written by the repository's scripts/fetch.py
    train/radiology/licences.txt           ROCO_ID,PMC_ID,CC; only needed for older downloads
    validation/radiology/..., test/radiology/...

Only radiology images are taken. Earlier versions of the download script named images after their
article (``PMC4608653_cro-0008-0385-g01.jpg``); they are found through ``licences.txt``.
"""

from collections.abc import Iterator
from pathlib import Path

from biomedgpt.data.raw.caption_rows import CAPTION_CLEANING, caption_row, plain_name
from biomedgpt.data.raw.tables import read_csv, read_lines
from biomedgpt.data.rows import Row
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError

SOURCE = "https://github.com/razorx89/roco-dataset"
FOLDERS = {"train": "train", "valid": "validation", "test": "test"}
CAPTIONS, IMAGES, LICENCES = "captions.txt", "images", "licences.txt"


def read(release: Release) -> RawDataset:
    """Read the official layout.

    Raises:
        DataError: a split is missing, or a row is bad, such as one whose image is not there.
    """
    root = release.base("data", "all_data", having="train")
    level = "radiology/" if (root / "train" / "radiology").is_dir() else ""
    needed = [f"{folder}/{level}{CAPTIONS}" for folder in FOLDERS.values()]
    needed += [f"{folder}/{level}{IMAGES}/" for folder in FOLDERS.values()]
    release.require_files(needed, folder=root)
    return RawDataset(
        splits={split: _rows(root / folder / level, release) for split, folder in FOLDERS.items()},
        cleaning=CAPTION_CLEANING,
    )


def _rows(folder: Path, release: Release) -> Iterator[Row]:
    """Yield the rows of one split."""
    images = folder / IMAGES
    old_names: dict[str, str] = {}
    if (folder / LICENCES).is_file():
        columns = ("ROCO_ID", "PMC_ID")
        for record in read_csv(folder / LICENCES, columns=columns, skipped=release.skipped):
            old_names[record.optional("ROCO_ID")] = record.optional("PMC_ID")

    def parse(line: tuple[str, str]) -> Row:
        where, text = line
        name, tab, caption = text.partition("\t")
        name = plain_name(name.strip(), where=where)
        if not tab:
            raise DataError(f"{where}: no tab between id and caption")
        path = images / f"{name}.jpg"
        if name in old_names and not path.exists():
            older = images / plain_name(old_names[name], where=where)
            path = older if older.exists() else path
        return caption_row(name, [caption], path, where=where)

    lines = ((where, text) for where, text in read_lines(folder / CAPTIONS) if text.strip())
    return release.rows(lines, parse)


SPEC = DatasetSpec(
    name="roco",
    title="ROCO: radiology figures of open-access articles with their captions",
    task="captioning",
    source=SOURCE,
    licence="per image, as its article; listed in licences.txt",
    read=read,
    expected={"valid": 8180, "test": 8179},
)
