"""Answering many questions into a file of predictions, which a killed run goes on with."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from biomedgpt.data.rows import Skipped
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import check_target, parse_json, put_in_place, sole, tidy
from biomedgpt.inference.answer import Result
from biomedgpt.inference.predictor import WINDOW, Predictor
from biomedgpt.inference.queries import Choice, FreeText, Query
from biomedgpt.inference.query_builder import Row
from biomedgpt.inference.question_table import SPLIT, InputRow, Inputs
from biomedgpt.scoring.predictions import RUN_KEYS, differing_keys
from biomedgpt.tasks import TASKS, RunInfo

PARTIAL = ".partial"
"""Ending of a file of predictions that is not finished."""


@dataclass
class Summary:
    """What a call did.

    Attributes:
        written: predictions that are in the file.
        before: of these, what an earlier call had written.
        skipped: rows that were left out, one line each.
        odd: predictions with a warning.
    """

    written: int = 0
    before: int = 0
    skipped: list[str] = field(default_factory=list)
    odd: int = 0


def answer_file(
    predictor: Predictor,
    inputs: Inputs,
    out: Path,
    *,
    answers: Sequence[str] | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> Summary:
    """Answer all rows and write one line of JSON for each.

    Lines are those of the evaluation (`biomedgpt.tasks.base.Task.prediction_record`), with
    ``probability``, ``calibrated``, ``alternatives``, ``boxes`` and ``warnings``; without an answer
    in the table their reference is empty. They are gathered in ``out`` with the ending
    ``.partial``, which a later call with the same arguments goes on with, and which becomes ``out``
    at the end.

    Raises:
        DataError: a row cannot be used; ``skip_bad`` leaves it out instead.
        ConfigError: ``out`` exists or was begun with other arguments, or cannot be written.
    """
    check_target(out)
    # A look at all rows first: what is wrong with the table shows before anything is computed.
    total = sum(1 for _ in inputs.rows(Skipped(allowed=skip_bad)))
    if not total:
        raise DataError(f"{inputs.path}: no row to answer")
    summary = Summary()
    skipped = Skipped(allowed=skip_bad, reasons=summary.skipped)
    run = run_of(predictor, inputs, answers)
    if out.exists() and not overwrite:
        tidy(out)
        done = finished(out, run)
        return Summary(written=done, before=done)
    with gathering(out, run, overwrite=overwrite) as (file, known):
        summary.before = len(known)
        bar = tqdm(total=total, initial=len(known), unit="", disable=None, desc=inputs.task)
        rows = (row for row in inputs.rows(skipped) if row.id not in known)
        queries = _queries(predictor, inputs.task, rows, answers, skipped)
        while window := list(islice(queries, WINDOW * predictor.engine.batch_size)):
            results = predictor.engine.run([query for _, query in window])
            for (row, query), result in zip(window, results, strict=True):
                record = record_of(inputs.task, row, query, result, run)
                file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                summary.odd += bool(result.warnings)
            file.flush()
            summary.written += len(window)
            bar.update(len(window))
        bar.close()
        summary.written += len(known)
        if not summary.written:
            raise DataError(f"{inputs.path}: no row could be answered; {summary.skipped[0]}")
    return summary


def run_of(predictor: Predictor, inputs: Inputs, answers: Sequence[str] | None) -> RunInfo:
    """Return what all predictions of a file share; it says what was asked of which weights."""
    info = predictor.checkpoint.info
    decoding: dict[str, Any] = {
        "checkpoint": info.name,
        "weights": predictor.weights,
        "dtype": str(predictor.dtype).removeprefix("torch."),
        "task": inputs.task,
        "temperature": info.calibration.get("temperature"),
        "blank_image": False,
    }
    if inputs.task in TASKS:
        task = predictor.query_builder.task(inputs.task)
        own = info.decoding if info.task == inputs.task else None
        decoding |= asdict(own or task.decoding)
        known = answers or (info.answers if info.task == inputs.task else ())
        decoding["constrained"] = bool(known) and (answers is not None or task.constrained)
        if decoding["constrained"]:
            decoding["candidates"] = len(known)
            text = json.dumps(list(known), ensure_ascii=False).encode()
            decoding["candidates_hash"] = hashlib.sha256(text).hexdigest()[:16]
    return RunInfo(
        dataset=inputs.path.name,
        dataset_hash=inputs.hash(),
        split=SPLIT,
        decoding=decoding,
        majority={},
    )


def record_of(
    name: str, row: InputRow, query: Query, result: Result, run: RunInfo
) -> dict[str, Any]:
    """Return the line of one prediction."""
    details = result.to_dict()
    text = details.pop("text")
    output = query.output
    scores = None
    if isinstance(output, Choice):
        names = dict(zip(output.shown, output.answers, strict=True))
        text = names.get(text, text)
        found = {names[one.text]: one.probability for one in result.alternatives}
        if result.probability is not None and len(found) + 1 == len(output.answers):
            found[text] = result.probability
            scores = {one: math.log(max(found[one], 1e-300)) for one in output.answers}
    if name in TASKS:
        task = TASKS[name]()
        fields = {field: _plain(row.fields.get(field)) for field in task.fields.all}
        record = task.prediction_record(
            {"id": row.id, **fields},
            text=text,
            score=result.score or 0.0,
            run=run,
            candidate_scores=scores,
        )
    else:
        record = {
            "id": row.id,
            **{field: _plain(value) for field, value in row.fields.items()},
            "prediction": text,
            "reference": "",
            "references": [],
            **{key: getattr(run, key) for key in RUN_KEYS},
        }
    if isinstance(output, Choice | FreeText):
        details.pop("boxes")
    return record | details


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _queries(
    predictor: Predictor,
    task: str,
    rows: Iterator[InputRow],
    answers: Sequence[str] | None,
    skipped: Skipped,
) -> Iterator[tuple[InputRow, Query]]:
    """Yield rows with their queries."""
    for row in rows:
        asked: Row = {**row.fields, "image": row.image}
        with skipped.catching():
            query = predictor.query_builder.query(task, asked, answers=answers, where=row.where)
            yield row, query


@contextmanager
def gathering(out: Path, run: RunInfo, *, overwrite: bool) -> Iterator[tuple[IO[bytes], set[str]]]:
    """Open what is there of a file to go on with, and give the ids that are in it.

    It becomes ``out`` when the block ends without an error. A last line that was torn is dropped.

    Raises:
        ConfigError: another process is at it, it is of another run, or it cannot be written.
    """
    partial = out.with_name(out.name + PARTIAL)
    try:
        with sole(out, remedy="wait for its end, or give another --out"):
            try:
                with partial.open("wb+" if overwrite else "ab+") as file:
                    file.seek(0)
                    known, end = _known(file, partial, run, "go on with")
                    file.truncate(end)
                    file.seek(end)
                    yield file, known
                put_in_place(partial, out)
            finally:
                if partial.is_file() and not partial.stat().st_size:
                    partial.unlink()  # nothing to go on with
    except OSError as error:
        raise ConfigError(f"cannot write {partial}: {error.strerror}; fix that") from error


def finished(path: Path, run: RunInfo) -> int:
    """Return how many predictions a finished file has; ConfigError if they are of another run."""
    with path.open("rb") as file:
        known, end = _known(file, path, run, "replace")
        if end < file.seek(0, os.SEEK_END):
            raise ConfigError(
                f"{path} exists and is no file of predictions; give another --out, or --overwrite"
            )
    return len(known)


def _known(file: IO[bytes], path: Path, run: RunInfo, what: str) -> tuple[set[str], int]:
    """Return the ids of the predictions in a file, and where a line that is none begins.

    Raises:
        ConfigError: they are of another run, so that this one cannot do ``what`` with them.
    """
    mine = {"dataset": run.dataset, "dataset_hash": run.dataset_hash, "split": run.split}
    known: set[str] = set()
    end = 0
    for line in file:
        record = _parse(line)
        if record is None:
            break
        wrong = [key for key, value in mine.items() if record[key] != value]
        wrong += differing_keys(record["decoding"], dict(run.decoding), ignored=())
        if wrong:
            raise ConfigError(
                f"{path} holds predictions of other inputs, options or weights ({', '.join(wrong)} "
                f"differ), which this call cannot {what}; give another --out, or --overwrite"
            )
        known.add(record["id"])
        end += len(line)
    return known, end


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the record of a whole line, None for a torn one."""
    if not line.endswith(b"\n"):
        return None
    record = parse_json(line)
    return record if isinstance(record, dict) and {"id", *RUN_KEYS} <= record.keys() else None
