"""Scores of free answers: accuracy, alignment, pairs, and what changes when the question does.

Every line of a prediction file has ``prediction``, ``reference``, ``references``, and what the
answer is judged by: ``kind`` and ``choices`` (see `biomedgpt.metrics.answer_extraction`),
``answer_type`` (OPEN, CLOSED or empty), ``groups`` (modality, organ and the like by name), ``pair``
and ``role`` (empty where the question is not one of several that must all be right).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics import llama3_med
from biomedgpt.metrics.answer_extraction import (
    RULES_VERSION,
    Asked,
    Judgement,
    extract,
    judge,
    key_of,
)
from biomedgpt.metrics.instruct import token_f1
from biomedgpt.metrics.measures import Record
from biomedgpt.scoring.bootstrap import Estimate, bootstrap_mean

DEFINITIONS = {
    "accuracy": "share of questions whose answer, read by the rule of its kind, is accepted; "
    "sentences are left out; an answer of another kind is wrong",
    "alignment": "share of answers that are of the kind asked for: yes or no, one of the options, "
    "the name of a class, a number, a phrase, a sentence",
    "word F1": "of sentences: harmonic mean of the shares of words in common with the reference",
    "open recall": f"of open questions, as defined by {llama3_med.SOURCE}",
    "closed accuracy": f"of closed questions, as defined by {llama3_med.SOURCE}; it takes 'normal' "
    "for 'no'",
    "all right": "share of pairs (or larger sets of questions) of which every answer is right",
    "without adversary": "the same, looking at the true questions only",
    "confusion": "share of pairs with an answer to both, in which both answers are the same option",
    "score": "accuracy; of sentences word F1",
    "gap": "score with the real image minus score with the other one, paired by question",
    "consistency": "share of questions to which the same was answered in every form; an answer of "
    "another kind counts as what it says",
    "interval": "95 % percentile bootstrap over questions, or over pairs",
}
"""What the measures mean."""
TRUE, ADVERSARIAL = "true", "adversarial"
FIRST, SECOND = "first", "second"
"""Roles in a pair: a true question and its negation; one question about two images."""
MOST_PARTS = 40
"""Parts of a breakdown that are listed, the largest ones."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Scores of some of the questions."""

    n: int
    accuracy: Estimate
    alignment: Estimate


@dataclass(frozen=True, kw_only=True)
class PairScore:
    """Scores of questions that belong together.

    Attributes:
        all_right: see `DEFINITIONS`.
        without_adversary: None where the questions of a set are alike.
        confusion: None where they have no options.
    """

    all_right: Estimate
    without_adversary: Estimate | None = None
    confusion: Estimate | None = None
    parts: Mapping[str, Estimate] = field(default_factory=dict)
    """`all_right` by question type."""


@dataclass(frozen=True, kw_only=True)
class ZeroShotScore:
    """Scores of the answers to one benchmark."""

    n: int
    accuracy: Estimate
    alignment: Estimate
    word_f1: Estimate
    open_recall: Estimate
    closed_accuracy: Estimate
    parts: Mapping[str, Mapping[str, Part]]
    """By what it is broken down by (kind of answer, modality, ...), then by its value."""
    pairs: PairScore | None = None
    rules: str = RULES_VERSION


def asked_of(record: Record) -> Asked:
    """Return what the answer of a line is judged by."""
    return Asked(
        kind=record["kind"],
        references=[one["answer"] for one in record["references"]],
        choices=record["choices"],
    )


def judge_record(record: Record) -> Judgement:
    """Judge the answer of a line."""
    return judge(record["prediction"], asked_of(record))


def all_right(members: Sequence[Record]) -> bool:
    """Say whether every line of some has a right answer; that of a sentence is not one."""
    return all(judge_record(one).right is True for one in members)


def credits(records: Sequence[Record]) -> NDArray[np.float64]:
    """Return what each answer is worth (n,): 1 if right, 0 if wrong; of sentences word F1."""
    values = []
    for record in records:
        right = judge_record(record).right
        values.append(_word_f1(record) if right is None else float(right))
    return np.array(values, dtype=np.float64)


def score_zero_shot(records: Sequence[Record]) -> ZeroShotScore:
    """Return the scores of all lines of a file."""

    def published(measure: Callable[[str, str], float], kind: str) -> Estimate:
        asked = [one for one in records if one["answer_type"] == kind]
        return _mean([measure(one["prediction"], one["reference"]) for one in asked])

    judged = [judge_record(record) for record in records]
    sentences = [
        _word_f1(record) for record, one in zip(records, judged, strict=True) if one.right is None
    ]
    return ZeroShotScore(
        n=len(records),
        accuracy=_accuracy(judged),
        alignment=_alignment(judged),
        word_f1=_mean(sentences),
        open_recall=published(llama3_med.open_recall, "OPEN"),
        closed_accuracy=published(llama3_med.closed_hit, "CLOSED"),
        parts=_breakdown(records, judged),
        pairs=score_pairs(records),
    )


def score_pairs(records: Sequence[Record]) -> PairScore | None:
    """Return the score of questions that belong together, None where there are none."""
    sets = pairs_of(records)
    if not sets:
        return None
    every = [all_right(members) for members in sets]
    true_only = [
        all_right(true)
        for members in sets
        if (true := [one for one in members if one["role"] == TRUE])
    ]
    confused = [same for members in sets if (same := is_confused(members)) is not None]
    by_type = defaultdict(list)
    for members, right in zip(sets, every, strict=True):
        if kind := members[0]["groups"].get("question type"):
            by_type[kind].append(right)
    return PairScore(
        all_right=_mean(every),
        without_adversary=_mean(true_only) if true_only else None,
        confusion=_mean(confused) if confused else None,
        parts={kind: _mean(values) for kind, values in sorted(by_type.items())},
    )


def pairs_of(records: Sequence[Record]) -> list[list[Record]]:
    """Return the lines of each pair, or larger set."""
    sets = defaultdict(list)
    for record in records:
        if record["pair"]:
            sets[record["pair"]].append(record)
    return list(sets.values())


def is_confused(members: Sequence[Record]) -> bool | None:
    """Say whether one question got one answer for two images; None where that cannot be said."""
    if sorted(one["role"] for one in members) != [FIRST, SECOND]:
        return None
    found = [extract(one["prediction"], asked_of(one)) for one in members]
    return None if None in found else found[0] == found[1]


def gap(records: Sequence[Record], others: Sequence[Record]) -> Estimate:
    """Return the mean credit of ``records`` minus that of ``others``, question by question."""
    by_id = {record["id"]: record for record in others}
    both = [record for record in records if record["id"] in by_id]
    return bootstrap_mean(credits(both) - credits([by_id[one["id"]] for one in both]))


def score(records: Sequence[Record]) -> Estimate:
    """Return the mean credit."""
    return bootstrap_mean(credits(records))


def agreement(forms: Sequence[Sequence[Record]]) -> dict[str, bool]:
    """Say by id whether all forms of a question got the same answer; ids that all forms have."""
    answers = [{one["id"]: answer_key(one) for one in form} for form in forms]
    shared = [name for name in answers[0] if all(name in one for one in answers)]
    return {name: len({one[name] for one in answers}) == 1 for name in shared}


def answer_key(record: Record) -> str:
    """Return what a line answers in the form in which answers are compared."""
    found = extract(record["prediction"], asked_of(record))
    return key_of(record["prediction"] if found is None else found)


def consistency(forms: Sequence[Sequence[Record]]) -> Estimate:
    """Return the share of questions that got the same answer in all forms."""
    return _mean(list(agreement(forms).values()))


def _breakdown(
    records: Sequence[Record], judged: Sequence[Judgement]
) -> dict[str, dict[str, Part]]:
    parts: dict[str, dict[str, list[Judgement]]] = {}
    for record, one in zip(records, judged, strict=True):
        for what, value in {"kind of answer": record["kind"], **record["groups"]}.items():
            if value:
                parts.setdefault(what, {}).setdefault(value, []).append(one)
    return {
        what: {
            value: Part(n=len(some), accuracy=_accuracy(some), alignment=_alignment(some))
            for value, some in sorted(by.items(), key=lambda item: -len(item[1]))[:MOST_PARTS]
        }
        for what, by in parts.items()
    }


def _accuracy(judged: Sequence[Judgement]) -> Estimate:
    return _mean([one.right for one in judged if one.right is not None])


def _alignment(judged: Sequence[Judgement]) -> Estimate:
    return _mean([one.aligned for one in judged])


def _word_f1(record: Record) -> float:
    return max(
        (token_f1(record["prediction"], one["answer"])[0] for one in record["references"]),
        default=0.0,
    )


def _mean(values: Sequence[float]) -> Estimate:
    return bootstrap_mean(np.array(values, dtype=np.float64))
