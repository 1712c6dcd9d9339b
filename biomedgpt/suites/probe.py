"""The probe suite: does the model look at the image, and does it answer the same when asked alike?

Every question is put with its image, with a blank one, with noise and with the image of another
question; in other words; and with its options in another order (`biomedgpt.suites.perturbations`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from biomedgpt.data.rows import Skipped
from biomedgpt.errors import ConfigError
from biomedgpt.metrics.measures import Record
from biomedgpt.scoring.bootstrap import Estimate
from biomedgpt.suites.answering import FreeAnswerer, answer_benchmark
from biomedgpt.suites.perturbations import FORMS, IMAGES, ORDERS, PARAPHRASES, REAL, Changer
from biomedgpt.suites.questions import Benchmark
from biomedgpt.suites.suite_score import (
    DEFINITIONS,
    PairScore,
    consistency,
    gap,
    score,
    score_pairs,
)
from biomedgpt.suites.zero_shot import Table, cell, check_names, pair_table

RESULT = "probe.json"
PROBES: Mapping[str, tuple[str, ...]] = {
    "blank": ("blank",),
    "noise": ("noise",),
    "shuffled": ("shuffled",),
    "paraphrase": PARAPHRASES,
    "options": ORDERS,
}
"""What can be probed, and the forms it needs beside the real one."""


@dataclass(frozen=True, kw_only=True)
class ImageProbe:
    """Scores with another image in the place of the real one."""

    score: Estimate
    gap: Estimate


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Whether questions were answered alike in several forms."""

    agreement: Estimate
    scores: Mapping[str, Estimate]
    """By form."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What became of one benchmark.

    Attributes:
        benchmark: the questions.
        records: lines by form.
        real: score of the questions as they are.
        images: by form.
        consistency: by probe (paraphrase, options).
        pairs: of the questions that belong together.
        notes: what could not be probed, and why.
    """

    benchmark: Benchmark
    records: Mapping[str, Sequence[Record]]
    real: Estimate
    images: Mapping[str, ImageProbe]
    consistency: Mapping[str, Consistency]
    pairs: PairScore | None
    notes: Sequence[str]

    @property
    def free(self) -> list[str]:
        """Forms of images that cost no score by more than the interval."""
        lows = {form: probe.gap.low for form, probe in self.images.items()}
        return [form for form, low in lows.items() if low is None or low <= 0]

    @property
    def looks(self) -> bool | None:
        """Whether every other image costs score, by more than the interval; None if not probed."""
        return not self.free if self.images else None

    @property
    def verdict(self) -> str:
        """The same in a sentence."""
        if not self.images:
            return "whether it looks at the image was not probed"
        if not self.free:
            return "it looks at the image: every other image costs score"
        return (
            f"it does not show that it looks at the image: {' and '.join(self.free)} cost no "
            "score by more than the interval"
        )


def run_probe(
    answerer: FreeAnswerer,
    benchmarks: Sequence[Benchmark],
    out: Path,
    *,
    probes: Sequence[str] = tuple(PROBES),
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
    skipped: Skipped,
    overwrite: bool = False,
) -> list[Probed]:
    """Ask everything in all forms and compare.

    Raises:
        DataError: a row cannot be asked, or there is no question.
        ConfigError: an unknown probe, two benchmarks of one name, or answers of something else in
            ``out``.
    """
    check_names(benchmarks)
    for probe in probes:
        if probe not in PROBES:
            raise ConfigError(f"unknown probe {probe!r}; choose from {', '.join(PROBES)}")
    found = []
    for benchmark in benchmarks:
        changer = Changer(benchmark, seed=seed)
        ask = partial(
            answer_benchmark, answerer, benchmark, out, changer=changer, overwrite=overwrite
        )
        records = {REAL: ask(facts=facts, skipped=skipped)}
        # A row that cannot be asked was reported when it was asked as it is.
        quiet = Skipped(allowed=skipped.allowed)
        for form in (form for probe in probes for form in PROBES[probe]):
            noted = {**(facts or {}), "seed": seed} if form in IMAGES else facts
            if lines := ask(form=form, facts=noted, skipped=quiet):
                records[form] = lines
        found.append(_compare(benchmark, records, probes))
    return found


def _compare(
    benchmark: Benchmark, records: Mapping[str, Sequence[Record]], probes: Sequence[str]
) -> Probed:
    real = records[REAL]
    return Probed(
        benchmark=benchmark,
        records=records,
        real=score(real),
        images={
            form: ImageProbe(score=score(records[form]), gap=gap(real, records[form]))
            for form in IMAGES
            if form in records
        },
        consistency={
            probe: _consistency(records, forms)
            for probe, forms in (("paraphrase", PARAPHRASES), ("options", ORDERS))
            if any(form in records for form in forms)
        },
        pairs=score_pairs(real),
        notes=[
            f"{probe}: not a question that could be put so"
            for probe in probes
            if not any(form in records for form in PROBES[probe])
        ],
    )


def _consistency(records: Mapping[str, Sequence[Record]], forms: Sequence[str]) -> Consistency:
    asked = [form for form in forms if form in records]
    shared = {record["id"] for record in records[asked[0]]}
    real = [record for record in records[REAL] if record["id"] in shared]
    return Consistency(
        agreement=consistency([real, *(records[form] for form in asked)]),
        scores={REAL: score(real), **{form: score(records[form]) for form in asked}},
    )


def to_dict(probed: Sequence[Probed]) -> dict[str, Any]:
    """Return everything as plain values, for JSON."""
    return {
        "suite": "probe",
        "benchmarks": [
            {
                **one.benchmark.facts,
                "decoding": one.records[REAL][0]["decoding"],
                "n": len(one.records[REAL]),
                "real": asdict(one.real),
                "images": {form: asdict(probe) for form, probe in one.images.items()},
                "looks": one.looks,
                "verdict": one.verdict,
                "consistency": {name: asdict(value) for name, value in one.consistency.items()},
                "pairs": None if one.pairs is None else asdict(one.pairs),
                "notes": list(one.notes),
            }
            for one in probed
        ],
        "definitions": DEFINITIONS,
        "forms": FORMS,
    }


def tables(probed: Sequence[Probed]) -> list[Table]:
    """Return the tables, the same on screen and on the page."""
    images = []
    for one in probed:
        row = [one.benchmark.name, f"{len(one.records[REAL]):,}", cell(one.real)]
        for form in IMAGES:
            probe = one.images.get(form)
            row += [cell(probe.score), cell(probe.gap, signed=True)] if probe else ["", ""]
        images.append(row)
    columns = [
        *("benchmark", "n", "real"),
        *(name for form in IMAGES for name in (form, f"gap to {form}")),
    ]
    found = [("Does it look? Score with other images", columns, images)]
    alike = [
        [
            one.benchmark.name,
            name,
            f"{value.agreement.n:,}",
            cell(value.agreement),
            ", ".join(f"{form} {cell(estimate)}" for form, estimate in value.scores.items()),
        ]
        for one in probed
        for name, value in one.consistency.items()
    ]
    if alike:
        heads = ["benchmark", "probe", "n", "same answer in all forms", "scores"]
        found.append(("Is it stable? Answers to the same question in other forms", heads, alike))
    if any(one.pairs for one in probed):
        found.append(pair_table({one.benchmark.name: one.pairs for one in probed}))
    return found
