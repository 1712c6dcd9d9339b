"""Results of the suites as a page with the worst cases as pictures."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from biomedgpt.data.imaging.addresses import thumbnail_uri
from biomedgpt.data.imaging.images import open_image
from biomedgpt.data.rows import Skipped
from biomedgpt.metrics.answer_extraction import RULES
from biomedgpt.metrics.measures import Record
from biomedgpt.report.html import write_page
from biomedgpt.suites import probe, zero_shot
from biomedgpt.suites.perturbations import FORMS, IMAGES, ORDERS, PARAPHRASES, REAL, Changer
from biomedgpt.suites.probe import Probed
from biomedgpt.suites.questions import Benchmark, Question
from biomedgpt.suites.suite_score import (
    DEFINITIONS,
    agreement,
    all_right,
    answer_key,
    is_confused,
    judge_record,
    pairs_of,
)
from biomedgpt.suites.zero_shot import ScoredBenchmark

THUMBNAIL = 240  # pixels of the longer side
MOST_CASES = 8
"""Of each kind and benchmark; more are picked at random."""
SHOWN_LETTERS = 300
_SEED = 0

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case on the page.

    Attributes:
        title: what is asked.
        pictures: name and ``data:`` URI of each.
        lines: what was answered, and what would have been right, by name.
    """

    title: str
    pictures: Sequence[tuple[str, str]]
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """Cases of one kind."""

    title: str
    note: str
    cases: Sequence[Case]


def write_zero_shot(out: Path, scored: Sequence[ScoredBenchmark]) -> Path:
    """Write the page of the zero-shot suite into the folder of results and return its path."""
    sections = []
    for one in scored:
        judged = [(record, judge_record(record)) for record in one.records]
        astray = [record for record, found in judged if not found.aligned]
        wrong = [record for record, found in judged if found.aligned and found.right is False]
        look = _Looker(one.benchmark, {REAL: one.records})
        sections += [
            look.section("answers of another kind than asked for", astray),
            look.section("wrong answers", wrong),
        ]
    return _write(
        out / "zero_shot.html",
        title="Zero-shot evaluation",
        tables=zero_shot.tables(scored),
        verdicts=[],
        sections=sections,
        records=[one.records for one in scored],
    )


def write_probe(out: Path, probed: Sequence[Probed]) -> Path:
    """Write the page of the probe suite into the folder of results and return its path."""
    sections = []
    for one in probed:
        look = _Looker(one.benchmark, one.records, Changer(one.benchmark, seed=_seed_of(one)))
        real = one.records[REAL]
        if forms := [form for form in IMAGES if form in one.records]:
            same = agreement([real, *(one.records[form] for form in forms)])
            blind = [record for record in real if same.get(record["id"])]
            # First those that are wrong: they were answered without looking, and it shows.
            blind.sort(key=lambda record: judge_record(record).right is not False)
            title = "the same answer whatever the image"
            sections.append(look.section(title, blind, [REAL, *forms], [REAL, *forms]))
        confused = [members for members in pairs_of(real) if not all_right(members)]
        confused.sort(key=lambda members: is_confused(members) is not True)
        sections.append(look.pairs("pairs without two right answers", confused))
        for name, others in (("wording", PARAPHRASES), ("order of the options", ORDERS)):
            if asked := [form for form in others if form in one.records]:
                same = agreement([real, *(one.records[form] for form in asked)])
                unstable = [record for record in real if same.get(record["id"]) is False]
                title = f"another answer for another {name}"
                sections.append(look.section(title, unstable, [REAL, *asked]))
    return _write(
        out / "probe.html",
        title="Does the model look, and is it stable?",
        tables=probe.tables(probed),
        verdicts=[(f"{one.benchmark.name}: {one.verdict}", one.looks) for one in probed],
        sections=sections,
        records=[one.records[REAL] for one in probed],
    )


class _Looker:
    """Makes cases of the questions of one benchmark, answered in several forms."""

    def __init__(
        self,
        benchmark: Benchmark,
        records: Mapping[str, Sequence[Record]],
        changer: Changer | None = None,
    ) -> None:
        self.benchmark = benchmark
        self.records = records
        self.changer = changer or Changer(benchmark)

    def section(
        self,
        title: str,
        worst: Sequence[Record],
        forms: Sequence[str] = (REAL,),
        pictures: Sequence[str] = (REAL,),
    ) -> Section:
        """Return the section of some questions, with their answers and pictures in such forms."""
        chosen = _choose(worst)
        wanted = {record["id"] for record in chosen}
        answers = {
            form: {one["id"]: one for one in self.records[form] if one["id"] in wanted}
            for form in forms
        }
        cases = []
        for record in chosen:
            name = record["id"]
            lines = [("right", _short(record["reference"]))]
            lines += [
                ("answer" if form == REAL else form, _answer(answers[form][name]))
                for form in forms
                if name in answers[form]
            ]
            shown = self._pictures(name, pictures)
            cases.append(Case(title=_short(record["question"]), pictures=shown, lines=lines))
        return self._section(title, cases, len(worst))

    def pairs(self, title: str, sets: Sequence[Sequence[Record]]) -> Section:
        """Return the section of some pairs."""
        cases = []
        for members in _choose(sets):
            lines: list[tuple[str, str]] = []
            pictures: dict[str, str] = {}
            for number, record in enumerate(members, 1):
                lines.append((f"question {number}", _short(record["question"])))
                lines.append(("right", _short(record["reference"])))
                lines.append(("answer", _answer(record)))
                for _, uri in self._pictures(record["id"], [REAL]):
                    pictures.setdefault(uri, f"question {number}")
            shown = [(name, uri) for uri, name in pictures.items()]
            cases.append(Case(title=members[0]["pair"], pictures=shown, lines=lines))
        return self._section(title, cases, len(sets))

    def _section(self, title: str, cases: Sequence[Case], count: int) -> Section:
        of = f"{len(cases)} of {count:,}" if count > len(cases) else str(count)
        return Section(title=f"{self.benchmark.name}: {title}", note=of, cases=cases)

    @cached_property
    def _questions(self) -> Mapping[str, Question]:
        return {one.id: one for one in self.benchmark.questions(Skipped(allowed=True))}

    def _pictures(self, name: str, forms: Sequence[str]) -> list[tuple[str, str]]:
        found = []
        for form in forms:
            changed = self.changer.change(self._questions[name], form)
            if changed is not None and changed.picture is not None:
                uri = thumbnail_uri(open_image(changed.picture), THUMBNAIL)
                found.append(("image" if form == REAL else form, uri))
        return found


def _write(path: Path, *, records: Sequence[Sequence[Record]], **parts: Any) -> Path:
    """Write a page of the given ``parts``, with facts about what was asked."""
    facts = {"How it is measured": DEFINITIONS, "How answers are read": RULES, "Forms": FORMS}
    for lines in records:
        first = lines[0]
        source = {"split": first["split"], "dataset hash": first["dataset_hash"]}
        facts[first["dataset"]] = source | first["decoding"]
    parts["sections"] = [section for section in parts["sections"] if section.cases]
    write_page(path, "suite.html", facts=facts, **parts)
    return path


def _choose(items: Sequence[Item]) -> list[Item]:
    """Return some of the first of many, so that a page does not show one patient's images only."""
    first = list(items[: 4 * MOST_CASES])
    if len(first) <= MOST_CASES:
        return first
    chosen = sorted(random.Random(_SEED).sample(range(len(first)), MOST_CASES))
    return [first[place] for place in chosen]


def _answer(record: Record) -> str:
    found = judge_record(record)
    text = _short(record["prediction"]) or "(empty)"
    if not found.aligned:
        kind = record["kind"]
        named = {"yes/no": "yes or no", "option": "an option"}.get(kind, f"a {kind}")
        return f"{text} (not {named})"
    read = answer_key(record)
    shown = "" if record["kind"] in ("sentence", "phrase") else f" = {read}"
    verdict = {True: " ✓", False: " ✗", None: ""}[found.right]
    return f"{text}{shown}{verdict}"


def _seed_of(one: Probed) -> int:
    lines = (one.records[form][0] for form in IMAGES if form in one.records)
    return next((int(line["decoding"]["seed"]) for line in lines), _SEED)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else text[: SHOWN_LETTERS - 3] + "..."
