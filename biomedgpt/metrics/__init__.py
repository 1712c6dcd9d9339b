"""Scores, free of torch: what is reported is computed here, in training and afterwards."""

from biomedgpt.metrics.bootstrap import Estimate
from biomedgpt.metrics.evaluation import evaluate_files, evaluate_folds, read_group_predictions
from biomedgpt.metrics.normalize import NORMALISATION, normalize_answer
from biomedgpt.metrics.predictions import (
    PredictionFile,
    check_against_dataset,
    read_predictions,
    write_predictions,
)
from biomedgpt.metrics.result import Measure, Result
from biomedgpt.metrics.vqa import VqaCounts, VqaScore, score_vqa

__all__ = [
    "NORMALISATION",
    "Estimate",
    "Measure",
    "PredictionFile",
    "Result",
    "VqaCounts",
    "VqaScore",
    "check_against_dataset",
    "evaluate_files",
    "evaluate_folds",
    "normalize_answer",
    "read_group_predictions",
    "read_predictions",
    "score_vqa",
    "write_predictions",
]
