"""MeQSum: the workbook of the official repository to rows.

Expected layout of the raw folder::

    MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx    columns File, CHQ, Summary; 1,000 rows

The release has no splits. The published BiomedGPT tables are the workbook in its own order: the
first 800 rows train, the next 100 valid, the last 100 test; so are these.
"""

import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from xml.etree.ElementTree import ParseError

from biomedgpt.data.raw.tables import Record
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError, optional_import

WORKBOOK = "MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx"
COLUMNS = ("File", "CHQ", "Summary")
SOURCE = "https://github.com/abachaa/MeQSum"
_MOST_BYTES = 1 << 28


def read(release: Release) -> RawDataset:
    """Read the official workbook.

    Raises:
        ConfigError: openpyxl is not installed.
        DataError: the workbook is missing or another one, or a row is bad.
    """
    release.require_files([WORKBOOK])
    records = list(_records(release.folder / WORKBOOK))
    seen: set[str] = set()  # ids are unique in the whole workbook

    def parse(record: Record) -> Row:
        fields = {
            "id": clean_text(record.text("File")),
            "source": clean_text(record.text("CHQ")),
            "summary": clean_text(record.text("Summary")),
        }
        if fields["id"] in seen:
            raise DataError(f"{record.where}: File {fields['id']} was there before")
        seen.add(fields["id"])
        return Row(fields, where=record.where)

    # A row's split depends on where it stands, not on which rows before it were good.
    valid, test = len(records) * 8 // 10, len(records) * 9 // 10
    parts = {"train": records[:valid], "valid": records[valid:test], "test": records[test:]}
    return RawDataset(
        splits={name: list(release.rows(part, parse)) for name, part in parts.items()},
        cleaning=("white space, line ends included, collapsed to one space and stripped",),
        found={"questions": len(records)},
    )


def _records(path: Path) -> Iterator[Record]:
    """Yield the rows of the first sheet; the hundreds of empty columns beside it are not read."""
    with optional_import("Excel workbooks need openpyxl; run: pip install openpyxl"):
        import openpyxl
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:  # its texts are read at once
            raise ValueError(f"it unfolds to {size:,} bytes, at most {_MOST_BYTES:,}")
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as workbook:
            sheet = workbook.worksheets[0]
            first = next(sheet.iter_rows(values_only=True), ())
            header = [value.strip() if isinstance(value, str) else "" for value in first]
            places = {name: header.index(name) for name in COLUMNS if name in header}
            missing = [name for name in COLUMNS if name not in places]
            if missing:
                names = ", ".join(filter(None, header)) or "nothing"
                raise DataError(
                    f"{path}: no column {' and '.join(map(repr, missing))}; its first row has "
                    f"{names}"
                )
            rows = sheet.iter_rows(min_row=2, max_col=max(places.values()) + 1, values_only=True)
            for number, cells in enumerate(rows, start=1):
                values = {name: cells[place] for name, place in places.items()}
                if any(value not in (None, "") for value in values.values()):
                    yield Record(f"{path}: row {number}", values)
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, ParseError) as error:
        raise DataError(
            f"{path}: not readable as an Excel workbook ({error}); get it again from {SOURCE}"
        ) from error


SPEC = DatasetSpec(
    name="meqsum",
    title="MeQSum: summaries of consumers' health questions",
    task="summarization",
    source=SOURCE,
    licence="CC BY 4.0",
    read=read,
    expected={"questions": 1000, "train": 800, "valid": 100, "test": 100},
    published=(
        PublishedResult("BiomedGPT-B", "rouge_l", 0.523, NATURE_MEDICINE),
        PublishedResult("prior best there", "rouge_l", 0.532, NATURE_MEDICINE),
    ),
)
