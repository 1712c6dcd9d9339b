"""Prediction files: JSON lines that carry all that is needed to score them.

Every line has ``id``, ``prediction``, ``reference`` (the answer shown to people), ``references``
(list of ``{"answer", "confidence"}``), and the same ``dataset``, ``dataset_hash``, ``split`` and
``decoding`` in all lines; a task adds its own keys. ``decoding`` says how the predictions were
made; these of its keys are known to the scorers: ``constrained`` (bool), ``candidates`` (how many
answers were allowed), ``candidates_cover`` (how many references are among them) and
``blank_image`` (bool: generated with the images blanked). In a cross-validation the ``split`` is
the fold that was tested on (``fold0``, ``fold1``, ...).
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biomedgpt.errors import DataError
from biomedgpt.files import atomic_path
from biomedgpt.metrics.measures import Record
from biomedgpt.metrics.normalize import normalize_answer
from biomedgpt.tasks.prediction import COMMON_KEYS

# These describe the run, so two values in one file mean that two runs were mixed.
RUN_KEYS = ("dataset", "dataset_hash", "split", "decoding")
SHOWN_IDS = 5
_TYPE_NAMES: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class PredictionFile:
    """A validated prediction file: one run over one split of one dataset."""

    path: Path
    records: Sequence[Record]
    dataset: str
    """Name of the dataset."""
    dataset_hash: str
    """Hash of the prepared dataset the predictions were made from."""
    split: str
    """Name of the split."""
    decoding: Mapping[str, Any]
    """How the predictions were made."""

    @property
    def ids(self) -> list[str]:
        """Ids in file order."""
        return [record["id"] for record in self.records]


def write_predictions(path: Path | str, records: Iterable[Record]) -> None:
    """Write ``records`` as JSON lines; the file appears complete or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_predictions(
    path: Path | str,
    *,
    keys: Mapping[str, type] = COMMON_KEYS,
    check: Callable[[Record, str], None] | None = None,
) -> PredictionFile:
    """Read and validate a prediction file.

    Args:
        path: the JSON-lines file.
        keys: required keys and their types.
        check: further checks of one task, called with the record and ``file:line``.

    Raises:
        DataError: a file that cannot be read, a line that is not a JSON object, a missing or
            mistyped key, an empty reference, an id given twice, or several runs in one file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the predictions ({error.strerror})") from error
    records: list[Record] = []
    lines_of_ids: dict[str, int] = {}
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        where = f"{path}:{number}"
        record = _parse_line(line, where=where)
        check_record(record, where, keys=keys)
        if check is not None:
            check(record, where)
        first = lines_of_ids.setdefault(record["id"], number)
        if first != number:
            raise DataError(
                f"{where}: id {record['id']!r} is already on line {first}; "
                "every example may be answered once"
            )
        for key in RUN_KEYS:
            if records and record[key] != records[0][key]:
                raise DataError(
                    f"{where}: {key} is {_short(record[key])}, but {_short(records[0][key])} on "
                    "line 1; score the files of different runs one by one"
                )
        records.append(record)
    return PredictionFile(path, records, **{key: records[0][key] for key in RUN_KEYS})


def check_record(record: Record, where: str, *, keys: Mapping[str, type] = COMMON_KEYS) -> None:
    """Raise a DataError naming ``where`` and the key unless ``record`` is a valid line."""
    for key, kind in keys.items():
        if key not in record:
            raise DataError(f"{where}: key {key!r} is missing; write the predictions anew")
        if not isinstance(record[key], kind):
            raise DataError(f"{where}: key {key!r} must be {_TYPE_NAMES[kind]}")
    if not normalize_answer(record["reference"]):
        raise DataError(f"{where}: key 'reference' is empty; nothing can be compared with it")
    for reference in record["references"]:
        if (
            not isinstance(reference, dict)
            or not isinstance(reference.get("answer"), str)
            or isinstance(reference.get("confidence"), bool)
            or not isinstance(reference.get("confidence"), int | float)
            or not 0 <= reference["confidence"] <= 1
        ):
            raise DataError(
                f"{where}: key 'references' must list objects with 'answer' (string) and "
                "'confidence' (0 to 1)"
            )


def check_same_ids(ids: Sequence[str], expected: Sequence[str], *, where: str, source: str) -> None:
    """Raise a DataError with the first few ids and the counts unless both hold the same ids.

    Args:
        ids: ids of the file that is checked.
        expected: ids it should hold, in any order.
        where: name of the checked file.
        source: what ``expected`` was read from, as the message shall name it.
    """
    differing = {"missing": {*expected} - {*ids}, "not expected": {*ids} - {*expected}}
    problems = [
        f"{len(some)} {how} ({_list_ids(sorted(some))})" for how, some in differing.items() if some
    ]
    if problems:
        raise DataError(f"{where}: ids differ from {source}: {', '.join(problems)}")


def check_against_dataset(predictions: PredictionFile, folder: Path | str) -> None:
    """Raise a DataError unless ``predictions`` cover a split of the prepared ``folder`` exactly."""
    # Imported here: scoring alone needs neither h5py nor the data.
    from biomedgpt.data.prepared.dataset import PreparedDataset

    dataset = PreparedDataset(folder)
    where = str(predictions.path)
    if predictions.split not in dataset.splits:
        raise DataError(
            f"{where}: split {predictions.split!r} is not in {folder}, which has "
            f"{', '.join(dataset.splits)}"
        )
    check_same_ids(
        predictions.ids,
        dataset.split(predictions.split).column("id"),
        where=where,
        source=f"split {predictions.split!r} of {folder}",
    )
    if predictions.dataset_hash != dataset.hash:
        raise DataError(
            f"{where}: made from dataset hash {predictions.dataset_hash}, but {folder} has "
            f"{dataset.hash}; generate again from this folder or name the other one"
        )


def check_blank(predictions: PredictionFile, blank: PredictionFile) -> None:
    """Raise a DataError unless ``blank`` is of the same examples, with blanked images."""
    for file, expected in ((predictions, False), (blank, True)):
        if file.decoding.get("blank_image", expected) is not expected:
            raise DataError(
                f"{file.path}: generated with {'blank' if not expected else 'real'} images "
                "(key 'decoding.blank_image'); give the predictions first and --blank second"
            )
    check_alike(
        blank,
        predictions,
        keys=("dataset", "dataset_hash", "split"),
        fix="generate both from one prepared folder",
        ignored=("blank_image",),
        fix_decoding="the image may be the only difference: generate both with the same options",
    )
    check_same_ids(blank.ids, predictions.ids, where=str(blank.path), source=str(predictions.path))


def check_alike(
    file: PredictionFile,
    first: PredictionFile,
    *,
    keys: Sequence[str],
    fix: str,
    ignored: Collection[str],
    fix_decoding: str,
) -> None:
    """Raise a DataError unless two files agree in some keys, and in all but some of decoding."""
    for key in keys:
        if (own := getattr(file, key)) != (other := getattr(first, key)):
            raise DataError(f"{file.path}: {key} is {own!r}, but {other!r} in {first.path}; {fix}")
    if differing := differing_keys(file.decoding, first.decoding, ignored=ignored):
        raise DataError(
            f"{file.path}: decoding differs from {first.path} in {', '.join(differing)}; "
            f"{fix_decoding}"
        )


def differing_keys(
    decoding: Mapping[str, Any], other: Mapping[str, Any], *, ignored: Collection[str] = ()
) -> list[str]:
    """Return the keys in which two decodings differ, except those ``ignored``."""
    keys = sorted({*decoding, *other} - {*ignored})
    return [key for key in keys if decoding.get(key) != other.get(key)]


def _parse_line(line: bytes, *, where: str) -> Record:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise DataError(f"{where}: nested too deeply; generate again") from error
    except json.JSONDecodeError as error:
        problem = "empty line" if not line.strip() else f"not valid JSON ({error.msg})"
        raise DataError(f"{where}: {problem}; the file may be cut off: generate again") from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: not a JSON object; every line holds one prediction")
    return record


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _list_ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN_IDS]) + (", ..." if len(ids) > SHOWN_IDS else "")
