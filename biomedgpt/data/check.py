"""Checking a prepared dataset: is it whole, can every image be decoded, does it leak?"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from biomedgpt.data import summary
from biomedgpt.data.images import decode_image
from biomedgpt.data.prepare import VOCABULARY_FOLDER
from biomedgpt.data.prepared import PreparedDataset, PreparedSplit
from biomedgpt.data.writer import file_hash
from biomedgpt.errors import BiomedGPTError, DataError

MAY_NOT_BE_EMPTY = ("question", "answer")


@dataclass
class SplitReport:
    """Counts of one split."""

    rows: int = 0
    images: int = 0
    bad_images: int = 0
    duplicate_ids: int = 0
    empty_texts: int = 0
    duplicate_questions: int = 0
    answers_outside_candidates: int = 0


@dataclass
class CheckReport:
    """Result of `check_dataset`.

    Attributes:
        problems: what is broken, one line each, naming split and row.
        splits: counts per split that could be opened.
        shared: what pairs of splits share; see `biomedgpt.data.summary.leakage`.
    """

    problems: list[str] = field(default_factory=list)
    splits: dict[str, SplitReport] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)


def check_dataset(folder: Path) -> CheckReport:
    """Check everything about a prepared dataset that can be checked.

    Broken things are gathered as problems; duplicates, shared images and answers that are no
    candidates are counted, as they are properties of the data.

    Raises:
        DataError: ``folder`` is not a prepared dataset at all.
    """
    dataset = PreparedDataset(folder)
    report = CheckReport()
    opened: dict[str, PreparedSplit] = {}
    for name in dataset.splits:
        try:
            split = dataset.split(name)
            if file_hash(split.path) != dataset.card.hashes.get(name):
                report.problems.append(f"{name}: {split.path.name} has changed since preparation")
            report.splits[name] = _check_split(name, split, dataset, report.problems)
        except DataError as error:
            report.problems.append(f"{name}: {error}")
        else:
            opened[name] = split
    leaks = summary.leakage(opened)
    report.shared = leaks["shared_between_splits"]
    for name, count in leaks["duplicate_questions"].items():
        report.splits[name].duplicate_questions = count
    if (folder / VOCABULARY_FOLDER).exists():
        from biomedgpt.vocabulary import Vocabulary

        try:
            Vocabulary.load(folder / VOCABULARY_FOLDER)
        except BiomedGPTError as error:
            report.problems.append(f"vocabulary: {error}")
    return report


def _check_split(
    name: str, split: PreparedSplit, dataset: PreparedDataset, problems: list[str]
) -> SplitReport:
    """Check the rows and images of one split."""
    columns = {field_name: split.column(field_name) for field_name in split.fields}
    ids = columns["id"]
    report = SplitReport(rows=len(split), images=split.num_images)
    for row_id, count in Counter(ids).items():
        if count > 1:
            report.duplicate_ids += 1
            problems.append(f"{name}: id {row_id!r} occurs {count} times")
    for field_name in MAY_NOT_BE_EMPTY:
        for row, text in enumerate(columns.get(field_name, [])):
            if not text.strip():
                report.empty_texts += 1
                problems.append(f"{name}: row {row + 1} (id {ids[row]}): empty {field_name}")
    if dataset.card.answers:
        known = set(dataset.card.answers)
        outside = [row for row, a in enumerate(columns.get("answer", [])) if a not in known]
        report.answers_outside_candidates = len(outside)
        if name == "train":  # training refuses them
            problems += [
                f"{name}: row {row + 1} (id {ids[row]}): answer {columns['answer'][row]!r} is not "
                "among the candidate answers"
                for row in outside
            ]
    first_row = {int(n): row for row, n in reversed(list(enumerate(split.image_index)))}
    hashes = split.image_hashes()
    for image in tqdm(range(split.num_images), desc=name, unit=" images", disable=None):
        shown_in = first_row.get(image)
        where = f"{name}: image {image + 1}"
        if shown_in is not None:
            where = f"{name}: row {shown_in + 1} (id {ids[shown_in]})"
        data = split.image(image)
        try:
            if hashlib.sha256(data).hexdigest() != hashes[image]:
                raise DataError(f"{where}: image is not the one that was prepared")
            decode_image(data, where=where)
        except DataError as error:
            report.bad_images += 1
            problems.append(str(error))
    return report
