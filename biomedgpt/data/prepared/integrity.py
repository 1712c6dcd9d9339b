"""Checking a prepared dataset: is it whole, can every image be decoded, does it leak?"""

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from biomedgpt.data.imaging.boxes import Box, check_inside, parse_box, parse_objects
from biomedgpt.data.imaging.images import decode_image
from biomedgpt.data.prepared import summary
from biomedgpt.data.prepared.codes import CodesFile, codes_path
from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.errors import BiomedGPTError, DataError, machine_fault
from biomedgpt.files import file_hash
from biomedgpt.stamps import forget
from biomedgpt.tasks import TaskFields, row_kinds

_UNKNOWN = TaskFields(target="id")
"""What is known of the rows of an unknown task."""


@dataclass
class SplitReport:
    """Counts of one split."""

    rows: int = 0
    images: int = 0
    bad_images: int = 0
    bad_boxes: int = 0
    duplicate_ids: int = 0
    empty_texts: int = 0
    duplicate_questions: int = 0
    answers_outside_candidates: int = 0


@dataclass
class CheckReport:
    """Result of `check_dataset`."""

    task: str
    """Name of the dataset's task."""
    problems: list[str] = field(default_factory=list)
    """What is broken, one line each, naming split and row."""
    splits: dict[str, SplitReport] = field(default_factory=dict)
    """Counts per split that could be opened."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What pairs of splits share; see `biomedgpt.data.prepared.summary.leakage`."""


def check_dataset(folder: Path) -> CheckReport:
    """Check everything about a prepared dataset that can be checked.

    Broken things are gathered as problems; duplicates, shared images and answers that are no
    candidates are counted, as they are properties of the data. An answer outside the classes of a
    closed task is broken wherever it is, an answer that is no candidate only in training.

    Raises:
        DataError: ``folder`` is not a prepared dataset at all.
    """
    dataset = PreparedDataset(folder)
    report = CheckReport(dataset.card.task)
    if dataset.card.task not in row_kinds():
        report.problems.append(f"task {dataset.card.task!r} is none of {', '.join(row_kinds())}")
    opened: dict[str, PreparedSplit] = {}
    for name in dataset.splits:
        try:
            split = dataset.unverified_split(name)
            if file_hash(split.path) != dataset.card.hashes[name]:  # read, whatever was noted of it
                forget(split.path)
                report.problems.append(f"{name}: {split.path.name} has changed since preparation")
            report.splits[name] = _check_split(name, split, dataset, report.problems)
            if codes_path(split).exists():
                CodesFile(split)  # refuses those that do not belong to the split
        except DataError as error:
            if machine_fault(error):
                raise
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
            if machine_fault(error):
                raise
            report.problems.append(f"vocabulary: {error}")
    return report


def _check_split(
    name: str, split: PreparedSplit, dataset: PreparedDataset, problems: list[str]
) -> SplitReport:
    """Check the rows and images of one split."""
    task = row_kinds().get(split.task, _UNKNOWN)
    report = SplitReport(rows=len(split), images=split.num_images)

    def at(row: int) -> str:
        return f"{name}: row {row + 1} (id {split.text('id', row)})"

    for row_id, count in _repeated_ids(split).items():
        report.duplicate_ids += 1
        problems.append(f"{name}: id {row_id!r} occurs {count} times")
    if lacking := [one for one in task.all if one not in split.fields]:
        problems.append(f"{name}: no field {', '.join(lacking)}, which {split.task} needs")
    for field_name in (one for one in task.required if one in split.fields):
        for row in range(len(split)):  # one by one: the texts of a split may not fit in memory
            if not split.text(field_name, row).strip():
                report.empty_texts += 1
                problems.append(f"{at(row)}: empty {field_name}")
    if dataset.card.answers and "answer" in split.fields:
        known = set(dataset.card.answers)
        for row in range(len(split)):
            answer = split.text("answer", row)
            if answer in known:
                continue
            report.answers_outside_candidates += 1
            if task.closed or name == "train":  # training refuses them
                what = "classes" if task.closed else "candidate answers"
                problems.append(f"{at(row)}: answer {answer!r} is not among the {what}")
    first_row = split.first_rows()
    hashes = split.image_hashes()
    sizes: dict[int, tuple[int, int]] = {}
    for image in tqdm(range(split.num_images), desc=name, unit=" images", disable=None):
        shown_in = first_row.get(image)
        where = f"{name}: image {image + 1}" if shown_in is None else at(shown_in)
        data = b""
        with suppress(DataError):  # of its checksum, which the hash says as well
            data = split.image(image)
        try:
            if hashlib.sha256(data).hexdigest() != hashes[image]:
                raise DataError(f"{where}: image is not the one that was prepared")
            sizes[image] = decode_image(data, where=where).size
        except DataError as error:
            report.bad_images += 1
            problems.append(str(error))
    if task.boxes in split.fields:
        for row, image in enumerate(split.image_index):
            try:
                boxes = _read_boxes(split.text(task.boxes, row), task.boxes, where=at(row))
                if size := sizes.get(int(image)):
                    for box in boxes:
                        check_inside(box, size, where=at(row))
            except DataError as error:
                report.bad_boxes += 1
                problems.append(str(error))
    return report


def _repeated_ids(split: PreparedSplit) -> dict[str, int]:
    """Return how often every id occurs that does so more than once, in little memory."""
    rows = range(len(split))
    keys = np.fromiter((hash(split.text("id", row)) for row in rows), np.int64, len(split))
    values, counts = np.unique(keys, return_counts=True)
    repeated = set(values[counts > 1].tolist())
    if not repeated:
        return {}
    ids = (split.text("id", row) for row in rows if int(keys[row]) in repeated)
    return {row_id: count for row_id, count in Counter(ids).items() if count > 1}


def _read_boxes(text: str, field_name: str, *, where: str) -> list[Box]:
    if field_name == "objects":
        return [entry.box for entry in parse_objects(text, where=where)]
    return [parse_box(text, where=where)]
