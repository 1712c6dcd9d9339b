"""Scores of closed-set tasks against hand-computed values and scikit-learn."""

import json
from typing import Any

import numpy as np
import pytest
from measuring import measured
from sklearn.metrics import f1_score, roc_auc_score

from biomedgpt.errors import DataError
from biomedgpt.metrics.classification import auc_score, f1_scores, support
from biomedgpt.tasks import get_task


def records(predictions: list[str], references: list[str], **same: Any) -> list[dict[str, Any]]:
    return [
        {"id": str(number), "prediction": prediction, "reference": reference} | same
        for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True))
    ]


def with_scores(margins: list[float], references: list[str]) -> list[dict[str, Any]]:
    lines = records(["sick" if margin > 0 else "fine" for margin in margins], references)
    for line, margin in zip(lines, margins, strict=True):
        line["class_scores"] = {"fine": -1.0, "sick": margin - 1.0}
    return lines


def test_scores_equal_the_ones_computed_by_hand() -> None:
    # a: 2 of 2 found, 3 predicted: F1 0.8; b: 1 of 2 found, 1 predicted: 2/3; c: never found: 0.
    lines = records(["a", "a", "a", "b", "b"], ["a", "a", "b", "b", "c"])
    score = measured("classification", lines, resamples=20)
    assert score["accuracy"].model.value == pytest.approx(3 / 5)
    assert support(lines) == {"a": 2, "b": 2, "c": 1}
    assert score["macro_f1"].model.value == pytest.approx((4 / 5 + 1 / 2 + 0) / 3)
    assert score["weighted_f1"].model.value == pytest.approx((2 * 4 / 5 + 2 * 1 / 2) / 5)
    assert score["accuracy"].model.n == score["macro_f1"].model.n == 5


def test_f1_equals_scikit_learn_where_every_prediction_is_a_class() -> None:
    actual = ["tumor", "stroma", "mucus", "mucus", "tumor", "tumor", "stroma"]
    predicted = ["tumor", "mucus", "mucus", "tumor", "tumor", "stroma", "stroma"]
    score = measured("classification", records(predicted, actual), resamples=20)
    assert score["macro_f1"].model.value == pytest.approx(
        f1_score(actual, predicted, average="macro")
    )
    assert score["weighted_f1"].model.value == pytest.approx(
        f1_score(actual, predicted, average="weighted")
    )


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_resampled_scores_equal_scikit_learn_with_ties_and_stray_predictions(classes: int) -> None:
    rng = np.random.default_rng(3)
    for number in range(30):
        size = 1 + number
        # Some of the classes do not occur, others are predicted only.
        actual, predicted = rng.integers(0, classes, size), rng.integers(-1, classes + 1, size)
        options = {"labels": np.unique(actual), "zero_division": 0.0}
        assert f1_scores(actual, predicted) == pytest.approx(
            [f1_score(actual, predicted, average=kind, **options) for kind in ("macro", "weighted")]
        )
        positive, levels = rng.random(size) < 0.4, rng.integers(0, 6, size)
        if len(set(positive)) == 2:
            assert auc_score(positive, levels) == pytest.approx(roc_auc_score(positive, levels))
        else:
            assert np.isnan(auc_score(positive, levels))


def test_equal_scores_of_all_examples_are_worth_a_half() -> None:
    score = measured("classification", with_scores([0.0] * 4, ["fine", "sick", "sick", "sick"]))
    assert score["auc"].model.value == score["auc"].model.low == score["auc"].model.high == 0.5


def test_one_example() -> None:
    score = measured("classification", with_scores([1.0], ["sick"]), resamples=5)
    assert (
        score["accuracy"].model.value,
        score["macro_f1"].model.value,
        score["auc"].model.value,
    ) == (1, 1, None)
    assert score["auc"].problem == "one class only"


@pytest.mark.parametrize("stray", ["", "?", "normal lung", "an absent class"])
def test_what_is_no_reference_class_counts_as_wrong_but_forms_no_class(stray: str) -> None:
    actual, predicted = ["no", "yes", "yes"], ["no", "yes", stray]
    score = measured("classification", records(predicted, actual), resamples=20)
    assert score["accuracy"].model.value == pytest.approx(2 / 3)
    assert score["macro_f1"].model.value == pytest.approx((1 + 2 / 3) / 2)
    assert set(support(records(predicted, actual))) == {"no", "yes"}


def test_no_inside_normal_is_not_no() -> None:
    score = measured("classification", records(["normal", "no"], ["no", "normal"]), resamples=5)
    assert score["accuracy"].model.value == 0


def test_one_class_only() -> None:
    score = measured("classification", records(["fine", "sick"], ["fine", "fine"]), resamples=20)
    assert score["accuracy"].model.value == 0.5
    assert score["macro_f1"].model.value == pytest.approx(2 / 3)
    alone = measured("classification", with_scores([-1.0, 0.5], ["fine", "fine"]), resamples=20)
    assert alone["auc"].model.value is None  # no ROC curve without a negative and a positive


def test_auc_counts_ties_half() -> None:
    references = ["fine", "fine", "sick", "sick"]
    margins = [-1.0, 0.5, 0.5, 2.0]
    score = measured("classification", with_scores(margins, references), resamples=50)
    assert score["auc"].model.value == pytest.approx(3.5 / 4)
    assert score["auc"].model.value == roc_auc_score([0, 0, 1, 1], margins)
    assert score["auc"].model.low is not None
    assert score["auc"].model.high is not None
    assert score["auc"].model.low <= score["auc"].model.value <= score["auc"].model.high


def test_auc_needs_two_classes_and_scores_in_every_record() -> None:
    lines = with_scores([-1.0, 1.0], ["fine", "sick"])
    lines[1].pop("class_scores")
    assert measured("classification", lines, resamples=5)["auc"].model.value is None
    three = records(["a", "b"], ["a", "b"], class_scores={"a": 0.1, "b": 0.2, "c": 0.7})
    assert measured("classification", three, resamples=5)["auc"].model.value is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_scores": {"fine": 0.0, "ill": 1.0}}, "'1'.*other classes"),
        ({"class_scores": {"fine": 0.0, "sick": float("nan")}}, "'1'.*finite"),
        ({"class_scores": {"fine": 0.0, "sick": "1"}}, "'1'.*finite"),
        ({"reference": "dubious"}, "'1'.*not among"),
    ],
)
def test_class_scores_that_do_not_fit_are_refused_by_id(
    changes: dict[str, Any], message: str
) -> None:
    lines = with_scores([-1.0, 1.0], ["fine", "sick"])
    lines[1] |= changes
    with pytest.raises(DataError, match=message):
        measured("classification", lines, resamples=5)


def test_majority_baseline_and_intervals() -> None:
    lines = records(["a"] * 4, ["a", "a", "a", "b"], majority="a")
    score = measured("classification", lines, resamples=200)
    assert score["accuracy"].baseline.value == 0.75
    assert score["accuracy"].model.low is not None
    assert score["accuracy"].model.high is not None
    assert 0 < score["accuracy"].model.low < 0.75 < score["accuracy"].model.high <= 1
    assert score == measured("classification", lines, resamples=200)
    without = measured("classification", records(["a"], ["a"]), resamples=5)
    assert without["accuracy"].baseline.value is None


def test_no_records_have_no_score() -> None:
    score = measured("classification", [])
    assert score["accuracy"].model.value is None
    assert score["macro_f1"].model.value is None
    assert score["auc"].model.value is None
    assert json.loads(json.dumps(score["accuracy"].to_dict()))["n"] == 0


def test_counts_add_up_to_the_accuracy_of_the_whole() -> None:
    lines = records(["a", "", "b"], ["a", "a", "B."])
    task = get_task("classification")
    parts = [task.sums(lines[:1])["accuracy"], task.sums(lines[1:])["accuracy"]]
    assert tuple(map(sum, zip(*parts, strict=True))) == (2, 3)
    assert measured("classification", lines, resamples=5)["accuracy"].model.value == 2 / 3
