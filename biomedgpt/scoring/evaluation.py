"""Scoring prediction files of any task: reading, matching with the dataset, comparing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.measures import Corpus, Examples, Measure, NotMeasured, Record
from biomedgpt.scoring.bootstrap import (
    RESAMPLES,
    SEED,
    Estimate,
    bootstrap_mean,
    bootstrap_statistics,
    mean_over_folds,
)
from biomedgpt.scoring.predictions import (
    PredictionFile,
    check_against_dataset,
    check_alike,
    check_blank,
    read_predictions,
)
from biomedgpt.scoring.score_file import MeasureResult, Score
from biomedgpt.tasks import Group, get_group, group_of_task

Estimates = dict[str, tuple[Estimate, str | None]]
"""By key of the measure: its value, and why there is none."""
# These differ between the folds of one cross-validation.
FOLD_KEYS = ("fold", "candidates_cover")


@dataclass(frozen=True, kw_only=True)
class Evaluation(Score):
    """Scores of one prediction file, and of the same run with blanked images if that was given."""

    predictions: PredictionFile
    details: Mapping[str, Any]
    """What the task adds, such as how often each class is the reference."""

    def to_dict(self) -> dict[str, Any]:
        """Add the details."""
        return super().to_dict() | dict(self.details)


@dataclass(frozen=True, kw_only=True)
class CrossValidation(Score):
    """Mean and standard deviation over folds."""

    folds: Sequence[Evaluation]

    def to_dict(self) -> dict[str, Any]:
        """Add the folds."""
        return super().to_dict() | {"folds": [fold.to_dict() for fold in self.folds]}


def read_group_predictions(group: str, path: Path | str) -> PredictionFile:
    """Read and validate predictions of one group of tasks (see `read_predictions`)."""
    task = get_group(group).task
    return read_predictions(path, keys=task.prediction_keys(), check=task.check_record)


def evaluate_files(
    group: str, path: Path | str, *, blank: Path | str | None = None, data: Path | str | None = None
) -> Evaluation:
    """Validate and score a prediction file.

    Args:
        group: name of the kind of task, see `biomedgpt.tasks.groups`.
        path: predictions of the model.
        blank: predictions of the same model for the same examples with blanked images.
        data: prepared dataset whose ids and hash the predictions must match.

    Raises:
        DataError: a file that is damaged or does not fit the others.
        ConfigError: ``data`` is for another group, or a package for the scores is not installed.
    """
    file = read_group_predictions(group, path)
    blank_file = None if blank is None else read_group_predictions(group, blank)
    return _evaluate(get_group(group), file, blank_file, data)


def evaluate_folds(
    group: str,
    paths: Sequence[Path | str],
    *,
    blanks: Sequence[Path | str] = (),
    data: Path | str | None = None,
) -> CrossValidation:
    """Validate and score the prediction files of a cross-validation, one per fold.

    Args:
        group: name of the kind of task, see `biomedgpt.tasks.groups`.
        paths: predictions of two folds or more, in any order.
        blanks: as many with blanked images, in any order; or none.
        data: prepared dataset, see `evaluate_files`.

    Raises:
        ConfigError, DataError: as `evaluate_files`; files that are not of one cross-validation.
    """
    files = _by_fold([read_group_predictions(group, path) for path in paths])
    blank_files = _by_fold([read_group_predictions(group, path) for path in blanks])
    if blanks and blank_files.keys() != files.keys():
        raise DataError(
            f"{next(iter(blank_files.values())).path}: the predictions with blank images are of "
            f"{', '.join(blank_files)}, but the others of {', '.join(files)}; give the same folds"
        )
    folds = [
        _evaluate(get_group(group), file, blank_files.get(name), data)
        for name, file in files.items()
    ]
    first = folds[0]
    same = ("group", "dataset", "dataset_hash", "scorer", "normalisation")
    return CrossValidation(
        **{name: getattr(first, name) for name in same},
        split=f"{len(folds)} folds",
        decoding={key: value for key, value in first.decoding.items() if key not in FOLD_KEYS},
        n=sum(fold.n for fold in folds),
        measures=list(map(_mean_measure, zip(*(fold.measures for fold in folds), strict=True))),
        notes=list(dict.fromkeys(note for fold in folds for note in fold.notes))
        + ([] if data is None else _missing_folds(files, data)),
        folds=folds,
    )


def _evaluate(
    group: Group, file: PredictionFile, blank: PredictionFile | None, data: Path | str | None
) -> Evaluation:
    if data is not None:
        _check_group(group, data)
        check_against_dataset(file, data)
    if blank is not None:
        if not group.uses_image:
            raise ConfigError(f"{group.title} has no images that could be blank; leave out --blank")
        check_blank(file, blank)
    measures, problems = measure_records(
        group, file.records, None if blank is None else blank.records
    )
    return Evaluation(
        group=group,
        dataset=file.dataset,
        dataset_hash=file.dataset_hash,
        split=file.split,
        decoding=file.decoding,
        n=len(file.records),
        measures=measures,
        scorer=group.task.scorer,
        normalisation=group.task.normalised(),
        notes=group.task.remarks(len(file.records), problems),
        predictions=file,
        details=group.task.details(file.records),
    )


def measure_records(
    group: Group,
    records: Sequence[Record],
    blank: Sequence[Record] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[list[MeasureResult], dict[str, str]]:
    """Return all measures of a kind of task, and why some have no value, by key.

    The intervals depend on ``seed`` and on the order of the records, the values do not.

    Args:
        group: the kind of task.
        records: lines of a prediction file.
        blank: lines of the same examples with blanked images.
        resamples: of the intervals.
        seed: of the intervals.

    Raises:
        DataError: a line that a measure cannot be computed of.
        ConfigError: a package that a measure needs is not installed.
    """
    options = {"resamples": resamples, "seed": seed}
    model = _estimates(group.measures, records, **options)
    blanked = {} if blank is None else _estimates(group.measures, blank, **options)
    compared = [measure for measure in group.measures if measure.baseline]
    beside: Estimates = {
        one.key: (Estimate(value=None, n=model[one.key][0].n), None) for one in compared
    }
    if group.baseline is not None:
        answered = [{**one, "prediction": group.baseline.answer(one)} for one in records]
        if any(one["prediction"] for one in answered):
            beside = _estimates(compared, answered, **options)
    results = []
    for measure in group.measures:
        key, gain = measure.key, None
        if blank is not None and measure.gain and measure.examples is not None:
            gain = paired_gain(records, blank, measure.examples, **options)
        results.append(
            MeasureResult(
                key=key,
                label=measure.label,
                model=model[key][0],
                blank=blanked[key][0] if key in blanked else None,
                gain=gain,
                baseline=beside[key][0] if key in beside else None,
                problem=model[key][1],
            )
        )
    return results, {key: problem for key, (_, problem) in model.items() if problem}


def _estimates(
    measures: Sequence[Measure], records: Sequence[Record], *, resamples: int, seed: int
) -> Estimates:
    """Return the value of each measure with its interval, and why there is none, by key."""
    n = len(records)

    @cache
    def together(corpus: Corpus, interval: bool) -> tuple[Sequence[Estimate], str | None]:
        try:
            statistics = corpus(records)
        except NotMeasured as problem:
            return [], str(problem) or None
        if not interval:
            return [Estimate(value=float(value), n=n) for value in statistics(np.arange(n))], None
        return bootstrap_statistics(statistics, n, resamples=resamples, seed=seed), None

    found: Estimates = {}
    for measure in measures:
        if measure.examples is not None:
            mean = bootstrap_mean(measure.examples(records), resamples=resamples, seed=seed)
            found[measure.key] = (mean, None)
        else:
            assert measure.corpus is not None
            estimates, problem = together(measure.corpus, measure.interval) if n else ([], None)
            unknown = Estimate(value=None, n=n)
            found[measure.key] = (estimates[measure.part] if estimates else unknown, problem)
    return found


def paired_gain(
    records: Sequence[Record],
    baseline: Sequence[Record],
    examples: Examples,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """Return the mean of a measure over ``records`` minus that over ``baseline``, paired.

    Both must hold the same ids. The interval is that of the paired difference, which is narrower
    than what the intervals of the two scores suggest.
    """
    by_id = {record["id"]: record for record in baseline}
    differences = examples(records) - examples([by_id[record["id"]] for record in records])
    return bootstrap_mean(differences, resamples=resamples, seed=seed)


def _check_group(group: Group, folder: Path | str) -> None:
    """Raise a ConfigError if a prepared dataset is for another group of tasks."""
    # Imported here: scoring alone needs neither h5py nor the data.
    from biomedgpt.data.prepared.dataset import PreparedDataset

    task = PreparedDataset(folder).card.task
    own = group_of_task(task, where=str(folder))
    if own.name != group.name:
        raise ConfigError(
            f"{folder} is for the task {task}; score its predictions with {own.how_to_score}"
        )


def _by_fold(files: Sequence[PredictionFile]) -> Mapping[str, PredictionFile]:
    """Return the files of a cross-validation by fold, in order.

    Raises:
        DataError: they are not of one cross-validation, or two are of the same fold.
    """
    found: dict[int, PredictionFile] = {}
    for file in files:
        number = file.split.removeprefix("fold")
        if number == file.split or not number.isdecimal():
            raise DataError(
                f"{file.path}: split is {file.split!r}, but several files must be of the folds of "
                "one cross-validation (fold0, fold1, ...); score them one by one"
            )
        check_alike(
            file,
            files[0],
            keys=("dataset", "dataset_hash"),
            fix="give the folds of one dataset",
            ignored=FOLD_KEYS,
            fix_decoding="generate all folds with the same options",
        )
        if int(number) in found:
            raise DataError(
                f"{file.path}: {file.split} is already in {found[int(number)].path}; give every "
                "fold once"
            )
        found[int(number)] = file
    return {file.split: file for _, file in sorted(found.items())}


def _mean_measure(folds: Sequence[MeasureResult]) -> MeasureResult:
    """Return one measure over all folds."""
    means: dict[str, Any] = {}
    for name in ("model", "blank", "gain", "baseline"):
        known = [one for fold in folds if (one := getattr(fold, name)) is not None]
        means[name] = mean_over_folds(known) if known else None
    problem = next((fold.problem for fold in folds if fold.problem), None)
    return replace(folds[0], **means, problem=problem)


def _missing_folds(files: Mapping[str, PredictionFile], data: Path | str) -> list[str]:
    """Return a note if some folds of the dataset are not among ``files``."""
    from biomedgpt.data.prepared.dataset import PreparedDataset

    missing = [name for name in PreparedDataset(data).folds if name not in files]
    return [f"without {', '.join(missing)}: not the whole cross-validation"] if missing else []
