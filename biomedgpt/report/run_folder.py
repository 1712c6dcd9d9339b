"""What a report takes from a run folder."""

import json
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from biomedgpt.data.prepared.card import CARD_FILE, DatasetCard
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import DataError
from biomedgpt.metrics.measures import Record
from biomedgpt.report.history import History, read_fairseq_log
from biomedgpt.report.html import ReportExample, write_report
from biomedgpt.report.plots import series
from biomedgpt.scoring.evaluation import Evaluation, evaluate_files
from biomedgpt.scoring.predictions import read_predictions
from biomedgpt.scoring.table import describe_decoding
from biomedgpt.tasks import get_task, group_of_task, groups, guess_group

# Names of the recipes' outputs in a run folder; each of them may be missing.
LOG = "train.log"
PREDICTIONS = "predictions.jsonl"
BLANK_PREDICTIONS = "predictions_blank.jsonl"
FACTS = "run.json"
REPORT = "report.html"

NUM_EXAMPLES = 12
SHOWN_LETTERS = 300
"""Of a long text in an example."""
PACKAGES = ("biomedgpt", "torch", "ve-fairseq", "numpy", "scikit-learn")


def is_run_folder(folder: Path) -> bool:
    """Say whether there is anything in ``folder`` that a report of one run is made from."""
    return any((folder / name).is_file() for name in (LOG, PREDICTIONS))


def report_run(
    folder: Path,
    *,
    data: Path | None = None,
    out: Path | None = None,
    title: str | None = None,
    seed: int = 0,
) -> Path:
    """Write the report of one run folder and return its path.

    Args:
        folder: holds a training log, predictions, predictions with blanked images and facts
            about the run (a JSON object of named values), under the names of this module.
        data: prepared dataset of the predictions, which the images of the examples come from;
            without it there are no examples.
        out: file to write; ``report.html`` in ``folder`` by default.
        title: heading; made from the folder's name by default.
        seed: picks the examples.

    Raises:
        DataError: nothing to report on, or a file that is damaged or does not fit.
    """
    if not is_run_folder(folder):
        raise DataError(f"{folder}: neither {LOG} nor {PREDICTIONS} is in this run folder")
    facts: dict[str, Mapping[str, object]] = {}
    if (folder / FACTS).is_file():
        facts["Run"] = read_facts(folder / FACTS)

    history = History(entries=[])
    if (folder / LOG).is_file():
        history = read_fairseq_log(folder / LOG)
        facts["Training"] = _training_facts(history)

    evaluation = None
    examples: list[ReportExample] = []
    if (folder / PREDICTIONS).is_file():
        blank = folder / BLANK_PREDICTIONS
        evaluation = evaluate_files(
            _group_name(folder / PREDICTIONS, data),
            folder / PREDICTIONS,
            blank=blank if blank.is_file() else None,
            data=data,
        )
        items = evaluation.group.items
        facts["Evaluation"] = {
            "dataset": f"{evaluation.dataset}, split {evaluation.split}",
            "dataset hash": evaluation.dataset_hash,
            items: evaluation.n,
            **describe_decoding(evaluation.decoding, n=evaluation.n, items=items),
            "scorer": evaluation.scorer,
        }
        if data is not None:
            examples = pick_examples(evaluation, data, seed=seed)
    facts["Versions (where this report was made)"] = _versions()

    out = out or folder / REPORT
    write_report(
        out,
        title=title or f"BiomedGPT run: {folder.resolve().name}",
        history=history.entries,
        result=evaluation,
        examples=examples,
        facts=facts,
    )
    return out


def read_facts(path: Path) -> dict[str, object]:
    """Read a JSON object of facts about a run; DataError when it is not one."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON; delete or fix it") from error
    if not isinstance(facts, dict):
        raise DataError(f"{path}: not a JSON object; delete or fix it")
    return facts


def _group_name(predictions: Path, data: Path | None) -> str:
    """Return the kind of task: the dataset's, or else what the predictions look like."""
    if data is not None:
        return group_of_task(PreparedDataset(data).card.task, where=str(data)).name
    folder = predictions.parent
    if (folder / CARD_FILE).is_file():  # a recipe's copy
        return group_of_task(DatasetCard.load(folder).task, where=str(folder)).name
    return guess_group(read_predictions(predictions).records[0]).name


def pick_examples(
    evaluation: Evaluation, data: Path, *, count: int = NUM_EXAMPLES, seed: int = 0
) -> list[ReportExample]:
    """Return up to ``count`` examples, half of them mistakes where answers are right or wrong.

    They are drawn at random from ``seed``, of different images as far as possible.
    """
    dataset = PreparedDataset(data)
    task = get_task(dataset.card.task)
    split = dataset.split(evaluation.split)
    rows = {name: row for row, name in enumerate(split.column("id"))}
    records = list(evaluation.predictions.records)
    credits = dict(zip((r["id"] for r in records), evaluation.group.credits(records), strict=True))
    random.Random(seed).shuffle(records)
    primary = evaluation.primary
    judged = primary.key == "accuracy"
    right = [record for record in records if judged and credits[record["id"]] >= 1]
    wrong = [record for record in records if not judged or credits[record["id"]] < 1]
    images = {record["id"]: split.image_number(rows[record["id"]]) for record in records}
    # Whatever one kind cannot fill is left to the other.
    num_wrong = max(min(count // 2, len(wrong)), min(count - len(right), len(wrong)))
    seen: set[int] = set()
    chosen = [
        *_take(wrong, num_wrong, images=images, seen=seen),
        *_take(right, count - num_wrong, images=images, seen=seen),
    ]
    random.Random(seed).shuffle(chosen)
    examples = []
    for record in chosen:
        row = split[rows[record["id"]]]
        image = row.pop("image", None)
        kind = record.get("answer_type") or ""
        examples.append(
            ReportExample(
                image=image,
                question=_shorten(record.get("question") or task.instruction(row)),
                answer=_shorten(record["prediction"]),
                reference=_shorten(record["reference"]),
                credit=float(credits[record["id"]]),
                note=", ".join(filter(None, (kind.lower(), record.get("question_type")))),
                measure="" if judged else primary.label,
            )
        )
    return examples


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS].rstrip() + " ..."


def _take(
    records: Sequence[Record], count: int, *, images: Mapping[str, int], seen: set[int]
) -> list[Record]:
    """Return ``count`` records, those of images not in ``seen`` (which grows) first."""
    fresh: list[Record] = []
    others: list[Record] = []
    for record in records:
        image = images[record["id"]]
        if image in seen or len(fresh) == count:
            others.append(record)
        else:
            fresh.append(record)
            seen.add(image)
    return [*fresh, *others][:count]


def _training_facts(history: History) -> dict[str, object]:
    """Return how far training went and how it ended."""
    facts: dict[str, object] = {}
    if history.entries:
        facts["updates"] = history.entries[-1]["update"]
    wanted: tuple[tuple[str, str, str, Callable[[list[float]], float], str], ...] = (
        ("last training loss", "train", "loss", lambda values: values[-1], ""),
        ("last validation loss", "valid", "loss", lambda values: values[-1], ""),
        *(
            (f"best validation {measure.label}", "valid", measure.logged, max, "")
            for measure in (group.task.primary_measure() for group in groups().values())
        ),
        ("examples per second", "train_inner", "examples_per_s", statistics.median, ""),
        ("tokens per second", "train_inner", "tokens_per_s", statistics.median, ""),
        ("TFLOP/s per device", "train_inner", "tflops", statistics.median, ""),
        ("model FLOP utilisation", "train_inner", "mfu", statistics.median, " %"),
        ("peak memory of a process", "train_inner", "peak_gb", max, " GB"),
    )
    for name, kind, key, choose, unit in wanted:
        values = [value for _, value in series(history.entries, kind, key)]
        if values:
            facts[name] = f"{choose(values):.4g}{unit}"
    walls = [e["wall"] for e in history.entries if "wall" in e]
    if walls:
        facts["time of the last session"] = f"{walls[-1] / 60:.1f} min"
    if history.bad_lines:
        facts["unreadable log lines"] = history.bad_lines
    return facts


def _versions() -> dict[str, object]:
    versions: dict[str, object] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
