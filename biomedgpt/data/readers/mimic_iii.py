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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.spool import SpooledText, TextSpool
from biomedgpt.data.raw.tables import Record, check_text, read_csv
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult
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
class _Admission:
    patient: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Note:
    admission: str
    date: str
    description: str
    text: SpooledText
    where: str


@dataclass(frozen=True, slots=True)
class _Item:
    """A row to be, with its text still in the spool."""

    id: str
    patient: str
    answer: str
    text: SpooledText
    where: str


def read_mortality(
    raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped
) -> RawDataset:
    """Make admission notes as van Aken et al. (2021) did; see `biomedgpt.data.prepare`.

    Raises:
        DataError: a table is missing or of another release, or a row is bad.
    """
    notes_file, admissions_file = _tables(raw, "NOTEEVENTS", "ADMISSIONS", source=spec.source)
    lists = _patient_lists(raw)
    found: Counter[str] = Counter()
    admissions = _read_admissions(admissions_file, skipped, found)
    spool = TextSpool()
    notes = _discharge_summaries(notes_file, admissions, spool, skipped, found)
    items, empty = [], 0
    for admission, parts in notes.items():
        note = admission_note("\n\n".join(spool.get(part.text) for part in parts))
        if note:
            patient, answer = admissions[admission].patient, admissions[admission].answer
            items.append(_Item(admission, patient, answer, spool.add(note), parts[0].where))
        else:
            empty += 1
    _require(items, notes_file, what="discharge summary of an admission", source=spec.source)
    split_of = lists or _split_patients((item.patient for item in items), seed=options.seed)
    return RawDataset(
        splits={name: _mortality_rows(items, name, split_of, spool) for name in SHARES},
        fields=("id", "note", "answer", "patient"),
        answers=tuple(DIED.values()),
        cleaning=MORTALITY_CLEANING,
        found=found,
        preparation={
            "split": "published patient lists" if lists else "70/10/20 of the patients",
            "patients_in_no_list": len({i.patient for i in items} - split_of.keys()),
            "admissions_without_sections": empty,
        },
    )


def read_summaries(
    raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped
) -> RawDataset:
    """Take findings and impressions out of radiology reports; see `biomedgpt.data.prepare`.

    Raises:
        DataError: the table is missing or of another release, or a row is bad.
    """
    (notes_file,) = _tables(raw, "NOTEEVENTS", source=spec.source)
    found: Counter[str] = Counter()
    spool = TextSpool()
    items = []
    for note in _notes(notes_file, "Radiology", skipped, found):
        parts = None
        if note.values["ISERROR"].strip() != "1":
            parts = findings_and_impression(note.values["TEXT"])
        if parts is not None:
            try:
                check_text("".join(parts), where=f"{note.where}: TEXT")
                row, patient = note.text("ROW_ID"), note.text("SUBJECT_ID")
            except DataError as error:
                skipped.take(error)
            else:
                items.append(_Item(row, patient, "", spool.add("\n".join(parts)), note.where))
    _require(items, notes_file, what="radiology report", source=spec.source)
    split_of = _split_patients((item.patient for item in items), seed=options.seed)
    return RawDataset(
        splits={name: _summary_rows(items, name, split_of, spool) for name in SHARES},
        fields=("id", "source", "summary", "patient"),
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


def _tables(raw: Path, *names: str, source: str) -> list[Path]:
    """Find tables anywhere below ``raw``; the ones that are not gzipped first."""
    found = []
    missing = []
    for name in names:
        files = (f"{name}.csv", f"{name}.csv.gz")
        paths = [path for path in sorted(raw.rglob(f"{name}.csv*")) if path.name in files]
        found += paths[:1]
        missing += [] if paths else [" or ".join(files)]
    if missing:
        raise DataError(
            f"{raw} is not the MIMIC-III release: no {', no '.join(missing)}; get it from {source}"
        )
    return found


def _require(items: list[_Item], path: Path, *, what: str, source: str) -> None:
    if not items:
        raise DataError(
            f"{path}: no {what} with the sections needed (the demo release has no notes); get the "
            f"whole one from {source}"
        )


def _notes(path: Path, category: str, skipped: Skipped, found: Counter[str]) -> Iterator[Record]:
    """Yield the notes of one category; counts them and all of them in ``found``."""
    for record in read_csv(path, columns=NOTE_COLUMNS, skipped=skipped):
        found["notes"] += 1
        if record.values["CATEGORY"].strip() == category:
            found[f"{category.lower()} reports"] += 1
            yield record


def _read_admissions(path: Path, skipped: Skipped, found: Counter[str]) -> dict[str, _Admission]:
    """Return the admissions, newborns left out."""
    admissions: dict[str, _Admission] = {}
    for record in read_csv(path, columns=ADMISSION_COLUMNS, skipped=skipped):
        found["admissions"] += 1
        try:
            admission = record.text("HADM_ID")
            if admission in admissions:
                raise DataError(f"{record.where}: admission {admission} was there before")
            one = _Admission(record.text("SUBJECT_ID"), record.choice("HOSPITAL_EXPIRE_FLAG", DIED))
            kind = record.text("ADMISSION_TYPE")
        except DataError as error:
            skipped.take(error)
        else:
            if kind != "NEWBORN":
                admissions[admission] = one
    return admissions


def _discharge_summaries(
    path: Path,
    admissions: Mapping[str, _Admission],
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
        try:
            admission = record.optional("HADM_ID").removesuffix(".0")
            if admission not in admissions or not text.strip():
                continue
            check_text(text, where=f"{record.where}: TEXT")
            date, description = record.text("CHARTDATE"), record.optional("DESCRIPTION")
        except DataError as error:
            skipped.take(error)
            continue
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


def _split_patients(patients: Iterable[str], *, seed: int) -> dict[str, str]:
    """Deal patients to the splits at random, by their shares."""
    order = sorted(set(patients))
    random.Random(seed).shuffle(order)
    valid = round(len(order) * SHARES["train"])
    test = round(len(order) * (SHARES["train"] + SHARES["valid"]))
    parts = {"train": order[:valid], "valid": order[valid:test], "test": order[test:]}
    return {patient: split for split, part in parts.items() for patient in part}


def _mortality_rows(
    items: list[_Item], split: str, split_of: Mapping[str, str], spool: TextSpool
) -> Iterator[Row]:
    for item in items:
        if split_of.get(item.patient) == split:
            fields = {"id": item.id, "note": spool.get(item.text), "answer": item.answer}
            yield Row(fields | {"patient": item.patient}, None, item.where)


def _summary_rows(
    items: list[_Item], split: str, split_of: Mapping[str, str], spool: TextSpool
) -> Iterator[Row]:
    for item in items:
        if split_of[item.patient] == split:
            findings, _, impression = spool.get(item.text).partition("\n")
            fields = {"id": item.id, "source": findings, "summary": impression}
            yield Row(fields | {"patient": item.patient}, None, item.where)


_SOURCE = "https://physionet.org/content/mimiciii/1.4/"
_LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
SPECS = (
    DatasetSpec(
        name="mimic-iii-mortality",
        title="MIMIC-III: death in hospital, judged by the note on admission",
        task="mortality",
        access="credentialed",
        source=_SOURCE,
        licence=_LICENCE,
        read=read_mortality,
        expected={"notes": 2083180, "admissions": 58976},
        published=(PublishedResult("BiomedGPT-B", "accuracy", 0.895, NATURE_MEDICINE),),
    ),
    DatasetSpec(
        name="mimic-iii-summary",
        title="MIMIC-III: impressions of radiology reports from their findings",
        task="summarization",
        access="credentialed",
        source=_SOURCE,
        licence=_LICENCE,
        read=read_summaries,
        expected={"notes": 2083180},
        published=(PublishedResult("BiomedGPT-B", "rouge_l", 0.307, NATURE_MEDICINE),),
    ),
)
