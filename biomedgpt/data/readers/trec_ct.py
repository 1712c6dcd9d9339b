"""TREC 2022 Clinical Trials track: topics, judgments and trial records to rows.

Expected layout of the raw folder::

    topics2022.xml        50 patients: <topic number="1">text</topic>
    qrels2022.txt         judgments: topic, 0, NCT id, label 0 to 2
    ClinicalTrials.2021-04-27.part1.zip ... part5.zip, as downloaded, or extracted; either holds
                          NCT*.xml files in folders such as NCT0093xxxx

A row is a judgment. Only trials that were judged are read, one at a time; their texts wait in a
temporary file.
"""

import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from biomedgpt.data.raw.spool import SpooledText, TextSpool
from biomedgpt.data.raw.tables import Record, check_text, read_lines, read_text
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows, make_folds
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError, machine_fault

ANSWER_OF_LABEL = {"0": "not relevant", "1": "excluded", "2": "eligible"}
_MOST_BYTES = 1 << 26  # of one record; the longest have 2 million
_TRIAL_FILE = re.compile(r"(NCT\d{8})\.xml")


def read(release: Release) -> RawDataset:
    """Read the track's files.

    Raises:
        DataError: files are missing or those of another track, or a row is bad.
    """
    raw, spec, skipped = release.folder, release.spec, release.skipped
    topics_file = _only(raw, "*topics2022*.xml", source=spec.source)
    judged_file = _only(raw, "*qrels2022*.txt", source=spec.source)
    topics = _read_topics(topics_file)
    judgments = list(_read_judgments(judged_file, topics, skipped))
    spool, trials = TextSpool(), {one.fields["trial"] for one in judgments}
    texts, problems = _find_trials(raw, trials, spool)
    if not texts:
        raise DataError(
            f"{raw} holds none of the judged trials (NCT*.xml, or ClinicalTrials.2021-04-27.part1."
            f"zip to part5.zip); get them from {spec.source}"
        )
    usable = []
    for one in judgments:
        with skipped.catching():
            trial = one.fields["trial"]
            if trial not in texts:
                reason = problems.get(trial, f"no {trial}.xml in {raw}")
                raise DataError(f"{one.where}: trial {trial}: {reason}")
            usable.append(one)
    found = Counter(one.fields["answer"] for one in judgments)
    found |= {"topics": len(topics), "judgments": len(judgments), "trials": len(trials)}

    def with_text(row: Row) -> Row:
        return replace(row, fields={**row.fields, "trial": spool.get(texts[row.fields["trial"]])})

    seed = release.options.seed
    folds = make_folds(usable, spec.folds, seed=seed, group=lambda one: one.fields["topic"])
    return RawDataset(
        splits={name: map(with_text, part) for name, part in folds.items()},
        answers=tuple(ANSWER_OF_LABEL.values()),
        cleaning=(
            "white space collapsed to one space and stripped",
            "of a trial only its title, conditions, sex and age limits, eligibility criteria and "
            "summary",
        ),
        found=found,
    )


def _only(raw: Path, pattern: str, *, source: str) -> Path:
    """Return the only file of that name; its copies in the wild have the site's name before it."""
    found = sorted(raw.glob(pattern))
    if len(found) != 1:
        name = pattern.replace("*", "")
        problem = f"no {name}" if not found else f"{len(found)} files like {name}"
        raise DataError(
            f"{raw} is not the release of the TREC 2022 Clinical Trials track: {problem}; get it "
            f"from {source}"
        )
    return found[0]


def _parse_xml(text: str, *, where: str) -> ElementTree.Element:
    """Parse XML that has no document type: nothing is fetched, no entity is expanded."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{where}: has a document type, which the release has not")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{where}: not readable as XML ({error})") from error


def _read_topics(path: Path) -> dict[str, str]:
    """Return the patients' descriptions by topic number."""
    topics: dict[str, str] = {}
    for item in _parse_xml(read_text(path), where=str(path)).iter("topic"):
        number = clean_text(item.get("number", ""))
        patient = clean_text("".join(item.itertext()))
        if not number or not patient:
            raise DataError(f"{path}: topic {number or len(topics) + 1} has no number or no text")
        if number in topics:
            raise DataError(f"{path}: topic {number} is there twice")
        topics[number] = patient
    if not topics:
        raise DataError(f"{path}: has no topic; is this the release of TREC 2022?")
    return topics


def _read_judgments(path: Path, topics: dict[str, str], skipped: Skipped) -> Iterator[Row]:
    """Yield a row per judgment, with the trial's id in the place of its text."""
    seen: set[str] = set()

    def parse(item: tuple[str, str]) -> Row:
        where, line = item
        check_text(line, where=where)
        parts = line.split()
        if len(parts) != 4:
            raise DataError(f"{where}: not four values (topic, 0, NCT id, label)")
        topic, _, trial, label = parts
        if topic not in topics:
            raise DataError(f"{where}: topic {topic!r} is not among the topics")
        if not re.fullmatch(r"NCT\d{8}", trial):
            raise DataError(f"{where}: {trial!r} is not the id of a trial (NCT and eight digits)")
        fields = {
            "id": f"{topic}-{trial}",
            "patient": topics[topic],
            "trial": trial,
            "answer": Record(where, {"label": label}).choice("label", ANSWER_OF_LABEL),
            "topic": topic,
        }
        if fields["id"] in seen:
            raise DataError(f"{where}: topic {topic} with {trial} was before")
        seen.add(fields["id"])
        return Row(fields, None, where)

    lines = ((where, line) for where, line in read_lines(path) if line.strip())
    return good_rows(lines, parse, skipped)


def _find_trials(
    raw: Path, wanted: set[str], spool: TextSpool
) -> tuple[dict[str, SpooledText], dict[str, str]]:
    """Return the texts of ``wanted`` trials below ``raw``, and what is wrong with bad records."""
    texts: dict[str, SpooledText] = {}
    problems: dict[str, str] = {}
    for name, where, read_bytes in _files_and_members(raw):
        match = _TRIAL_FILE.fullmatch(name)
        if match is None or match[1] not in wanted or match[1] in texts:
            continue
        try:
            study = _parse_xml(_decode(read_bytes, where=where), where=where)
            texts[match[1]] = spool.add(_trial_text(study, where))
        except DataError as error:
            if machine_fault(error):
                raise
            problems[match[1]] = str(error)
    return texts, problems


def _files_and_members(raw: Path) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Yield (name, place, what reads it) of all files, then of what zip files hold."""
    archives = []

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(raw, onerror=fail):
        folders.sort()
        for name in names:
            path = Path(folder, name)
            if path.suffix == ".zip":
                archives.append(path)
            else:
                yield name, str(path), path.read_bytes
    for path in sorted(archives):
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    where = f"{path}: {member.filename}"
                    read_bytes = partial(_read_member, archive, member, where=where)
                    yield member.filename.rpartition("/")[2], where, read_bytes
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: not readable as a zip file ({error}); get it again"
            ) from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, where: str) -> bytes:
    """Return a member of an archive, if it is of a size that a record can have."""
    if member.file_size > _MOST_BYTES:
        raise DataError(f"{where}: a record of {member.file_size:,} bytes; refused")
    return archive.read(member)


def _decode(read_bytes: Callable[[], bytes], *, where: str) -> str:
    try:
        return read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text (byte {error.start})") from error
    # The last two: a damaged member of an archive, and one with a password.
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise DataError(f"{where}: cannot be read ({error})") from error


def _trial_text(study: ElementTree.Element, where: str) -> str:
    """Return what is asked about of a ClinicalTrials.gov record, the decisive parts first."""

    def texts(path: str) -> str:
        found = (clean_text("".join(item.itertext())) for item in study.iterfind(path))
        return ", ".join(text for text in found if text)

    ages = (texts("eligibility/minimum_age"), texts("eligibility/maximum_age"))
    parts = {
        "title": texts("brief_title") or texts("official_title"),
        "conditions": texts("condition"),
        "sex": texts("eligibility/gender"),
        "age": f"{ages[0] or 'N/A'} to {ages[1] or 'N/A'}" if any(ages) else "",
        "criteria": texts("eligibility/criteria"),
        "summary": texts("brief_summary"),
    }
    if not parts["title"] or not (parts["criteria"] or parts["summary"]):
        raise DataError(f"{where}: has no title, or neither eligibility criteria nor a summary")
    return " ".join(f"{name}: {text}" for name, text in parts.items() if text)


SPEC = DatasetSpec(
    name="trec-2022",
    title="TREC 2022 Clinical Trials: does a patient qualify for a trial",
    task="trial_matching",
    source="https://www.trec-cds.org/2022.html",
    licence="terms of use of ClinicalTrials.gov and NIST",
    read=read,
    expected={
        "topics": 50,
        "judgments": 35394,
        "trials": 26585,
        "not relevant": 28419,
        "excluded": 3036,
        "eligible": 3939,
    },
    published=(PublishedResult("BiomedGPT-B", "accuracy", 0.852, NATURE_MEDICINE, 0.015),),
    folds=10,
)
