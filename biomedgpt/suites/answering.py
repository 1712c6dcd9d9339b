"""Putting questions to a model, and keeping its answers where a killed run goes on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from biomedgpt.checkpoints.description import CheckpointInfo
from biomedgpt.data.rows import Skipped
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import tidy
from biomedgpt.inference.prediction_file import finished, gathering
from biomedgpt.inference.predictor import WINDOW, Predictor
from biomedgpt.inference.queries import FreeText, Query
from biomedgpt.metrics.measures import Record
from biomedgpt.suites.perturbations import REAL, Changed, Changer
from biomedgpt.suites.questions import Benchmark, Question, with_options
from biomedgpt.tasks import RunInfo

LEAST_LENGTH = 40
"""Tokens that an answer may have, also where a task that chooses among answers allows fewer."""
QUESTION_LENGTH = 64
"""Tokens of the answer to a question of visual question answering that is put as an instruction."""
_PLACEHOLDERS = ("a", "b")
"""Given for tasks that must choose; nothing is chosen from them."""


class FreeAnswerer:
    """Asks a model in free text, whatever it was trained to choose from.

    Questions of visual question answering are put as the checkpoint was trained to read them: as
    such where it was trained on them, else as instructions. Options are listed after the question.

    Args:
        predictor: the model.

    Attributes:
        window: questions that are best answered together.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.window = WINDOW * predictor.engine.batch_size

    def facts(self, task: str) -> Mapping[str, Any]:
        """Return what of the model and its decoding all answers to a task have in common."""
        return {
            "checkpoint": self.predictor.checkpoint.info.name,
            "weights": self.predictor.weights,
            "dtype": str(self.predictor.dtype).removeprefix("torch."),
            "constrained": False,
            "asked_as": self._asked_as(task),
            **asdict(self._decoding(task)),
        }

    def query(self, changed: Changed) -> Query:
        """Return a question in the form that `answer` takes; DataError when it cannot be put."""
        question = changed.question
        task = self._asked_as(question.task)
        fields: dict[str, Any] = dict(question.fields)
        if name := {"instruction": "instruction", "vqa": "question"}.get(task):
            fields[name] = with_options(question.text, question.options)
        fields["image"] = changed.picture
        choosing = task not in ("vqa", "instruction", "captioning", "summarization")
        query = self.predictor.query_builder.query(
            task, fields, answers=_PLACEHOLDERS if choosing else None, where=question.where
        )
        return replace(query, output=FreeText(decoding=self._decoding(question.task)))

    def answer(self, queries: Sequence[Query]) -> list[tuple[str, tuple[str, ...]]]:
        """Return text and warnings for each."""
        results = self.predictor.engine.run(queries)
        return [(one.text, one.warnings) for one in results]

    def _asked_as(self, task: str) -> str:
        own = self.predictor.checkpoint.info.task
        return "instruction" if task == "vqa" and own != "vqa" else task

    def _decoding(self, task: str) -> GenerationConfig:
        asked = self._asked_as(task)
        decoding = self.predictor.query_builder.decoding(asked)
        length = max(decoding.max_len, LEAST_LENGTH)
        return replace(decoding, max_len=length if asked == task else min(length, QUESTION_LENGTH))


class UsualAnswerer(FreeAnswerer):
    """Asks a model as it is used: to choose from its own answers, where it was trained to.

    What such a model says when it is asked freely was never trained, and tells nothing about it.
    """

    def facts(self, task: str) -> Mapping[str, Any]:
        """See `FreeAnswerer`."""
        facts = super().facts(task)
        if not chooses(self.predictor.checkpoint.info, task):
            return facts
        decoding = self.predictor.query_builder.decoding(task)
        return {**facts, "constrained": True, **asdict(decoding)}

    def query(self, changed: Changed) -> Query:
        """See `FreeAnswerer`."""
        question = changed.question
        if question.options or not chooses(self.predictor.checkpoint.info, question.task):
            return super().query(changed)
        fields = {**question.fields, "image": changed.picture}
        return self.predictor.query_builder.query(question.task, fields, where=question.where)


def chooses(info: CheckpointInfo, task: str) -> bool:
    """Say whether a checkpoint was trained to choose among answers in a task."""
    return info.task == task and bool(info.answers)


def answer_benchmark(
    answerer: FreeAnswerer,
    benchmark: Benchmark,
    folder: Path,
    *,
    form: str = REAL,
    changer: Changer | None = None,
    facts: Mapping[str, Any] | None = None,
    skipped: Skipped,
    overwrite: bool = False,
) -> list[Record]:
    """Put all questions of a benchmark in one form; return the lines of its prediction file.

    The file is ``folder/NAME/FORM.jsonl``. A call with the same arguments goes on with what an
    earlier one has written; questions that have no such form are not in it.

    Args:
        answerer: the model.
        benchmark: the questions.
        folder: of the results.
        form: see `biomedgpt.suites.perturbations.FORMS`.
        changer: changes the questions; one with seed 0 by default.
        facts: what else must be the same in all answers, such as a limit.
        skipped: takes rows that cannot be asked.
        overwrite: begin anew.

    Raises:
        DataError: a row cannot be asked, or no row as it is.
        ConfigError: the file is of another model, other options or another release.
    """
    changer = changer or Changer(benchmark)
    path = folder / benchmark.name / f"{form}.jsonl"
    decoding = {**answerer.facts(benchmark.task.name), **(facts or {}), "form": form}
    run = RunInfo(**benchmark.facts, decoding=decoding, majority={})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {path.parent}: {error.strerror}") from error
    if path.exists() and not overwrite:
        tidy(path)
        finished(path, run)
    else:
        with (
            gathering(path, run, overwrite=overwrite) as (file, known),
            tqdm(total=len(benchmark.rows), initial=len(known), unit="", disable=None) as bar,
        ):
            bar.set_description(f"{benchmark.name}, {form}")
            asked = _queries(answerer, benchmark, changer, form, known, skipped)
            while window := list(islice(asked, answerer.window)):
                answers = answerer.answer([query for _, query in window])
                for (question, _), (text, warnings) in zip(window, answers, strict=True):
                    record = record_of(question, text, warnings, run)
                    file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                file.flush()
                bar.update(len(window))
    records = read_lines(path)
    if form == REAL and not records:
        raise DataError(f"{benchmark.dataset.folder}: no question could be asked")
    return records


def record_of(
    question: Question, text: str, warnings: Sequence[str], run: RunInfo
) -> dict[str, Any]:
    """Return the line of one answer; see `biomedgpt.suites.suite_score`."""
    references = question.asked.references
    return {
        "id": question.id,
        "prediction": text,
        "reference": references[0],
        "references": [{"answer": one, "confidence": 1.0} for one in references],
        **{key: value for key, value in asdict(run).items() if key != "majority"},
        "question": with_options(question.text, question.options),
        "kind": question.asked.kind,
        "choices": list(question.asked.choices),
        "answer_type": question.answer_type,
        "groups": dict(question.groups),
        "pair": question.pair,
        "role": question.role,
        "warnings": list(warnings),
    }


def read_lines(path: Path) -> list[Record]:
    """Return the lines of a finished file."""
    with path.open("rb") as file:
        return [json.loads(line) for line in file]


def _queries(
    answerer: FreeAnswerer,
    benchmark: Benchmark,
    changer: Changer,
    form: str,
    known: set[str],
    skipped: Skipped,
) -> Iterator[tuple[Question, Any]]:
    """Yield the questions that have such a form and are not known, with their queries."""
    for question in benchmark.questions(skipped):
        if question.id in known or (changed := changer.change(question, form)) is None:
            continue
        with skipped.catching():
            yield changed.question, answerer.query(changed)
