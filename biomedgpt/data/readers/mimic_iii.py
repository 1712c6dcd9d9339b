"""MIMIC-III: mortality from admission notes, and summaries of radiology reports.

Expected anywhere in the raw folder (PhysioNet's own tree is
``physionet.org/files/mimiciii/1.4/``), also gzipped (``.csv.gz``)::

    NOTEEVENTS.csv                                 both datasets
    ADMISSIONS.csv                                 mortality
    mimic_train.csv, mimic_val.csv, mimic_test.csv mortality, optional: published patient lists

Notes are read once, row by row; those that are used wait in a temporary file until all patients
are known, since splits are by patient.
"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

from biomedgpt.data.raw.spool import RowSpool, SpooledRow, SpooledText, TextSpool
from biomedgpt.data.raw.tables import Record, check_text, read_csv
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

NOTE_COLUMNS = (
    *("ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CATEGORY"),
    *("DESCRIPTION", "ISERROR", "TEXT"),
)
ADMISSION_COLUMNS = ("SUBJECT_ID", "HADM_ID", "ADMISSION_TYPE", "HOSPITAL_EXPIRE_FLAG")
LISTS = {"train": "mimic_train.csv", "valid": "mimic_val.csv", "test": "mimic_test.csv"}
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}
"""Of the patients, where there are no lists."""

SECTIONS = {
    "CHIEF COMPLAINT": "chief complaint:",
    "PRESENT ILLNESS": "present illness:",
    "MEDICAL HISTORY": "medical history:",
    "MEDICATION ON ADMISSION": "medications on admission:",
    "ALLERGIES": "allergies:",
    "PHYSICAL EXAM": "physical exam:",
    "FAMILY HISTORY": "family history:",
    "SOCIAL HISTORY": "social history:",
}
"""What is known at admission: name in the note, and heading in discharge summaries."""
MAIN_SECTIONS = ("CHIEF COMPLAINT", "PRESENT ILLNESS", "MEDICAL HISTORY")
DIED = {"0": "no", "1": "yes"}
FEWEST_WORDS = {"findings": 10, "impression": 2}

MORTALITY_CLEANING = (
    "of discharge summaries only the eight sections known at admission, under their headings",
    "'patient died' and 'patient deceased' removed",
    "white space collapsed to one space and stripped",
)
SUMMARY_CLEANING = (
    "of radiology reports only the texts under FINDINGS and IMPRESSION",
    "page breaks inside a report and signatures after the impression removed",
    "white space collapsed to one space and stripped",
)

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # unlike lower(), keeps the length
# A section ends at an empty line followed by a heading: words without digits, dots and brackets.
_NEXT_HEADING = re.compile(r"\n\n[^\n\\().|\d]+:")
_DEATH = re.compile(r"patient (died|deceased)", re.IGNORECASE)
_PAGE_BREAK = re.compile(r"\(Over\).*?\(Cont\)", re.DOTALL)
_REPORT_HEADING = re.compile(r"^[ \t]*(FINDINGS|IMPRESSION)S?[ \t]*:", re.IGNORECASE | re.MULTILINE)
_AFTER_IMPRESSION = re.compile(
    r"^[ \t]*(?:[A-Z][A-Z /&-]{3,}:|_{5,}|\(Over\)|DR\. |Approved: |Imaging Lab:)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class _Note:
    admission: str
    date: str
    description: str
    text: SpooledText
    where: str


def read_mortality(release: Release) -> RawDataset:
    """Make admission notes as van Aken et al. (2021) did.

    Raises:
        DataError: a table is missing or of another release, or a row is bad.
    """
    notes_file, admissions_file = _tables(release, "NOTEEVENTS", "ADMISSIONS")
    lists = _patient_lists(release.folder)
    found: Counter[str] = Counter()
    admissions = _read_admissions(admissions_file, release.skipped, found)
    texts, spool = TextSpool(), RowSpool()
    notes = _discharge_summaries(notes_file, admissions, texts, release.skipped, found)
    items = []
    for admission, parts in notes.items():
        note = admission_note("\n\n".join(texts.get(part.text) for part in parts))
        if note:
            fields = {"id": admission, "note": note, **admissions[admission]}
            items.append(spool.add(Row(fields, where=parts[0].where)))
    _require(items, notes_file, what="discharge summary of an admission", release=release)
    split_of = lists or _split_patients(items, seed=release.options.seed)
    return RawDataset(
        splits=_splits(items, split_of, spool),
        answers=tuple(DIED.values()),
        cleaning=MORTALITY_CLEANING,
        found=found,
        preparation={
            "split": "published patient lists" if lists else "70/10/20 of the patients",
            "patients_in_no_list": len({i.patient for i in items} - split_of.keys()),
            "admissions_without_sections": len(notes) - len(items),
        },
    )


def read_summaries(release: Release) -> RawDataset:
    """Take findings and impressions out of radiology reports.

    Raises:
        DataError: the table is missing or of another release, or a row is bad.
    """
    (notes_file,) = _tables(release, "NOTEEVENTS")
    found: Counter[str] = Counter()
    spool = RowSpool()
    items = []
    for note in _notes(notes_file, "Radiology", release.skipped, found):
        parts = None
        if note.values["ISERROR"].strip() != "1":
            parts = findings_and_impression(note.values["TEXT"])
        if parts is None:
            continue
        with release.skipped.catching():
            check_text("".join(parts), where=f"{note.where}: TEXT")
            fields = {"id": note.text("ROW_ID"), "source": parts[0], "summary": parts[1]}
            fields["patient"] = note.text("SUBJECT_ID")
            items.append(spool.add(Row(fields, where=note.where)))
    _require(items, notes_file, what="radiology report", release=release)
    split_of = _split_patients(items, seed=release.options.seed)
    return RawDataset(
        splits=_splits(items, split_of, spool),
        cleaning=SUMMARY_CLEANING,
        found=found,
        preparation={
            "split": "70/10/20 of the patients",
            "reports_left_out": found["radiology reports"] - len(items),
        },
    )


def admission_note(summary: str) -> str:
    """Return what a discharge summary says that was known at admission.

    All headings are there, also those of sections that the summary lacks; "" where it has none of
    the main ones (complaint, illness, history).
    """
    summary = summary.replace("\r\n", "\n")
    lower = summary.translate(_LOWER)
    sections = {
        name: _section(summary, lower.find(heading) + len(heading)) if heading in lower else ""
        for name, heading in SECTIONS.items()
    }
    if not any(sections[name] for name in MAIN_SECTIONS):
        return ""
    note = " ".join(f"{name}: {text}" for name, text in sections.items())
    return clean_text(_DEATH.sub("", note))


def _section(summary: str, start: int) -> str:
    """Return the text from ``start`` to the next heading; "" where none follows."""
    end = _NEXT_HEADING.search(summary, start + 1)
    return "" if end is None else clean_text(summary[start : end.start()])


def findings_and_impression(report: str) -> tuple[str, str] | None:
    """Return the two sections of a radiology report.

    None unless it has one section of findings and then one impression, of 10 and 2 words or more.
    """
    report = _PAGE_BREAK.sub("", report.replace("\r\n", "\n"))
    report = report.partition("FINAL REPORT")[2] or report  # before it stands what was provisional
    headings = list(_REPORT_HEADING.finditer(report))
    if [heading[1].upper() for heading in headings] != ["FINDINGS", "IMPRESSION"]:
        return None
    impression = report[headings[1].end() :]
    end = _AFTER_IMPRESSION.search(impression)
    if end is not None:
        impression = impression[: end.start()]
    findings = clean_text(report[headings[0].end() : headings[1].start()])
    impression = clean_text(impression)
    enough = (
        len(findings.split()) >= FEWEST_WORDS["findings"]
        and len(impression.split()) >= FEWEST_WORDS["impression"]
    )
    return (findings, impression) if enough else None


def _tables(release: Release, *names: str) -> list[Path]:
    """Find tables anywhere in the raw folder; the ones that are not gzipped first."""
    found = []
    missing = []
    for name in names:
        files = (f"{name}.csv", f"{name}.csv.gz")
        paths = [
            path for path in sorted(release.folder.rglob(f"{name}.csv*")) if path.name in files
        ]
        found += paths[:1]
        missing += [] if paths else [" or ".join(files)]
    if missing:
        raise release.refused(f"no {', no '.join(missing)}")
    return found


def _require(items: list[SpooledRow], path: Path, *, what: str, release: Release) -> None:
    if not items:
        raise DataError(
            f"{path}: no {what} with the sections needed (the demo release has no notes); get the "
            f"whole one from {release.spec.source}"
        )


def _notes(path: Path, category: str, skipped: Skipped, found: Counter[str]) -> Iterator[Record]:
    """Yield the notes of one category; counts them and all of them in ``found``."""
    for record in read_csv(path, columns=NOTE_COLUMNS, skipped=skipped):
        found["notes"] += 1
        if record.values["CATEGORY"].strip() == category:
            found[f"{category.lower()} reports"] += 1
            yield record


def _read_admissions(
    path: Path, skipped: Skipped, found: Counter[str]
) -> dict[str, dict[str, str]]:
    """Return answer and patient of the admissions, newborns left out."""
    admissions: dict[str, dict[str, str]] = {}
    for record in read_csv(path, columns=ADMISSION_COLUMNS, skipped=skipped):
        found["admissions"] += 1
        with skipped.catching():
            admission = record.text("HADM_ID")
            if admission in admissions:
                raise DataError(f"{record.where}: admission {admission} was there before")
            patient = record.text("SUBJECT_ID")
            answer = record.choice("HOSPITAL_EXPIRE_FLAG", DIED)
            if record.text("ADMISSION_TYPE") != "NEWBORN":
                admissions[admission] = {"answer": answer, "patient": patient}
    return admissions


def _discharge_summaries(
    path: Path,
    admissions: Container[str],
    spool: TextSpool,
    skipped: Skipped,
    found: Counter[str],
) -> dict[str, list[_Note]]:
    """Return the discharge summaries and addenda by admission, in the order of their dates.

    Of equal texts the latest counts, and admissions without a report proper are left out. Notes
    without an admission or text are no error: the release has such.
    """
    latest: dict[bytes, _Note] = {}
    for record in _notes(path, "Discharge summary", skipped, found):
        text = record.values["TEXT"]
        with skipped.catching():
            admission = record.optional("HADM_ID").removesuffix(".0")
            if admission not in admissions or not text.strip():
                continue
            check_text(text, where=f"{record.where}: TEXT")
            date, description = record.text("CHARTDATE"), record.optional("DESCRIPTION")
            digest = hashlib.sha256(text.encode()).digest()
            before = latest.pop(digest, None)
            if before is None:
                note = _Note(admission, date, description, spool.add(text), record.where)
            elif before.date > date:
                note = before
            else:
                note = replace(before, admission=admission, date=date, description=description)
            latest[digest] = note
    notes: dict[str, list[_Note]] = {}
    for note in sorted(latest.values(), key=lambda note: note.date):
        notes.setdefault(note.admission, []).append(note)
    return {
        admission: parts
        for admission, parts in notes.items()
        if any(part.description == "Report" for part in parts)
    }


def _patient_lists(raw: Path) -> dict[str, str]:
    """Return the split of every patient in the published lists; empty without lists."""
    paths = {split: sorted(raw.rglob(name)) for split, name in LISTS.items()}
    missing = [LISTS[split] for split, found in paths.items() if not found]
    if len(missing) == len(LISTS):
        return {}
    if missing:
        raise DataError(
            f"{raw} has patient lists but not {' and '.join(missing)}; add what is missing, or "
            "remove them for a split of our own"
        )
    split_of: dict[str, str] = {}
    for split, found in paths.items():
        for record in read_csv(found[0], columns=("SUBJECT_ID",)):
            patient = record.text("SUBJECT_ID")
            if split_of.setdefault(patient, split) != split:
                raise DataError(f"{record.where}: patient {patient} is in two lists")
    return split_of


def _split_patients(items: Iterable[SpooledRow], *, seed: int) -> dict[str, str]:
    """Deal patients to the splits at random, by their shares."""
    order = sorted({item.patient for item in items})
    random.Random(seed).shuffle(order)
    valid = round(len(order) * SHARES["train"])
    test = round(len(order) * (SHARES["train"] + SHARES["valid"]))
    parts = {"train": order[:valid], "valid": order[valid:test], "test": order[test:]}
    return {patient: split for split, part in parts.items() for patient in part}


def _splits(
    items: list[SpooledRow], split_of: Mapping[str, str], spool: RowSpool
) -> dict[str, Iterator[Row]]:
    """Return the rows of each split."""
    return {
        name: spool.rows([item for item in items if split_of.get(item.patient) == name])
        for name in SHARES
    }


_spec = partial(
    DatasetSpec,
    access="credentialed",
    source="https://physionet.org/content/mimiciii/1.4/",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
)
SPECS = (
    _spec(
        name="mimic-iii-mortality",
        title="MIMIC-III: death in hospital, judged by the note on admission",
        task="mortality",
        read=read_mortality,
        expected={"notes": 2083180, "admissions": 58976},
        published=(PublishedResult("BiomedGPT-B", "accuracy", 0.895, NATURE_MEDICINE),),
    ),
    _spec(
        name="mimic-iii-summary",
        title="MIMIC-III: impressions of radiology reports from their findings",
        task="summarization",
        read=read_summaries,
        expected={"notes": 2083180},
        published=(PublishedResult("BiomedGPT-B", "rouge_l", 0.307, NATURE_MEDICINE),),
    ),
)
