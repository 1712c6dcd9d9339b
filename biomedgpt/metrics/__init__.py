"""Scores, free of torch: what is reported is computed here, in training and afterwards."""

from biomedgpt.metrics.bootstrap import Estimate
from biomedgpt.metrics.normalize import NORMALISATION, normalize_answer
from biomedgpt.metrics.predictions import (
    PredictionFile,
    check_against_dataset,
    read_predictions,
    write_predictions,
)
from biomedgpt.metrics.vqa import VqaCounts, VqaScore, score_vqa
from biomedgpt.metrics.vqa_files import evaluate_vqa_files, read_vqa_predictions

__all__ = [
    "NORMALISATION",
    "Estimate",
    "PredictionFile",
    "VqaCounts",
    "VqaScore",
    "check_against_dataset",
    "evaluate_vqa_files",
    "normalize_answer",
    "read_predictions",
    "read_vqa_predictions",
    "score_vqa",
    "write_predictions",
]
