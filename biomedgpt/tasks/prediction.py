"""Lines of prediction files: what each of them holds, and what those of one run share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMMON_KEYS: Mapping[str, type] = {
    "id": str,
    "prediction": str,
    "reference": str,
    "references": list,
    "dataset": str,
    "dataset_hash": str,
    "split": str,
    "decoding": dict,
}
"""Keys of every line, with their types; a task adds its own (`Task.prediction_keys`)."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What all predictions of one run share."""

    dataset: str
    dataset_hash: str
    split: str
    decoding: Mapping[str, Any]
    majority: Mapping[str, str]
    """Commonest training answer by question type."""
