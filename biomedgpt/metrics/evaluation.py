"""Scoring prediction files of any task: reading, matching with the dataset, comparing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.bootstrap import Estimate, FoldEstimate, bootstrap_mean, mean_over_folds
from biomedgpt.metrics.captioning import CaptioningScore
from biomedgpt.metrics.groups import GROUPS, Credits, Group, Score, group_of_task
from biomedgpt.metrics.predictions import (
    PredictionFile,
    Record,
    check_against_dataset,
    check_blank,
    differing_keys,
    read_predictions,
)
from biomedgpt.metrics.result import Measure, Result

# What score files call the paired gains.
GAIN_NAMES = {"accuracy_open": "open", "accuracy_closed": "closed"}
# These differ between the folds of one cross-validation.
FOLD_KEYS = ("fold", "candidates_cover")


@dataclass(frozen=True, kw_only=True)
class Evaluation(Result):
    """Scores of one prediction file, and of the same run with blanked images if that was given."""

    predictions: PredictionFile
    score: Score
    blank_score: Score | None = None

    def to_dict(self) -> dict[str, Any]:
        """Add the whole scores, and the gains over blank images by part."""
        gains = {
            GAIN_NAMES.get(measure.key, "overall"): asdict(measure.gain)
            for measure in self.measures
            if measure.gain is not None
        }
        return super().to_dict() | {
            "score": self.score.to_dict(),
            "blank_score": None if self.blank_score is None else self.blank_score.to_dict(),
            "gain": gains or None,
        }


@dataclass(frozen=True, kw_only=True)
class CrossValidation(Result):
    """Mean and standard deviation over folds."""

    folds: Sequence[Evaluation]

    def to_dict(self) -> dict[str, Any]:
        """Add the folds."""
        return super().to_dict() | {"folds": [fold.to_dict() for fold in self.folds]}


def read_group_predictions(group: str, path: Path | str) -> PredictionFile:
    """Read and validate predictions of one group of tasks (see `read_predictions`)."""
    return read_predictions(path, keys=GROUPS[group].keys, check=GROUPS[group].check)


def evaluate_files(
    group: str, path: Path | str, *, blank: Path | str | None = None, data: Path | str | None = None
) -> Evaluation:
    """Validate and score a prediction file.

    Args:
        group: name of the kind of task, see `GROUPS`.
        path: predictions of the model.
        blank: predictions of the same model for the same examples with blanked images.
        data: prepared dataset whose ids and hash the predictions must match.

    Raises:
        DataError: a file that is damaged or does not fit the others.
        ConfigError: ``data`` is for another group, or a package for the scores is not installed.
    """
    file = read_group_predictions(group, path)
    blank_file = None if blank is None else read_group_predictions(group, blank)
    return _evaluate(GROUPS[group], file, blank_file, data)


def evaluate_folds(
    group: str,
    paths: Sequence[Path | str],
    *,
    blanks: Sequence[Path | str] = (),
    data: Path | str | None = None,
) -> CrossValidation:
    """Validate and score the prediction files of a cross-validation, one per fold.

    Args:
        group: name of the kind of task, see `GROUPS`.
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
        _evaluate(GROUPS[group], file, blank_files.get(name), data) for name, file in files.items()
    ]
    first = folds[0]
    return CrossValidation(
        group=first.group,
        dataset=first.dataset,
        dataset_hash=first.dataset_hash,
        split=f"{len(folds)} folds",
        decoding={key: value for key, value in first.decoding.items() if key not in FOLD_KEYS},
        n=sum(fold.n for fold in folds),
        measures=[
            _mean_measure(same) for same in zip(*(fold.measures for fold in folds), strict=True)
        ],
        scorer=first.scorer,
        normalisation=first.normalisation,
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
    score = group.score(file.records)
    blank_score = None if blank is None else group.score(blank.records)
    measures = []
    for kind in group.measures:
        gain = None
        if blank is not None and kind.credits is not None:
            gain = paired_gain(file.records, blank.records, kind.credits)
        measures.append(
            Measure(
                key=kind.key,
                label=kind.label,
                model=kind.model(score),
                blank=None if blank_score is None else kind.model(blank_score),
                gain=gain,
                baseline=None if kind.baseline is None else kind.baseline(score),
                problem=None if kind.problem is None else kind.problem(score),
            )
        )
    return Evaluation(
        group=group,
        dataset=file.dataset,
        dataset_hash=file.dataset_hash,
        split=file.split,
        decoding=file.decoding,
        n=len(file.records),
        measures=measures,
        scorer=score.scorer,
        normalisation=score.normalisation,
        notes=score.notes if isinstance(score, CaptioningScore) else [],
        predictions=file,
        score=score,
        blank_score=blank_score,
    )


def paired_gain(
    records: Sequence[Record], baseline: Sequence[Record], credits: Credits
) -> Estimate:
    """Return the mean credit of ``records`` minus that of ``baseline``, example by example.

    Both must hold the same ids. The interval is that of the paired difference, which is narrower
    than what the intervals of the two scores suggest.
    """
    by_id = {record["id"]: record for record in baseline}
    differences = credits(records) - credits([by_id[record["id"]] for record in records])
    return bootstrap_mean(differences[~np.isnan(differences)])


def _check_group(group: Group, folder: Path | str) -> None:
    """Raise a ConfigError if a prepared dataset is for another group of tasks."""
    # Imported here: scoring alone needs neither h5py nor the data.
    from biomedgpt.data.prepared import PreparedDataset

    task = PreparedDataset(folder).card.task
    if task not in group.tasks:
        raise ConfigError(
            f"{folder} is for the task {task}; score its predictions with "
            f"evaluation/{group_of_task(task).name}.py"
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
        for key in ("dataset", "dataset_hash"):
            if file.records[0][key] != files[0].records[0][key]:
                raise DataError(
                    f"{file.path}: {key} is {file.records[0][key]!r}, but "
                    f"{files[0].records[0][key]!r} in {files[0].path}; give the folds of one "
                    "dataset"
                )
        differing = differing_keys(file.decoding, files[0].decoding, ignored=FOLD_KEYS)
        if differing:
            raise DataError(
                f"{file.path}: decoding differs from {files[0].path} in {', '.join(differing)}; "
                "generate all folds with the same options"
            )
        if int(number) in found:
            raise DataError(
                f"{file.path}: {file.split} is already in {found[int(number)].path}; give every "
                "fold once"
            )
        found[int(number)] = file
    return {file.split: file for _, file in sorted(found.items())}


def _mean_measure(folds: Sequence[Measure]) -> Measure:
    """Return one measure over all folds."""

    def mean(estimates: Sequence[Estimate | None]) -> FoldEstimate | None:
        known = [estimate for estimate in estimates if estimate is not None]
        return mean_over_folds(known) if known else None

    return Measure(
        key=folds[0].key,
        label=folds[0].label,
        model=mean_over_folds([fold.model for fold in folds]),
        blank=mean([fold.blank for fold in folds]),
        gain=mean([fold.gain for fold in folds]),
        baseline=mean([fold.baseline for fold in folds]),
        problem=next((fold.problem for fold in folds if fold.problem), None),
    )


def _missing_folds(files: Mapping[str, PredictionFile], data: Path | str) -> list[str]:
    """Return a note if some folds of the dataset are not among ``files``."""
    from biomedgpt.data.prepared import PreparedDataset

    missing = [name for name in PreparedDataset(data).folds if name not in files]
    return [f"without {', '.join(missing)}: not the whole cross-validation"] if missing else []
