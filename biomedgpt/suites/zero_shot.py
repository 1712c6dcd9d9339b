"""The zero-shot suite: free answers to benchmarks, without their training data or answer lists."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from biomedgpt.data.rows import Skipped
from biomedgpt.errors import ConfigError
from biomedgpt.metrics.answer_extraction import RULES
from biomedgpt.metrics.measures import Record
from biomedgpt.scoring.bootstrap import Estimate
from biomedgpt.scoring.table import format_estimate
from biomedgpt.suites.answering import FreeAnswerer, answer_benchmark
from biomedgpt.suites.questions import Benchmark
from biomedgpt.suites.suite_score import DEFINITIONS, PairScore, ZeroShotScore, score_zero_shot

RESULT = "zero_shot.json"
MEASURES = {
    "accuracy": "accuracy",
    "alignment": "alignment",
    "word_f1": "word F1 (sentences)",
    "open_recall": "open recall",
    "closed_accuracy": "closed accuracy",
}
"""Of a score, and what tables call them."""


Table = tuple[str, list[str], list[list[str]]]
"""Title, columns and rows."""


@dataclass(frozen=True, kw_only=True)
class ScoredBenchmark:
    """One benchmark, its answers and their scores."""

    benchmark: Benchmark
    records: Sequence[Record]
    score: ZeroShotScore


def run_zero_shot(
    answerer: FreeAnswerer,
    benchmarks: Sequence[Benchmark],
    out: Path,
    *,
    facts: Mapping[str, Any] | None = None,
    skipped: Skipped,
    overwrite: bool = False,
) -> list[ScoredBenchmark]:
    """Ask everything and score the answers.

    Raises:
        DataError: a row cannot be asked, or there is no question.
        ConfigError: two benchmarks of one name, or answers of something else in ``out``.
    """
    check_names(benchmarks)
    found = []
    for benchmark in benchmarks:
        records = answer_benchmark(
            answerer, benchmark, out, facts=facts, skipped=skipped, overwrite=overwrite
        )
        score = score_zero_shot(records)
        found.append(ScoredBenchmark(benchmark=benchmark, records=records, score=score))
    return found


def check_names(benchmarks: Sequence[Benchmark]) -> None:
    """Raise a ConfigError where two benchmarks would write the same files."""
    seen: dict[str, Path] = {}
    for one in benchmarks:
        folder = one.dataset.folder
        if one.name in seen:
            raise ConfigError(
                f"{folder} and {seen[one.name]} are both called {one.name}; evaluate them one by "
                "one, with an --out each"
            )
        seen[one.name] = folder


def to_dict(scored: Sequence[ScoredBenchmark]) -> dict[str, Any]:
    """Return everything as plain values, for JSON."""
    return {
        "suite": "zero-shot",
        "benchmarks": [
            {**one.benchmark.facts, "decoding": one.records[0]["decoding"], **asdict(one.score)}
            for one in scored
        ],
        "definitions": DEFINITIONS,
        "rules": RULES,
    }


def tables(scored: Sequence[ScoredBenchmark]) -> list[Table]:
    """Return the tables, the same on screen and on the page."""
    columns = ["benchmark", "n", *MEASURES.values()]
    rows = [
        [one.benchmark.name, f"{one.score.n:,}", *(_cell(one.score, key) for key in MEASURES)]
        for one in scored
    ]
    found = [("Benchmarks", columns, rows)]
    for one in scored:
        parts = [
            [what, value, f"{part.n:,}", cell(part.accuracy), cell(part.alignment)]
            for what, by in one.score.parts.items()
            for value, part in by.items()
        ]
        heads = ["by", "", "n", "accuracy", "alignment"]
        found.append((one.benchmark.name, heads, parts))
    if any(one.score.pairs for one in scored):
        found.append(pair_table({one.benchmark.name: one.score.pairs for one in scored}))
    return found


def pair_table(pairs: Mapping[str, PairScore | None]) -> Table:
    """Return the table of the questions that belong together, by benchmark."""
    columns = ["benchmark", "questions", "pairs", "all right", "without adversary", "confusion"]
    rows = []
    for name, score in pairs.items():
        if score is None:
            continue
        whole = (score.all_right, score.without_adversary, score.confusion)
        rows.append([name, "all", f"{score.all_right.n:,}", *map(cell, whole)])
        rows += [
            [name, kind, f"{part.n:,}", cell(part), "", ""] for kind, part in score.parts.items()
        ]
    return "Pairs: every answer must be right", columns, rows


def cell(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Return an estimate with its interval, "" where there is none."""
    if estimate is None or estimate.value is None:
        return ""
    return format_estimate(estimate, signed=signed)


def _cell(score: ZeroShotScore, key: str) -> str:
    estimate: Estimate = getattr(score, key)
    text = cell(estimate)
    return f"{text} (n {estimate.n:,})" if text and estimate.n != score.n else text
