"""ROUGE of summaries against rouge-score and hand-computed values."""

import json
import sys
from typing import Any

import pytest
from measuring import measured

from biomedgpt.errors import ConfigError
from biomedgpt.metrics.summarization import (
    NORMALISATION,
    first_sentence,
)
from biomedgpt.tasks import get_task

rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="needs rouge-score")


def record(prediction: str, *references: str, **more: Any) -> dict[str, Any]:
    return {
        "id": prediction,
        "prediction": prediction,
        "reference": references[0],
        "references": [{"answer": text, "confidence": 1.0} for text in references],
        "source": "",
    } | more


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("what is the dose of aspirin?", "What are the doses of aspirin?"),
        ("treatment of type 1 diabetes", "treatment of type 2 diabetes"),
        ("", "what is it?"),
        ("?!", "what is it?"),
        ("left-sided effusion 10/11", "left sided effusion, 10 11"),
        ("the cat the cat", "the cat"),
        ("no", "normal"),
    ],
)
def test_values_equal_rouge_score(prediction: str, reference: str) -> None:
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    expected = scorer.score(reference, prediction)
    rouge = measured("summarization", [record(prediction, reference)], resamples=5)
    assert rouge["rouge_1"].model.value == expected["rouge1"].fmeasure
    assert rouge["rouge_2"].model.value == expected["rouge2"].fmeasure
    assert rouge["rouge_l"].model.value == expected["rougeL"].fmeasure


def test_values_computed_by_hand() -> None:
    # Shared: the words drug, type, diabetes; no pair, as "1" is not "2"; in order type, diabetes.
    rouge = measured(
        "summarization", [record("type 1 diabetes drugs", "drug for type 2 diabetes")], resamples=5
    )
    assert rouge["rouge_1"].model.value == pytest.approx(2 * 3 / (4 + 5))
    assert rouge["rouge_2"].model.value == 0
    assert rouge["rouge_l"].model.value == pytest.approx(2 * 2 / (4 + 5))


def test_digits_count_as_they_are() -> None:
    same = measured("summarization", [record("take 1 or 11 mg", "take 1 or 11 mg")], resamples=5)
    assert same["rouge_l"].model.value == 1
    other = measured("summarization", [record("1", "#")], resamples=5)
    assert other["rouge_1"].model.value == 0


def test_the_best_of_several_references_counts_for_each_measure() -> None:
    lines = [record("a b c", "a c x y", "b c")]
    rouge = measured("summarization", lines, resamples=5)
    assert rouge["rouge_1"].model.value == pytest.approx(2 * 2 / (3 + 2))
    assert rouge["rouge_2"].model.value == pytest.approx(2 * 1 / (2 + 1))
    assert rouge["rouge_l"].model.value == pytest.approx(2 * 2 / (3 + 2))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("Dose of 2.5 mg? My dog ate it.", "Dose of 2.5 mg?"),
        ("SUBJECT: gout\nMESSAGE: what helps", "SUBJECT: gout"),
        ("  no end ", "no end"),
        ("", ""),
    ],
)
def test_first_sentence(source: str, sentence: str) -> None:
    assert first_sentence(source) == sentence


def test_first_sentence_baseline_needs_every_source() -> None:
    lines = [
        record("wrong", "what is gout", source="What is gout? I hurt."),
        record("wrong", "dose of aspirin", source="Aspirin. What dose?"),
    ]
    score = measured("summarization", lines, resamples=20)
    assert score["rouge_1"].baseline.value == pytest.approx((1 + 2 * 1 / (1 + 3)) / 2)
    assert score["rouge_1"].model.value == 0


def test_sums_over_batches_equal_the_score_of_the_whole() -> None:
    lines = [record("a b", "a b c"), record("", "d"), record("e", "e")]
    score = measured("summarization", lines, resamples=100)
    task = get_task("summarization")
    parts = [task.sums(lines[:1])["rouge_l"], task.sums(lines[1:])["rouge_l"]]
    total, count = map(sum, zip(*parts, strict=True))
    assert count == 3
    assert total / count == pytest.approx(score["rouge_l"].model.value)
    assert score["rouge_l"].model.low is not None
    assert score["rouge_l"].model.high is not None
    assert 0 <= score["rouge_l"].model.low <= score["rouge_l"].model.high <= 1


def test_result_says_what_was_lower_cased() -> None:
    assert get_task("summarization").normalised() == NORMALISATION
    assert "lower-cased" in NORMALISATION
    score = json.loads(json.dumps(measured("summarization", [])["rouge_l"].to_dict()))
    assert (score["value"], score["n"], score["low"]) == (None, 0, None)


def test_missing_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    monkeypatch.delitem(sys.modules, "rouge_score.rouge_scorer")
    with pytest.raises(ConfigError, match=r"rouge-score .*pip install 'biomedgpt\[metrics\]'"):
        measured("summarization", [record("a", "a")])
