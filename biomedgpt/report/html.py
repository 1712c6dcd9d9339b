"""One self-contained HTML page about a run: curves, scores beside baselines, examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from biomedgpt.data.imaging.addresses import thumbnail_uri
from biomedgpt.data.imaging.images import decode_image
from biomedgpt.errors import printable
from biomedgpt.files import write_text
from biomedgpt.report.plots import line_plot, series
from biomedgpt.scoring.score_file import Score
from biomedgpt.scoring.table import format_estimate, score_table

THUMBNAIL = 320  # pixels of the longer side
# Validation measures worth a curve and what to call them, in the order in which they are drawn.
VALID_MEASURES = {
    "vqa_score": "all questions",
    "vqa_open": "open",
    "vqa_closed": "closed",
    "accuracy": "accuracy",
    "rouge_l": "ROUGE-L",
}


@dataclass(frozen=True, kw_only=True)
class ReportExample:
    """One answered example.

    Attributes:
        image: the encoded image file, or None where the task has none.
        question, answer, reference: as the model saw and gave them, and what was expected.
        credit: 1 is right, 0 is wrong, between them is the confidence of the matching reference.
        note: a word on the kind of question, may be empty.
        measure: what ``credit`` is where texts are not right or wrong (``ROUGE-L``).
    """

    image: bytes | None
    question: str
    answer: str
    reference: str
    credit: float
    note: str = ""
    measure: str = ""


def write_report(
    out_html: Path | str,
    *,
    title: str,
    history: Sequence[Mapping[str, Any]] = (),
    result: Score | None = None,
    examples: Sequence[ReportExample] = (),
    facts: Mapping[str, Mapping[str, object]],
) -> None:
    """Write the page; it needs no other file and makes no request.

    Args:
        out_html: where to write it (atomically).
        title: heading of the page.
        history: ``entries`` of :func:`~biomedgpt.report.history.read_fairseq_log`.
        result: scores of the model; None when nothing was scored.
        examples: shown with their images, mistakes as well.
        facts: what was run, as sections of named values.

    Raises:
        ConfigError: the folder of ``out_html`` does not exist.
        DataError: an example's image cannot be decoded.
    """
    write_page(
        Path(out_html),
        "report.html",
        title=title,
        plots=_plots(history),
        result=result,
        table=None if result is None else score_table(result),
        headline=None if result is None else _headline(result),
        examples=[_example_view(number, example) for number, example in enumerate(examples, 1)],
        examples_note=_examples_note(examples),
        facts=facts,
    )


def render(template: str, **values: object) -> str:
    """Fill in a template of this folder; what is filled in is escaped, and nothing is hidden."""
    environment = Environment(
        loader=PackageLoader("biomedgpt", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return printable(environment.get_template(template).render(values), keep="\n\t")


def write_page(path: Path, template: str, **values: object) -> None:
    """Write what a template of this folder becomes; the file appears complete or not at all."""
    write_text(path, render(template, **values))


def _headline(result: Score) -> list[tuple[str, str, str]]:
    """Return name, value and interval of the primary measure: of the model and its baselines."""
    primary = result.primary
    columns = {
        "model": primary.model,
        "blank image": primary.blank,
        "gain over blank": primary.gain,
        result.group.baseline_name or "": primary.baseline,
    }
    return [
        # Its interval follows the value in brackets.
        (name, *format_estimate(estimate, signed=estimate is primary.gain).partition(" ")[::2])
        for name, estimate in columns.items()
        if estimate is not None
    ]


def _plots(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (description, data URI) of the plots that ``history`` has numbers for."""
    # Without the frequent entries the averages of the epochs are drawn.
    inner = series(history, "train_inner", "loss") or series(history, "train", "loss")
    loss = {"training": inner, "validation": series(history, "valid", "loss")}
    measures = {label: series(history, "valid", name) for name, label in VALID_MEASURES.items()}
    plots = []
    for what, curves in (("loss", loss), ("validation score", measures)):
        filled = {label: points for label, points in curves.items() if points}
        if filled:
            ends = "; ".join(
                f"{label}: last {points[-1][1]:.3g}" for label, points in filled.items()
            )
            plots.append((f"{what} over updates ({ends})", line_plot(filled, ylabel=what)))
    return plots


def _examples_note(examples: Sequence[ReportExample]) -> str:
    if any(example.measure for example in examples):
        return f"{len(examples)} examples, picked at random."
    wrong = sum(example.credit < 1 for example in examples)
    return (
        f"{len(examples)} examples, {wrong} of them answered wrongly or in part. They are picked "
        "to show mistakes too, so their share says nothing about the score."
    )


def _example_view(number: int, example: ReportExample) -> dict[str, Any]:
    if example.measure:
        verdict = ("part", f"{example.measure} {example.credit:.2f}")
    elif example.credit >= 1:
        verdict = ("right", "\u2713 right")
    elif example.credit <= 0:
        verdict = ("wrong", "\u2717 wrong")
    else:
        verdict = ("part", f"\u2248 partly right ({example.credit:.2f})")
    image = None
    if example.image is not None:
        decoded = decode_image(example.image, where=f"image of example {number}")
        image = thumbnail_uri(decoded, THUMBNAIL)
    shown = {"image": image, "answer": example.answer or "(empty)"}
    return vars(example) | shown | {"css": verdict[0], "verdict": verdict[1]}
