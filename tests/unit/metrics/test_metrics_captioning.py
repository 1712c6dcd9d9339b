"""Scores of captions against pycocoevalcap and hand-computed values."""

import json
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from caption_cases import CASES, records

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.captioning import (
    NO_JAVA,
    ONE_IMAGE,
    PLAIN_TOKENIZER,
    CaptioningCounts,
    corpus_bleu,
    score_captions,
    tokenize,
)

pytest.importorskip("pycocoevalcap", reason="needs pycocoevalcap")
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge


def words(cases: Sequence[tuple[str, Sequence[str]]], java: str | None) -> tuple[dict, dict]:
    """Return references and predictions in the form pycocoevalcap takes."""
    references = {n: tokenize(several, java=java) for n, (_, several) in enumerate(cases)}
    return references, {n: tokenize([one], java=java) for n, (one, _) in enumerate(cases)}


def test_scores_with_plain_words_equal_pycocoevalcap(capfd: pytest.CaptureFixture[str]) -> None:
    score = score_captions(records(CASES), java=None, resamples=20)
    assert capfd.readouterr() == ("", "")
    references, predictions = words(CASES, None)
    bleu, _ = Bleu(4).compute_score(references, predictions, verbose=0)
    found = [score.bleu_1, score.bleu_2, score.bleu_3, score.bleu_4]
    assert [one.value for one in found] == pytest.approx(bleu, rel=1e-12)
    assert score.cider_d.value == pytest.approx(Cider().compute_score(references, predictions)[0])
    assert score.rouge_l.value == pytest.approx(Rouge().compute_score(references, predictions)[0])


def test_absence_of_meteor_and_of_the_tokenizer_is_stated() -> None:
    score = json.loads(json.dumps(score_captions(records(CASES), java=None, resamples=5).to_dict()))
    assert score["meteor"] == {"value": None, "n": len(CASES), "low": None, "high": None}
    assert score["meteor_problem"] == NO_JAVA
    assert score["notes"] == [f"METEOR was not computed: {NO_JAVA}"]
    assert score["normalisation"] == PLAIN_TOKENIZER


def test_rouge_l_and_bleu_by_hand() -> None:
    # "a b" of "a b c": precision 1, recall 2/3, beta 1.2; two of two words, brevity exp(1 - 3/2).
    score = score_captions(records([("A b.", ["a b c"])]), java=None, resamples=5)
    f = (1 + 1.44) * 1 * (2 / 3) / (2 / 3 + 1.44 * 1)
    assert score.rouge_l.value == pytest.approx(f)
    assert score.bleu_1.value == pytest.approx(np.exp(-0.5))
    assert score.bleu_2.value == pytest.approx(np.exp(-0.5))


def test_cider_of_one_image_is_zero_and_said_to_be() -> None:
    alone = score_captions(records([("no mass", ["no mass"])]), java=None, resamples=5)
    assert alone.cider_d.value == 0
    assert ONE_IMAGE in alone.notes
    two = [("no acute mass seen", ["no acute mass seen"]), ("", ["left lung is clear"])]
    both = score_captions(records(two), java=None, resamples=5)
    assert both.cider_d.value == pytest.approx(10 / 2)
    assert ONE_IMAGE not in both.notes


def test_every_reference_of_an_image_counts() -> None:
    one = score_captions(records([("clear lungs", ["normal"])]), java=None, resamples=5)
    two = score_captions(
        records([("clear lungs", ["normal", "clear lungs"])]), java=None, resamples=5
    )
    assert one.rouge_l.value == 0
    assert two.rouge_l.value == pytest.approx(1)


def test_closest_reference_of_equal_distance_is_the_shorter_as_in_pycocoevalcap() -> None:
    cases = [("a b c d", ["a b c", "a b c d e"]), ("no acute disease", ["no", "no acute disease"])]
    score = score_captions(records(cases), java=None, resamples=5)
    bleu, _ = Bleu(4).compute_score(*words(cases, None), verbose=0)
    assert [score.bleu_1.value, score.bleu_2.value] == pytest.approx(bleu[:2], rel=1e-12)
    assert score.bleu_1.value == pytest.approx(1)  # no penalty for brevity


def test_no_inside_normal_is_no_common_word() -> None:
    score = score_captions(records([("no", ["normal"]), ("normal", ["no"])]), java=None)
    assert score.rouge_l.value == score.cider_d.value == 0
    assert score.bleu_1.value == pytest.approx(0, abs=1e-6)


def test_intervals_hold_the_value_and_follow_the_seed() -> None:
    score = score_captions(records(CASES), java=None, resamples=100)
    for estimate in (score.cider_d, score.bleu_1, score.bleu_4, score.rouge_l):
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
    assert score == score_captions(records(CASES), java=None, resamples=100)


def test_bleu_of_nothing_is_zero() -> None:
    assert corpus_bleu(np.array([0.0, 5.0] + [0.0] * 8)) == [0, 0, 0, 0]


def test_references_without_a_word_are_refused_by_id() -> None:
    with pytest.raises(DataError, match=r"'0'.*no word"):
        score_captions(records([("a", ["a", "--"])]), java=None, resamples=5)


def test_sums_over_batches_equal_the_score_of_the_whole() -> None:
    lines = records(CASES)
    total = CaptioningCounts.of(lines[:2]) + CaptioningCounts.of(lines[2:])
    score = score_captions(lines, java=None, resamples=5)
    assert total.n == len(CASES)
    assert total.rouge_l / total.n == pytest.approx(score.rouge_l.value)


def test_no_captions_have_no_score() -> None:
    score = score_captions([], java=None)
    assert score.cider_d.value is None
    assert score.bleu_4.n == 0


def test_missing_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.cider.cider", None)
    with pytest.raises(ConfigError, match=r"pycocoevalcap .*pip install 'biomedgpt\[metrics\]'"):
        score_captions(records(CASES), java=None, resamples=5)
