"""SEER treatment suggestion: a case listing exported from SEER*Stat to rows.

Expected in the raw folder: one table (``.csv``, ``.txt``, ``.tsv`` or ``.gz``) with a row per
tumour and the variables' names before the data, labels in quotes or not, commas, semicolons or tabs
between. Without names, SEER*Stat's export dictionary (``.dic``) must lie beside the table. Columns
that must be there, under the names of any SEER submission (years in parentheses differ):

* ``Patient ID``
* ``RX Summ--Surg Prim Site ...`` (one column, or two since 2023)
* ``Radiation recode ...``
* ``Chemotherapy recode ...``

Which variables and classes the reference used is not known; those here are our own.
"""

import csv
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from biomedgpt.data.raw.spool import RowSpool, SpooledRow
from biomedgpt.data.raw.tables import Record, open_table, read_csv, read_lines
from biomedgpt.data.rows import Row, clean_text, make_folds
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError, machine_fault

PATIENT = "Patient ID"
SURGERY = "RX Summ--Surg Prim Site"
RADIATION = "Radiation recode"
CHEMOTHERAPY = "Chemotherapy recode"
TREATMENTS = ("surgery", "radiation", "chemotherapy")

OUTCOME_WORDS = (
    # What happened to the patient.
    *(
        "survival",
        "vital status",
        "death",
        "dead",
        "alive",
        "cod to site",
        "follow-up",
        "follow up",
    ),
    *("reporting source", "total number of"),
    # What was done, and what is only known because of it.
    *("rx summ", "surg", "radiation", "chemotherapy", "therapy", "treatment", "sentinel"),
    *("regional nodes", "scope reg", "patholog", "path ", "(path", "post therapy"),
)
"""A column whose name has one of these words would give the answer away: not in the record."""

_TABLES = (".csv", ".txt", ".tsv", ".gz")
_BLANK = ("", "blank(s)")
_UNKNOWN = (*_BLANK, "unknown", "not available")
_GIVEN = {
    RADIATION: {
        "beam radiation": True,
        "radioactive implants": True,
        "radioactive implants (includes brachytherapy)": True,
        "radioisotopes": True,
        "combination of beam with implants or isotopes": True,
        "radiation, nos method or source not specified": True,
        "other radiation": True,
        "none/unknown": False,
        "none": False,
        "refused": False,
        "recommended, unknown if administered": False,
    },
    CHEMOTHERAPY: {"yes": True, "no/unknown": False, "no": False},
}


def _treatment(given: Sequence[bool]) -> str:
    names = [name for name, was_given in zip(TREATMENTS, given, strict=True) if was_given]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:]))) or "none"


ANSWERS = tuple(_treatment(given) for given in product((False, True), repeat=len(TREATMENTS)))
"""All combinations of the three, "none" first."""


@dataclass(frozen=True)
class _CaseTable:
    path: Path
    delimiter: str
    names: list[str]
    header: list[str] | None
    """Names of a table that has none of its own."""

    def columns(self, start: str) -> list[str]:
        """Return the columns whose name starts so."""
        return [name for name in self.names if name.casefold().startswith(start.casefold())]


def read(release: Release) -> RawDataset:
    """Read a case listing.

    Raises:
        DataError: no case listing, one without the columns needed, or a row is bad.
    """
    spec, skipped = release.spec, release.skipped
    table = _find_table(release.folder, source=spec.source)
    parser = _CaseParser(table, source=spec.source)
    spool = RowSpool()
    cases: list[SpooledRow] = []
    tumours: Counter[str] = Counter()
    unknown = 0
    rows = read_csv(table.path, delimiter=table.delimiter, header=table.header, skipped=skipped)
    for row in rows:
        with skipped.catching():
            patient, record, answer = parser.parse(row)
            if answer is None:
                unknown += 1
                continue
            tumours[patient] += 1
            fields = {
                "id": f"{patient}-{tumours[patient]}",
                "record": record,
                "answer": answer,
                "patient": patient,
            }
            cases.append(spool.add(Row(fields, where=row.where)))
    if len(tumours) < spec.folds:
        raise DataError(
            f"{table.path}: {len(tumours)} patients whose treatment is known cannot be split into "
            f"{spec.folds} folds; export more cases"
        )
    seed = release.options.seed
    folds = make_folds(cases, spec.folds, seed=seed, group=lambda case: case.patient)
    return RawDataset(
        splits={name: spool.rows(part) for name, part in folds.items()},
        answers=ANSWERS,
        cleaning=(
            "the record is 'name: value; name: value' of all columns in their order, white space "
            "collapsed",
            "empty and 'Blank(s)' values left out, and all columns about outcome or treatment",
            "treatment from surgery of the primary site, radiation and chemotherapy, each given or "
            "not",
        ),
        preparation={
            "record_columns": "; ".join(parser.shown),
            "columns_left_out": "; ".join(parser.hidden),
            "unknown_treatment": unknown,
        },
    )


def _find_table(raw: Path, *, source: str) -> _CaseTable:
    """Find the one file that has (or whose dictionary has) a column for the patient."""
    files = [path for path in sorted(raw.iterdir()) if path.suffix.lower() in _TABLES]
    tables = [table for path in files if path.is_file() and (table := _look_at(path))]
    if not tables:
        raise DataError(
            f"{raw} has no case listing of SEER*Stat: no {', '.join(_TABLES)} file with a column "
            f"{PATIENT!r} (export it with the variables' names, or add the .dic file); access: "
            f"{source}"
        )
    if len(tables) > 1:
        names = " and ".join(table.path.name for table in tables)
        raise DataError(f"{raw} has several case listings ({names}); leave one there")
    return tables[0]


def _look_at(path: Path) -> _CaseTable | None:
    """Tell the delimiter and the names of the columns from the first line."""
    try:
        with open_table(path) as file:
            line = file.readline(1 << 20).removeprefix("\ufeff")
        found = {mark: next(csv.reader([line], delimiter=mark), []) for mark in "\t;,"}
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        if machine_fault(error):
            raise
        return None  # whatever it is, it is no case listing
    delimiter = max(found, key=lambda one: len(found[one]))
    names = [name.strip() for name in found[delimiter]]
    if PATIENT in names:
        return _CaseTable(path, delimiter, names, None)
    names = _dictionary_names(path)
    return _CaseTable(path, delimiter, names, names) if PATIENT in names else None


def _dictionary_names(path: Path) -> list[str]:
    """Return the names in the export dictionary of a table, such as ``Var1Name=Patient ID``."""
    stem = path.with_suffix("")
    if stem.suffix.lower() in _TABLES:  # .txt.gz
        stem = stem.with_suffix("")
    dictionary = stem.with_name(f"{stem.name}.dic")
    if not dictionary.is_file():
        return []
    names = {}
    for _, line in read_lines(dictionary):
        match = re.fullmatch(r"Var(\d+)Name=(.+)", line.strip())
        if match:
            names[int(match[1])] = match[2].strip()
    return [names[number] for number in sorted(names)]


class _CaseParser:
    """Turns rows of one table into patient, record and treatment."""

    def __init__(self, table: _CaseTable, *, source: str) -> None:
        needed = (SURGERY, RADIATION, CHEMOTHERAPY)
        missing = [name for name in needed if not table.columns(name)]
        if missing:
            raise DataError(
                f"{table.path}: no column {' and '.join(map(repr, missing))}; radiation and "
                f"chemotherapy need the additional treatment fields: {source}"
            )
        self.surgery = table.columns(SURGERY)
        self.radiation = table.columns(RADIATION)[0]
        self.chemotherapy = table.columns(CHEMOTHERAPY)[0]
        others = [name for name in table.names if name and name != PATIENT]
        self.hidden = [name for name in others if _tells_outcome(name)]
        self.shown = [name for name in others if not _tells_outcome(name)]
        if not self.shown:
            raise DataError(f"{table.path}: no column that could describe the patient or tumour")

    def parse(self, row: Record) -> tuple[str, str, str | None]:
        """Return patient, record and treatment; None where the treatment is not known."""
        patient = row.text(PATIENT)
        values = ((name, clean_text(row.optional(name))) for name in self.shown)
        record = "; ".join(
            f"{name}: {value}" for name, value in values if value.casefold() not in _BLANK
        )
        if not record:
            raise DataError(f"{row.where}: empty record")
        given = (
            self._had_surgery(row),
            _was_given(row, self.radiation, _GIVEN[RADIATION]),
            _was_given(row, self.chemotherapy, _GIVEN[CHEMOTHERAPY]),
        )
        known = [one for one in given if one is not None]
        return patient, record, _treatment(known) if len(known) == len(given) else None

    def _had_surgery(self, row: Record) -> bool | None:
        """Read the code of the primary site's surgery; since 2023 it is like A300 or B300.

        00 is none, 98 a site that has no such surgery, 99 unknown.
        """
        for name in self.surgery:
            text = row.optional(name)
            if text.casefold() in _BLANK:
                continue
            match = re.fullmatch(r"(\d{1,2})|[AB](\d\d)\d", text)
            if match is None:
                raise DataError(f"{row.where}: {name} is {text!r}, must be like 00, 30 or A300")
            code = int(match[1] or match[2])
            return None if code == 99 else code not in (0, 98)
        return None


def _was_given(row: Record, name: str, meaning: Mapping[str, bool]) -> bool | None:
    """Read a label; years in parentheses and the dash that exports lose do not matter."""
    text = re.sub(r"[^ -~]+", " ", str(row.values[name]))
    label = clean_text(re.sub(r"\((\d{4}|IL or TX)[^)]*\)", "", text)).casefold()
    if label in _UNKNOWN:
        return None
    if label not in meaning:
        raise DataError(f"{row.where}: {name} is {text!r}, must be one of {', '.join(meaning)}")
    return meaning[label]


def _tells_outcome(name: str) -> bool:
    return any(word in name.casefold() for word in OUTCOME_WORDS)


SPEC = DatasetSpec(
    name="seer",
    title="SEER: which treatment a cancer registry's record is followed by",
    task="treatment_suggestion",
    access="registration",
    source="https://seer.cancer.gov/data/treatment.html",
    licence="SEER Research Data Use Agreement",
    read=read,
    published=(PublishedResult("BiomedGPT-B", "accuracy", 0.500, NATURE_MEDICINE, 0.053),),
    folds=10,
)
