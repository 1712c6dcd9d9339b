"""One table over the scores of many runs, beside the published numbers."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biomedgpt.data.registry import BENCHMARKS
from biomedgpt.data.spec import PublishedResult
from biomedgpt.errors import ConfigError, DataError, printable
from biomedgpt.files import write_text
from biomedgpt.report.html import render
from biomedgpt.report.run_folder import LOG, PREDICTIONS
from biomedgpt.scoring.bootstrap import Estimate, FoldEstimate
from biomedgpt.scoring.score_file import MeasureResult, Score
from biomedgpt.scoring.table import decoding_in_words, format_estimate, format_value
from biomedgpt.tasks import get_group, get_task, groups

SCORE = "score.json"
RESULTS = "results.html"
SUFFIXES = (".md", ".html")
HOW_TO_READ = (
    "Shares from 0 to 1 (CIDEr-D from 0 to 10). [ ]: 95 % interval; ±: standard deviation over the "
    "folds of a cross-validation. Blank image: the same model without the image. Baseline: the "
    "majority answer of training, or the first sentence of the text. Published numbers are as "
    "published, and may come from other splits, other candidate answers or another normalisation."
)
# The plot's coordinates, in units of its own width of 400.
AXIS = (165.0, 300.0)
ROW_HEIGHT = 18
LABEL_LETTERS = 20


@dataclass(frozen=True)
class ScoredRun:
    """One score file."""

    path: Path
    result: Score

    @property
    def published(self) -> Sequence[PublishedResult]:
        """Numbers to compare with; empty for data of one's own."""
        spec = BENCHMARKS.get(self.result.dataset)
        return () if spec is None else spec.published

    def published_for(self, measure: MeasureResult) -> list[PublishedResult]:
        """Return the numbers to compare one measure with."""
        return [one for one in self.published if one.measure == measure.key]

    @property
    def shown(self) -> list[MeasureResult]:
        """The measures that the table of all results has a row for."""
        headline = self.result.group.headline
        return [
            measure
            for measure in self.result.measures
            if self.published_for(measure)
            or (measure.key in headline and (measure.model.value is not None or measure.problem))
        ]


def report_results(
    folder: Path, *, out: Path | None = None, title: str | None = None
) -> tuple[list[Path], list[str]]:
    """Write one table over all scores below a folder, as Markdown and as HTML.

    Args:
        folder: holds run folders with ``score.json``, at any depth.
        out: either of the two files; the other one gets the same name with its own suffix.
            ``results.md`` and ``results.html`` in ``folder`` by default.
        title: heading; made from the folder's name by default.

    Returns:
        The two files, and one line for each score file that could not be used.

    Raises:
        DataError: no usable score below ``folder``.
        ConfigError: ``out`` has another suffix or cannot be written.
    """
    out = out or folder / RESULTS
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"--out {out}: must end in {' or '.join(SUFFIXES)}; both are written")
    runs, problems = find_scores(folder)
    if not runs:
        raise DataError(
            problems[0]
            if problems
            else f"{folder}: neither {LOG} nor {PREDICTIONS} in it, no {SCORE} in it or below"
        )
    title = title or f"BiomedGPT results: {folder.resolve().name}"
    sources = list(dict.fromkeys(one.source for run in runs for one in run.published))
    sections = [
        _section(number, run, folder=folder, sources=sources)
        for number, run in enumerate(runs, start=1)
    ]
    page = {
        "title": title,
        "how_to_read": HOW_TO_READ,
        "problems": problems,
        "sections": sections,
        "missing": _missing({run.result.dataset for run in runs}),
        "measuring": _measuring(runs),
        "sources": sources,
    }
    texts = {".md": _markdown(page), ".html": render("results.html", **page)}
    paths = [out.with_suffix(suffix) for suffix in SUFFIXES]
    for path in paths:
        write_text(path, printable(texts[path.suffix], keep="\n\t"))
    return paths, problems


def find_scores(folder: Path) -> tuple[list[ScoredRun], list[str]]:
    """Return the scores below ``folder``, by task and dataset, and what is wrong with others.

    The folds of a cross-validation that is scored as a whole are not listed one by one.
    """
    runs, problems = [], []
    whole: list[Path] = []
    # A folder comes before those within it.
    for path in sorted(folder.rglob(SCORE), key=lambda path: (len(path.parts), path)):
        if any(path.is_relative_to(parent) for parent in whole):
            continue
        try:
            run = ScoredRun(path, _read_score(path))
        except DataError as error:
            problems.append(str(error))
            continue
        runs.append(run)
        if any(isinstance(measure.model, FoldEstimate) for measure in run.result.measures):
            whole.append(path.parent)
    tasks, names = list(groups()), list(BENCHMARKS)

    def place(run: ScoredRun) -> tuple[int, int, str, Path]:
        name = run.result.dataset
        known = names.index(name) if name in BENCHMARKS else len(names)
        return tasks.index(run.result.group.name), known, name, run.path

    return sorted(runs, key=place), problems


def _read_score(path: Path) -> Score:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON; score the predictions again") from error
    result = Score.from_dict(content, where=str(path))
    spec = BENCHMARKS.get(result.dataset)
    if spec is not None and spec.task not in result.group.tasks:
        own = get_group(get_task(spec.task).group)
        raise DataError(
            f"{path}: scored as {result.group.title}, but {spec.name} is a dataset of {own.title}; "
            f"score it with {own.how_to_score}"
        )
    return result


def _section(
    number: int, run: ScoredRun, *, folder: Path, sources: Sequence[str]
) -> dict[str, Any]:
    """Return what the page says about one run."""
    result = run.result
    spec = BENCHMARKS.get(result.dataset)
    rows = []
    for measure in run.shown:
        baseline = ""
        if measure.baseline is not None and measure.baseline.value is not None:
            baseline = format_estimate(measure.baseline)
        rows.append(
            {
                "measure": measure.label,
                "n": measure.model.n,
                "ours": format_value(measure),
                "blank": "" if measure.blank is None else format_estimate(measure.blank),
                "baseline": baseline,
                "published": [
                    {
                        "model": one.model,
                        "value": _published_value(one),
                        "source": sources.index(one.source) + 1,
                    }
                    for one in run.published_for(measure)
                ],
            }
        )
    shown = {measure.key for measure in run.shown}
    return {
        "number": number,
        "result": result,
        "title": "" if spec is None else spec.title,
        "decoding": decoding_in_words(result.decoding),
        "run": str(run.path.parent.relative_to(folder)),
        "rows": rows,
        "all_measures": [
            (measure.label, format_estimate(measure.model))
            for measure in result.measures
            if measure.key not in shown and measure.model.value is not None
        ],
        "plot": _plot(run),
    }


def _published_value(one: PublishedResult) -> str:
    deviation = "" if one.deviation is None else f" ± {one.deviation:.3f}"
    return f"{one.value:.3f}{deviation}"


def _missing(present: set[str]) -> dict[str, list[str]]:
    """Return the benchmarks without a result, by task."""
    missing: dict[str, list[str]] = {}
    for group in groups().values():
        for spec in BENCHMARKS.values():
            if spec.task in group.tasks and spec.name not in present:
                missing.setdefault(group.title, []).append(spec.name)
    return missing


def _measuring(runs: Sequence[ScoredRun]) -> dict[str, list[tuple[str, str]]]:
    """Return what was done to texts and what the measures mean, by task."""
    measuring: dict[str, list[tuple[str, str]]] = {}
    for run in runs:
        group = run.result.group
        lines = measuring.setdefault(group.title, list(group.definitions.items()))
        normalised = ("normalisation", run.result.normalisation)
        if normalised not in lines:
            lines.insert(0, normalised)
    return measuring


# Plot


def _plot(run: ScoredRun) -> dict[str, Any]:
    """Return the coordinates of a plot of the shown measures: a row per number."""
    entries: list[tuple[str, str, Estimate | PublishedResult | None]] = []
    for measure in run.shown:
        if measure.model.value is None:
            continue
        own = (
            ("ours", "ours", measure.model),
            ("blank", "blank image", measure.blank),
            ("baseline", run.result.group.baseline_name or "", measure.baseline),
        )
        entries.append(("", measure.label, None))
        entries += [entry for entry in own if entry[-1] is not None]
        entries += [("published", one.model, one) for one in run.published_for(measure)]
    numbers = [number for *_, entry in entries if entry is not None for number in _ends(entry)]
    top = max(1.0, math.ceil(2 * max(numbers, default=1.0)) / 2)

    def place(value: float) -> float:
        left, right = AXIS
        return round(left + (right - left) * min(max(value / top, 0.0), 1.0), 1)

    marks: list[dict[str, Any]] = []
    described = []
    for kind, label, entry in entries:
        y = 12 + ROW_HEIGHT * len(marks)
        mark: dict[str, Any] = {"kind": kind, "label": _short(label), "y": y, "x": None}
        if entry is None:
            marks.append(mark)
            described.append(f"{label}:")
        elif entry.value is not None:
            ends = list(_ends(entry))
            low, high = (place(ends[0]), place(ends[-1])) if len(ends) > 1 else (None, None)
            value = f"{entry.value:.3f}"
            marks.append(mark | {"x": place(entry.value), "low": low, "high": high, "value": value})
            described.append(f"{label} {value};")
    return {
        "height": 12 + ROW_HEIGHT * len(marks) + 16,
        "marks": marks,
        "ticks": [(place(share * top), f"{share * top:g}") for share in (0.0, 0.5, 1.0)],
        "description": " ".join(described),
    }


def _ends(entry: Estimate | PublishedResult) -> Iterator[float]:
    """Yield the value, or both ends of its interval where it has one."""
    deviation = entry.deviation if isinstance(entry, PublishedResult | FoldEstimate) else None
    if entry.value is None:
        return
    if deviation is not None:
        yield from (entry.value - deviation, entry.value + deviation)
    elif isinstance(entry, Estimate) and entry.low is not None and entry.high is not None:
        yield from (entry.low, entry.high)
    else:
        yield entry.value


def _short(label: str) -> str:
    return label if len(label) <= LABEL_LETTERS else label[: LABEL_LETTERS - 1] + "…"


# Markdown


def _markdown(page: Mapping[str, Any]) -> str:
    title = f"# {_plain(page['title'])}"
    lines = [title, "", "Research only, not for clinical use.", "", HOW_TO_READ, ""]
    columns = "dataset,task,split,measure,n,ours,blank image,baseline,published,decoding,data,run"
    lines += [_markdown_row(*columns.split(",")), _markdown_row(*["---"] * 12)]
    for section in page["sections"]:
        result = section["result"]
        for row in section["rows"]:
            published = "; ".join(
                f"{one['model']} {one['value']} [{one['source']}]" for one in row["published"]
            )
            lines.append(
                _markdown_row(
                    *(result.dataset, result.group.title, result.split),
                    *(row["measure"], row["n"], row["ours"], row["blank"]),
                    f"{row['baseline']} ({result.group.baseline_name})" if row["baseline"] else "",
                    *(published, section["decoding"], result.dataset_hash, section["run"]),
                )
            )
    remarks = [
        f"- {_plain(section['result'].dataset)} ({_plain(section['run'])}): {_plain(remark)}"
        for section in page["sections"]
        for remark in [*section["result"].warnings, *section["result"].notes]
    ]
    remarks += [f"- Not used: {_plain(problem)}" for problem in page["problems"]]
    if remarks:
        lines += ["", "## Mind", "", *remarks]
    if page["missing"]:
        lines += ["", "## Benchmarks without a result", ""]
        lines += [f"- {task}: {', '.join(names)}" for task, names in page["missing"].items()]
    lines += ["", "## How this is measured"]
    for task, definitions in page["measuring"].items():
        lines += ["", f"{task[0].upper()}{task[1:]}:", ""]
        lines += [f"- {name}: {_plain(text)}" for name, text in definitions]
    if page["sources"]:
        lines += ["", "## Sources of the published numbers", ""]
        lines += [f"{number}. {text}" for number, text in enumerate(page["sources"], start=1)]
    return "\n".join(lines) + "\n"


def _markdown_row(*cells: object) -> str:
    return "| " + " | ".join(_plain(str(cell)).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Return one line in which nothing starts markup."""
    return " ".join(text.split()).replace("<", "&lt;").replace("`", "'")
