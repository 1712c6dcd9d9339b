"""Scores of prediction files: reading them, measures with intervals, tables, ``score.json``.

Free of torch: what is reported is computed here, in training and afterwards.
"""

from biomedgpt.scoring.bootstrap import Estimate
from biomedgpt.scoring.evaluation import (
    evaluate_files,
    evaluate_folds,
    measure_records,
    read_group_predictions,
)
from biomedgpt.scoring.predictions import (
    PredictionFile,
    check_against_dataset,
    read_predictions,
    write_predictions,
)
from biomedgpt.scoring.score_file import MeasureResult, Score

__all__ = [
    "Estimate",
    "MeasureResult",
    "PredictionFile",
    "Score",
    "check_against_dataset",
    "evaluate_files",
    "evaluate_folds",
    "measure_records",
    "read_group_predictions",
    "read_predictions",
    "write_predictions",
]
