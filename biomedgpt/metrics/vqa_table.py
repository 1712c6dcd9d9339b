"""The score of visual question answering as a table, the same on screen and in reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biomedgpt.metrics.bootstrap import Estimate
from biomedgpt.metrics.vqa import DEFINITIONS, Accuracies, VqaScore, looks_at_image
from biomedgpt.metrics.vqa_files import VqaEvaluation

NOT_LOOKING = (
    "The accuracy is not above the blank-image accuracy by more than the 95 % interval: "
    "this model does not look at the image."
)
BELOW_MAJORITY = "The accuracy is not above that of always giving the majority answer."


@dataclass(frozen=True)
class ScoreTable:
    """Cells ready to print: ``rows`` hold the measure, n, and one cell per score column."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    warnings: Sequence[str]


def score_table(
    score: VqaScore, *, blank_score: VqaScore | None = None, gain: Accuracies | None = None
) -> ScoreTable:
    """Return the table of ``score`` beside its baselines.

    Args:
        score: of the model's predictions.
        blank_score: of the predictions with blanked images.
        gain: accuracy of the model minus that with blanked images, paired by question.
    """
    columns = ["measure", "n", "model"]
    if blank_score is not None:
        columns.append("blank image")
    if gain is not None:
        columns.append("gain over blank")
    columns.append("majority answer")

    rows = []
    for name, part in (("accuracy", "overall"), ("  open", "open"), ("  closed", "closed")):
        estimate: Estimate = getattr(score.accuracy, part)
        cells = [name, str(estimate.n), format_estimate(estimate)]
        if blank_score is not None:
            cells.append(format_estimate(getattr(blank_score.accuracy, part)))
        if gain is not None:
            cells.append(format_estimate(getattr(gain, part), signed=True))
        cells.append(format_estimate(getattr(score.majority, part)))
        rows.append(tuple(cells))
    for name, attribute in (
        ("open token recall", "open_token_recall"),
        ("weighted F1", "weighted_f1"),
    ):
        estimate = getattr(score, attribute)
        cells = [name, str(estimate.n), format_estimate(estimate)]
        if blank_score is not None:
            cells.append(format_estimate(getattr(blank_score, attribute)))
        cells += [""] * (len(columns) - len(cells))
        rows.append(tuple(cells))

    warnings = []
    if gain is not None and not looks_at_image(gain):
        warnings.append(NOT_LOOKING)
    model, majority = score.accuracy.overall.value, score.majority.overall.value
    if model is not None and majority is not None and model <= majority:
        warnings.append(BELOW_MAJORITY)
    return ScoreTable(columns=columns, rows=rows, warnings=warnings)


def format_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """Return the value and its interval to three digits, "-" where there is no value."""
    if estimate.value is None:
        return "-"
    sign = "+" if signed else ""
    text = f"{estimate.value:{sign}.3f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"
    return text


def describe_decoding(decoding: Mapping[str, Any], *, n: int) -> dict[str, str]:
    """Return what a reader must know of the decoding, by name; ``n`` is the number of questions."""
    known = ("constrained", "candidates", "candidates_cover")
    facts = {
        "decoding": ", ".join(
            f"{key}={_plain(value)}" for key, value in decoding.items() if key not in known
        )
        or "not stated"
    }
    if "constrained" not in decoding:
        facts["candidates"] = "not stated"
    elif not decoding["constrained"]:
        facts["candidates"] = "none: free decoding"
    else:
        facts["candidates"] = f"constrained to {decoding.get('candidates', 'some')} answers"
        if "candidates_cover" in decoding:
            facts["candidates"] += (
                f", which cover the reference of {decoding['candidates_cover']} of {n} questions"
            )
    return facts


def format_report(evaluation: VqaEvaluation) -> str:
    """Return the whole text that a scoring script prints."""
    predictions, score = evaluation.predictions, evaluation.score
    table = score_table(score, blank_score=evaluation.blank_score, gain=evaluation.gain)
    n = score.accuracy.overall.n
    facts = {
        "scorer": score.scorer,
        "dataset": f"{predictions.dataset}, split {predictions.split}, {n} questions",
        "hash": predictions.dataset_hash,
        **describe_decoding(predictions.decoding, n=n),
        "normalised": score.normalisation,
    }
    lines = [f"{name + ':':<12}{value}" for name, value in facts.items()]
    lines += ["", *_align([tuple(table.columns), *table.rows]), ""]
    lines += [f"! {warning}" for warning in table.warnings]
    lines += [f"{name}: {text}" for name, text in DEFINITIONS.items()]
    return "\n".join(lines)


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            # Numbers of questions to the right, all else to the left.
            cell.rjust(width) if index == 1 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
