"""Results of the suites as files: JSON, and a page with the worst cases as pictures."""

import base64
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from biomedgpt.data.imaging.images import open_image
from biomedgpt.data.rows import Skipped
from biomedgpt.files import atomic_path
from biomedgpt.metrics.answer_extraction import RULES
from biomedgpt.metrics.measures import Record
from biomedgpt.report.html import render
from biomedgpt.suites import probe, zero_shot
from biomedgpt.suites.perturbations import FORMS, IMAGES, ORDERS, PARAPHRASES, REAL, Changer
from biomedgpt.suites.probe import Probed
from biomedgpt.suites.questions import Benchmark, Question
from biomedgpt.suites.suite_score import (
    DEFINITIONS,
    agreement,
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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a result; the file appears complete or not at all."""
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_zero_shot(out: Path, scored: Sequence[ScoredBenchmark]) -> Path:
    """Write the page of the zero-shot suite into the folder of results and return its path."""
    sections = []
    for one in scored:
        judged = [(record, judge_record(record)) for record in one.records]
        astray = [record for record, found in judged if not found.aligned]
        wrong = [record for record, found in judged if found.aligned and found.right is False]
        look = _Looker(one.benchmark)
        sections += [
            look.section(
                "answers of another kind than asked for", astray, [REAL], {REAL: one.records}
            ),
            look.section("wrong answers", wrong, [REAL], {REAL: one.records}),
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
        look = _Looker(one.benchmark, Changer(one.benchmark, seed=_seed_of(one)))
        real = one.records[REAL]
        if forms := [form for form in IMAGES if form in one.records]:
            same = agreement([real, *(one.records[form] for form in forms)])
            blind = [record for record in real if same.get(record["id"])]
            # First those that are wrong: they were answered without looking, and it shows.
            blind.sort(key=lambda record: judge_record(record).right is not False)
            sections.append(
                look.section(
                    "the same answer whatever the image", blind, [REAL, *forms], one.records
                )
            )
        confused = [members for members in pairs_of(real).values() if not _all_right(members)]
        confused.sort(key=lambda members: is_confused(members) is not True)
        sections.append(look.pairs("pairs without two right answers", confused))
        for name, others in (("wording", PARAPHRASES), ("order of the options", ORDERS)):
            asked = [form for form in others if form in one.records]
            if asked:
                same = agreement([real, *(one.records[form] for form in asked)])
                unstable = [record for record in real if same.get(record["id"]) is False]
                sections.append(
                    look.section(
                        f"another answer for another {name}",
                        unstable,
                        [REAL, *asked],
                        one.records,
                        pictures=[REAL],
                    )
                )
    return _write(
        out / "probe.html",
        title="Does the model look, and is it stable?",
        tables=probe.tables(probed),
        verdicts=[(f"{one.benchmark.name}: {one.verdict}", one.looks) for one in probed],
        sections=sections,
        records=[one.records[REAL] for one in probed],
    )


class _Looker:
    """Makes cases of the questions of one benchmark."""

    def __init__(self, benchmark: Benchmark, changer: Changer | None = None) -> None:
        self.benchmark = benchmark
        self.changer = changer or Changer(benchmark)
        self._questions: dict[str, Question] | None = None

    def section(
        self,
        title: str,
        worst: Sequence[Record],
        forms: Sequence[str],
        records: Mapping[str, Sequence[Record]],
        *,
        pictures: Sequence[str] | None = None,
    ) -> Section:
        """Return the section of some questions, with their answers in several forms."""
        chosen = _choose(worst)
        wanted = {record["id"] for record in chosen}
        answers = {
            form: {one["id"]: one for one in records[form] if one["id"] in wanted} for form in forms
        }
        cases = []
        for record in chosen:
            lines = [("right", _short(record["reference"]))]
            for form in forms:
                answer = answers[form].get(record["id"])
                if answer is not None:
                    name = "answer" if form == REAL else form
                    lines.append((name, _answer(answer)))
            cases.append(
                Case(
                    title=_short(record["question"]),
                    pictures=self._pictures(record["id"], forms if pictures is None else pictures),
                    lines=lines,
                )
            )
        return self._section(title, cases, len(worst))

    def pairs(self, title: str, sets: Sequence[Sequence[Record]]) -> Section:
        """Return the section of some pairs."""
        cases = []
        for members in _choose(sets):
            lines: list[tuple[str, str]] = []
            pictures: list[tuple[str, str]] = []
            for number, record in enumerate(members, 1):
                lines.append((f"question {number}", _short(record["question"])))
                lines.append(("right", _short(record["reference"])))
                lines.append(("answer", _answer(record)))
                shown = self._pictures(record["id"], [REAL])
                if shown and shown[0][1] not in [uri for _, uri in pictures]:
                    pictures.append((f"question {number}", shown[0][1]))
            cases.append(Case(title=members[0]["pair"], pictures=pictures, lines=lines))
        return self._section(title, cases, len(sets))

    def _section(self, title: str, cases: Sequence[Case], count: int) -> Section:
        of = f"{len(cases)} of {count:,}" if count > len(cases) else str(count)
        return Section(title=f"{self.benchmark.name}: {title}", note=of, cases=cases)

    def _pictures(self, name: str, forms: Sequence[str]) -> list[tuple[str, str]]:
        if self._questions is None:
            quiet = Skipped(allowed=True)
            self._questions = {one.id: one for one in self.benchmark.questions(quiet)}
        question = self._questions[name]
        found = []
        for form in forms:
            changed = self.changer.change(question, form)
            if changed is not None and changed.picture is not None:
                found.append(("image" if form == REAL else form, _thumbnail(changed.picture)))
        return found


def _write(
    path: Path,
    *,
    title: str,
    tables: Sequence[tuple[str, list[str], list[list[str]]]],
    verdicts: Sequence[tuple[str, bool | None]],
    sections: Sequence[Section],
    records: Sequence[Sequence[Record]],
) -> Path:
    runs = {
        lines[0]["dataset"]: {
            "split": lines[0]["split"],
            "dataset hash": lines[0]["dataset_hash"],
            **lines[0]["decoding"],
        }
        for lines in records
    }
    page = render(
        "suite.html",
        title=title,
        tables=tables,
        verdicts=verdicts,
        sections=[section for section in sections if section.cases],
        facts={"How it is measured": DEFINITIONS, "How answers are read": RULES, "Forms": FORMS}
        | runs,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
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
        return f"{text} (not {_a(record['kind'])})"
    read = answer_key(record)
    shown = "" if record["kind"] in ("sentence", "phrase") else f" = {read}"
    verdict = {True: " ✓", False: " ✗", None: ""}[found.right]
    return f"{text}{shown}{verdict}"


def _a(kind: str) -> str:
    return {"yes/no": "yes or no", "option": "an option"}.get(kind, f"a {kind}")


def _all_right(members: Sequence[Record]) -> bool:
    return all(judge_record(one).right is True for one in members)


def _seed_of(one: Probed) -> int:
    for form in IMAGES:
        if form in one.records:
            return int(one.records[form][0]["decoding"]["seed"])
    return _SEED


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else text[: SHOWN_LETTERS - 3] + "..."


def _thumbnail(picture: bytes | Image.Image) -> str:
    """Return a small JPEG as a ``data:`` URI."""
    image = open_image(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
