"""Scores of captions against pycocoevalcap and hand-computed values."""

import json
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from caption_cases import CASES, records
from measuring import measured, measured_captions, remarks_on_captions

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.captioning import (
    NO_JAVA,
    ONE_IMAGE,
    PLAIN_TOKENIZER,
    corpus_bleu,
    tokenize,
)
from biomedgpt.tasks import Captioning

pytest.importorskip("pycocoevalcap", reason="needs pycocoevalcap")
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge


def words(cases: Sequence[tuple[str, Sequence[str]]], java: str | None) -> tuple[dict, dict]:
    """Return references and predictions in the form pycocoevalcap takes."""
    references = {n: tokenize(several, java=java) for n, (_, several) in enumerate(cases)}
    return references, {n: tokenize([one], java=java) for n, (one, _) in enumerate(cases)}


def test_scores_with_plain_words_equal_pycocoevalcap(capfd: pytest.CaptureFixture[str]) -> None:
    score = measured_captions(records(CASES), java=None, resamples=20)
    assert capfd.readouterr() == ("", "")
    references, predictions = words(CASES, None)
    bleu, _ = Bleu(4).compute_score(references, predictions, verbose=0)
    found = [
        score["bleu_1"].model,
        score["bleu_2"].model,
        score["bleu_3"].model,
        score["bleu_4"].model,
    ]
    assert [one.value for one in found] == pytest.approx(bleu, rel=1e-12)
    assert score["cider_d"].model.value == pytest.approx(
        Cider().compute_score(references, predictions)[0]
    )
    assert score["rouge_l"].model.value == pytest.approx(
        Rouge().compute_score(references, predictions)[0]
    )


def test_absence_of_meteor_and_of_the_tokenizer_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedgpt.metrics.captioning.find_java", lambda: None)
    score = json.loads(json.dumps(measured("captioning", records(CASES))["meteor"].to_dict()))
    assert (score["value"], score["n"], score["low"]) == (None, len(CASES), None)
    assert score["problem"] == NO_JAVA
    said = [f"METEOR was not computed: {NO_JAVA}"]
    assert remarks_on_captions(records(CASES), java=None) == said
    assert Captioning.normalised() == PLAIN_TOKENIZER


def test_rouge_l_and_bleu_by_hand() -> None:
    # "a b" of "a b c": precision 1, recall 2/3, beta 1.2; two of two words, brevity exp(1 - 3/2).
    score = measured_captions(records([("A b.", ["a b c"])]), java=None, resamples=5)
    f = (1 + 1.44) * 1 * (2 / 3) / (2 / 3 + 1.44 * 1)
    assert score["rouge_l"].model.value == pytest.approx(f)
    assert score["bleu_1"].model.value == pytest.approx(np.exp(-0.5))
    assert score["bleu_2"].model.value == pytest.approx(np.exp(-0.5))


def test_cider_of_one_image_is_zero_and_said_to_be() -> None:
    alone = measured_captions(records([("no mass", ["no mass"])]), java=None, resamples=5)
    assert alone["cider_d"].model.value == 0
    assert ONE_IMAGE in remarks_on_captions(records(CASES[:1]), java=None)
    two = [("no acute mass seen", ["no acute mass seen"]), ("", ["left lung is clear"])]
    both = measured_captions(records(two), java=None, resamples=5)
    assert both["cider_d"].model.value == pytest.approx(10 / 2)
    assert ONE_IMAGE not in remarks_on_captions(records(two), java=None)


def test_every_reference_of_an_image_counts() -> None:
    one = measured_captions(records([("clear lungs", ["normal"])]), java=None, resamples=5)
    two = measured_captions(
        records([("clear lungs", ["normal", "clear lungs"])]), java=None, resamples=5
    )
    assert one["rouge_l"].model.value == 0
    assert two["rouge_l"].model.value == pytest.approx(1)


def test_closest_reference_of_equal_distance_is_the_shorter_as_in_pycocoevalcap() -> None:
    cases = [("a b c d", ["a b c", "a b c d e"]), ("no acute disease", ["no", "no acute disease"])]
    score = measured_captions(records(cases), java=None, resamples=5)
    bleu, _ = Bleu(4).compute_score(*words(cases, None), verbose=0)
    assert [score["bleu_1"].model.value, score["bleu_2"].model.value] == pytest.approx(
        bleu[:2], rel=1e-12
    )
    assert score["bleu_1"].model.value == pytest.approx(1)  # no penalty for brevity


def test_no_inside_normal_is_no_common_word() -> None:
    score = measured_captions(records([("no", ["normal"]), ("normal", ["no"])]), java=None)
    assert score["rouge_l"].model.value == score["cider_d"].model.value == 0
    assert score["bleu_1"].model.value == pytest.approx(0, abs=1e-6)


def test_intervals_hold_the_value_and_follow_the_seed() -> None:
    score = measured_captions(records(CASES), java=None, resamples=100)
    for estimate in (
        score["cider_d"].model,
        score["bleu_1"].model,
        score["bleu_4"].model,
        score["rouge_l"].model,
    ):
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
    assert score == measured_captions(records(CASES), java=None, resamples=100)


def test_bleu_of_nothing_is_zero() -> None:
    assert corpus_bleu(np.array([0.0, 5.0] + [0.0] * 8)) == [0, 0, 0, 0]


def test_references_without_a_word_are_refused_by_id() -> None:
    with pytest.raises(DataError, match=r"'0'.*no word"):
        measured_captions(records([("a", ["a", "--"])]), java=None, resamples=5)


def test_sums_over_batches_equal_the_score_of_the_whole() -> None:
    lines = records(CASES)
    parts = [Captioning().sums(lines[:2])["rouge_l"], Captioning().sums(lines[2:])["rouge_l"]]
    total, count = map(sum, zip(*parts, strict=True))
    score = measured_captions(lines, java=None, resamples=5)
    assert count == len(CASES)
    assert total / count == pytest.approx(score["rouge_l"].model.value)


def test_no_captions_have_no_score() -> None:
    score = measured_captions([], java=None)
    assert score["cider_d"].model.value is None
    assert score["bleu_4"].model.n == 0


def test_missing_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.cider.cider", None)
    with pytest.raises(ConfigError, match=r"pycocoevalcap .*pip install 'biomedgpt\[metrics\]'"):
        measured_captions(records(CASES), java=None, resamples=5)
