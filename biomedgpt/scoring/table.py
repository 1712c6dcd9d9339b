"""Scores as tables, the same on screen and in reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biomedgpt.scoring.bootstrap import Estimate, FoldEstimate
from biomedgpt.scoring.evaluation import CrossValidation
from biomedgpt.scoring.score_file import MeasureResult, Score


@dataclass(frozen=True)
class ScoreTable:
    """Cells ready to print: ``rows`` hold the measure, n, and one cell per score column."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    warnings: Sequence[str]


def score_table(result: Score) -> ScoreTable:
    """Return the table of all measures beside their baselines."""
    columns = ["measure", "n", "model"]
    with_blank = any(measure.blank is not None for measure in result.measures)
    if with_blank:
        columns += ["blank image", "gain over blank"]
    if result.group.baseline is not None:
        columns.append(result.group.baseline.name)
    rows = []
    for measure in result.measures:
        cells = [measure.label, str(measure.model.n), format_value(measure)]
        if with_blank:
            cells += [_cell(measure.blank), _cell(measure.gain, signed=True)]
        if result.group.baseline is not None:
            cells.append(_cell(measure.baseline))
        rows.append(tuple(cells))
    return ScoreTable(columns=columns, rows=rows, warnings=result.warnings)


def format_value(measure: MeasureResult) -> str:
    """Return the model's value, or why there is none."""
    if measure.model.value is None and measure.problem is not None:
        return f"not computed: {measure.problem}"
    return format_estimate(measure.model)


def format_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """Return the value and its interval (or deviation) to three digits, "-" if there is none."""
    if estimate.value is None:
        return "-"
    sign = "+" if signed else ""
    text = f"{estimate.value:{sign}.3f}"
    if isinstance(estimate, FoldEstimate):
        text += f" ± {estimate.deviation:.3f}"
    elif estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"
    return text


def describe_decoding(decoding: Mapping[str, Any], *, n: int, items: str) -> dict[str, str]:
    """Return what a reader must know of the decoding, by name.

    Args:
        decoding: as in prediction files.
        n: number of examples.
        items: what the examples are called.
    """
    known = ("constrained", "candidates", "candidates_cover")
    options = [f"{key}={_plain(value)}" for key, value in decoding.items() if key not in known]
    facts = {"decoding": ", ".join(options) or "not stated"}
    if "constrained" not in decoding:
        facts["candidates"] = "not stated"
    elif not decoding["constrained"]:
        facts["candidates"] = "none: free decoding"
    else:
        facts["candidates"] = f"constrained to {decoding.get('candidates', 'some')} answers"
        if "candidates_cover" in decoding:
            facts["candidates"] += (
                f", which cover the reference of {decoding['candidates_cover']} of {n} {items}"
            )
    return facts


def decoding_in_words(decoding: Mapping[str, Any]) -> str:
    """Return in a few words how predictions were made."""
    words = []
    if decoding.get("mode") == "allcand":
        words.append("every candidate scored")
    elif decoding.get("sampling"):
        words.append("sampled")
    elif "beam" in decoding:
        words.append(f"beam {decoding['beam']}")
    if "constrained" in decoding:
        constrained = f"one of {decoding.get('candidates', 'the')} candidates"
        words.append(constrained if decoding["constrained"] else "free text")
    if decoding.get("no_repeat_ngram_size"):
        words.append(f"no {decoding['no_repeat_ngram_size']}-gram twice")
    if decoding.get("ema"):
        words.append("averaged weights")
    return ", ".join(words) or "not stated"


def format_report(result: Score) -> str:
    """Return the whole text that a scoring script prints."""
    facts = {
        "scorer": result.scorer,
        "dataset": f"{result.dataset}, {_split(result)}, {result.n} {result.group.items}",
        "hash": result.dataset_hash,
        **describe_decoding(result.decoding, n=result.n, items=result.group.items),
        "normalised": result.normalisation,
    }
    lines = [f"{name + ':':<12}{value}" for name, value in facts.items()]
    if isinstance(result, CrossValidation):
        lines += ["", *_align(_fold_rows(result))]
    table = score_table(result)
    lines += ["", *_align([tuple(table.columns), *table.rows]), ""]
    lines += [f"! {warning}" for warning in table.warnings]
    lines += [f"! {note}" for note in result.notes]
    if isinstance(result, CrossValidation):
        lines.append("±: standard deviation over the folds (n - 1) around their mean")
    lines += [f"{name}: {text}" for name, text in result.group.definitions.items()]
    return "\n".join(lines)


def _split(result: Score) -> str:
    return result.split if result.split.endswith("folds") else f"split {result.split}"


def _fold_rows(result: CrossValidation) -> list[tuple[str, ...]]:
    """Return a table of the measures that matter most, fold by fold."""
    shown = [
        measure
        for measure in result.measures
        if measure.key in result.group.headline and measure.model.value is not None
    ]
    rows = [("fold", "n", *(measure.label for measure in shown))]
    for fold in result.folds:
        values = {measure.key: format_estimate(measure.model) for measure in fold.measures}
        rows.append((fold.split, str(fold.n), *(values[measure.key] for measure in shown)))
    return rows


def _cell(estimate: Estimate | None, *, signed: bool = False) -> str:
    return "" if estimate is None else format_estimate(estimate, signed=signed)


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            # Numbers of examples to the right, all else to the left.
            cell.rjust(width) if index == 1 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
