"""Captions with their references, as they come and as records of predictions."""

from collections.abc import Sequence
from typing import Any

CASES = [
    (
        "The heart is normal in size.",
        ["Heart size is normal.", "The heart is of normal size; lungs clear."],
    ),
    ("T2-weighted axial MRI, 3.5 cm mass", ["Axial T2-weighted (MRI) with a 3.5 cm mass."]),
    ("", ["No pneumothorax."]),
    ("no no no acute disease", ["No acute disease.", "No disease"]),
    ("It's the patient's left café-au-lait spot", ["A left café-au-lait spot"]),
    ("...", ["normal chest x-ray"]),
]


def records(cases: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, Any]]:
    return [
        {
            "id": str(number),
            "prediction": prediction,
            "reference": references[0],
            "references": [{"answer": text, "confidence": 1.0} for text in references],
        }
        for number, (prediction, references) in enumerate(cases)
    ]
