"""ROUGE of summaries against rouge-score and hand-computed values."""

import json
import sys
from typing import Any

import pytest

from biomedgpt.errors import ConfigError
from biomedgpt.metrics.summarization import (
    NORMALISATION,
    SummarizationCounts,
    first_sentence,
    score_summarization,
)

rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="needs rouge-score")


def record(prediction: str, *references: str, **more: Any) -> dict[str, Any]:
    return {
        "id": prediction,
        "prediction": prediction,
        "reference": references[0],
        "references": [{"answer": text, "confidence": 1.0} for text in references],
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
    rouge = score_summarization([record(prediction, reference)], resamples=5).rouge
    assert rouge.rouge_1.value == expected["rouge1"].fmeasure
    assert rouge.rouge_2.value == expected["rouge2"].fmeasure
    assert rouge.rouge_l.value == expected["rougeL"].fmeasure


def test_values_computed_by_hand() -> None:
    # Shared: the words drug, type, diabetes; no pair, as "1" is not "2"; in order type, diabetes.
    rouge = score_summarization(
        [record("type 1 diabetes drugs", "drug for type 2 diabetes")], resamples=5
    ).rouge
    assert rouge.rouge_1.value == pytest.approx(2 * 3 / (4 + 5))
    assert rouge.rouge_2.value == 0
    assert rouge.rouge_l.value == pytest.approx(2 * 2 / (4 + 5))


def test_digits_count_as_they_are() -> None:
    same = score_summarization([record("take 1 or 11 mg", "take 1 or 11 mg")], resamples=5)
    assert same.rouge.rouge_l.value == 1
    other = score_summarization([record("1", "#")], resamples=5)
    assert other.rouge.rouge_1.value == 0


def test_the_best_of_several_references_counts_for_each_measure() -> None:
    lines = [record("a b c", "a c x y", "b c")]
    rouge = score_summarization(lines, resamples=5).rouge
    assert rouge.rouge_1.value == pytest.approx(2 * 2 / (3 + 2))
    assert rouge.rouge_2.value == pytest.approx(2 * 1 / (2 + 1))
    assert rouge.rouge_l.value == pytest.approx(2 * 2 / (3 + 2))


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
    score = score_summarization(lines, resamples=20)
    assert score.first_sentence.rouge_1.value == pytest.approx((1 + 2 * 1 / (1 + 3)) / 2)
    assert score.rouge.rouge_1.value == 0
    lines[0].pop("source")
    assert score_summarization(lines, resamples=5).first_sentence.rouge_1.value is None


def test_sums_over_batches_equal_the_score_of_the_whole() -> None:
    lines = [record("a b", "a b c"), record("", "d"), record("e", "e")]
    score = score_summarization(lines, resamples=100)
    total = SummarizationCounts.of(lines[:1]) + SummarizationCounts.of(lines[1:])
    assert total.n == 3
    assert total.rouge_l / total.n == pytest.approx(score.rouge.rouge_l.value)
    assert score.rouge.rouge_l.low is not None
    assert score.rouge.rouge_l.high is not None
    assert 0 <= score.rouge.rouge_l.low <= score.rouge.rouge_l.high <= 1


def test_result_says_what_was_lower_cased() -> None:
    score = json.loads(json.dumps(score_summarization([]).to_dict()))
    assert score["normalisation"] == NORMALISATION
    assert "lower-cased" in NORMALISATION
    assert score["rouge"]["rouge_l"] == {"value": None, "n": 0, "low": None, "high": None}


def test_missing_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    monkeypatch.delitem(sys.modules, "rouge_score.rouge_scorer")
    with pytest.raises(ConfigError, match=r"rouge-score .*pip install 'biomedgpt\[metrics\]'"):
        score_summarization([record("a", "a")])
