"""Prediction files of visual question answering: reading, matching, scoring."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from biomedgpt.errors import DataError
from biomedgpt.metrics.predictions import (
    COMMON_KEYS,
    PredictionFile,
    Record,
    check_against_dataset,
    check_same_ids,
    read_predictions,
)
from biomedgpt.metrics.vqa import Accuracies, VqaScore, accuracy_gain, score_vqa

ANSWER_TYPES = ("OPEN", "CLOSED")
# ``majority`` is the empty string where training has no question of that type, or no split.
VQA_KEYS = {
    **COMMON_KEYS,
    "question": str,
    "answer_type": str,
    "question_type": str,
    "majority": str,
}


@dataclass(frozen=True, kw_only=True)
class VqaEvaluation:
    """Scores of one run, and of the same run with blanked images where that was given."""

    predictions: PredictionFile
    score: VqaScore
    blank_score: VqaScore | None = None
    gain: Accuracies | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what a table of results needs, as plain values for JSON."""
        return {
            "task": "vqa",
            "dataset": self.predictions.dataset,
            "dataset_hash": self.predictions.dataset_hash,
            "split": self.predictions.split,
            "decoding": self.predictions.decoding,
            "score": self.score.to_dict(),
            "blank_score": None if self.blank_score is None else self.blank_score.to_dict(),
            "gain": None if self.gain is None else asdict(self.gain),
        }


def evaluate_vqa_files(
    path: Path | str, *, blank: Path | str | None = None, data: Path | str | None = None
) -> VqaEvaluation:
    """Validate and score a prediction file.

    Args:
        path: predictions of the model.
        blank: predictions of the same model for the same questions with blanked images.
        data: prepared dataset whose ids and hash the predictions must match.

    Raises:
        DataError: a file that is damaged or does not fit the others.
    """
    predictions = read_vqa_predictions(path)
    if data is not None:
        check_against_dataset(predictions, data)
    score = score_vqa(predictions.records)
    if blank is None:
        return VqaEvaluation(predictions=predictions, score=score)
    blank_predictions = read_vqa_predictions(blank)
    check_blank(predictions, blank_predictions)
    return VqaEvaluation(
        predictions=predictions,
        score=score,
        blank_score=score_vqa(blank_predictions.records),
        gain=accuracy_gain(predictions.records, blank_predictions.records),
    )


def read_vqa_predictions(path: Path | str) -> PredictionFile:
    """Read and validate a VQA prediction file (see :func:`.predictions.read_predictions`)."""
    return read_predictions(path, keys=VQA_KEYS, check=_check_answer_type)


def check_blank(predictions: PredictionFile, blank: PredictionFile) -> None:
    """Raise a DataError unless ``blank`` answers the same questions with blanked images."""
    for file, expected in ((predictions, False), (blank, True)):
        if file.decoding.get("blank_image", expected) is not expected:
            raise DataError(
                f"{file.path}: generated with {'blank' if not expected else 'real'} images "
                "(key 'decoding.blank_image'); give the predictions first and --blank second"
            )
    for key in ("dataset", "dataset_hash", "split"):
        if predictions.records[0][key] != blank.records[0][key]:
            raise DataError(
                f"{blank.path}: {key} is {blank.records[0][key]!r}, but "
                f"{predictions.records[0][key]!r} in {predictions.path}; generate both from one "
                "prepared folder"
            )
    decodings = (predictions.decoding, blank.decoding)
    differing = sorted(
        key
        for key in decodings[0].keys() | decodings[1].keys()
        if key != "blank_image" and decodings[0].get(key) != decodings[1].get(key)
    )
    if differing:
        raise DataError(
            f"{blank.path}: decoding differs from {predictions.path} in {', '.join(differing)}; "
            "the image may be the only difference: generate both with the same options"
        )
    check_same_ids(blank.ids, predictions.ids, where=str(blank.path), source=str(predictions.path))


def _check_answer_type(record: Record, where: str) -> None:
    if record["answer_type"] not in ANSWER_TYPES:
        raise DataError(
            f"{where}: key 'answer_type' is {record['answer_type']!r}, must be OPEN or CLOSED"
        )
