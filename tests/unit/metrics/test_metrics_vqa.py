import sys

import numpy as np
import pytest
from measuring import measured
from sklearn.metrics import f1_score

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.normalize import normalize_answer
from biomedgpt.metrics.vqa import credit, token_recall
from biomedgpt.scoring.bootstrap import bootstrap_mean
from biomedgpt.scoring.evaluation import read_group_predictions
from biomedgpt.scoring.predictions import check_blank, write_predictions
from biomedgpt.tasks import get_group, get_task


def record(number=0, prediction="yes", reference="yes", answer_type="CLOSED", **changes):
    """Return one valid prediction line."""
    return {
        "id": f"q{number}",
        "question": "is there a lesion?",
        "prediction": prediction,
        "reference": reference,
        "references": [{"answer": reference, "confidence": 1.0}],
        "answer_type": answer_type,
        "question_type": "PRES",
        "majority": "no",
        "dataset": "phantoms",
        "dataset_hash": "abc123",
        "split": "test",
        "decoding": {"mode": "beam", "beam": 5},
    } | changes


def f1_of(predictions, references):
    pairs = zip(predictions, references, strict=True)
    lines = [record(number, *pair) for number, pair in enumerate(pairs)]
    return measured("vqa", lines, resamples=5)["weighted_f1"].model.value


def written(path, records):
    write_predictions(path, records)
    return path


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Yes", "yes"),
        ("  Right \t lung. ", "right lung"),
        ("Air?", "air"),
        ("etc. .", "etc"),
        ("3.5 cm", "3.5 cm"),
        ("x-ray!", "x-ray!"),
        ("", ""),
        ("?", ""),
    ],
)
def test_normalisation(text, normal):
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("normal", "no", 0.0),
        ("no", "normal", 0.0),
        ("no", "No.", 1.0),
        ("yes and no", "yes", 0.0),
        ("not sure", "no", 0.0),
        ("", "no", 0.0),
        ("?", "no", 0.0),
    ],
)
def test_only_whole_answers_count(prediction, reference, expected):
    assert credit(record(prediction=prediction, reference=reference)) == expected


def test_confidence_of_the_matching_reference_is_the_credit():
    references = [
        {"answer": "left lung", "confidence": 0.6},
        {"answer": "Lung", "confidence": 0.3},
        {"answer": "lung", "confidence": 0.9},
    ]
    line = record(reference="left lung", references=references)
    assert credit(line | {"prediction": "left lung"}) == 0.6
    assert credit(line | {"prediction": "lung"}) == 0.9
    assert credit(line | {"prediction": "right lung"}) == 0.0
    assert credit(record(references=[])) == 1.0


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("the right lower lobe", "right lobe", 1.0),
        ("lobe", "Right lower lobe.", 1 / 3),
        ("normal", "no", 0.0),
        ("pain and jaundice", "pain, jaundice", 1.0),
        ("left", "left left lung", 0.5),
        ("", "lung", 0.0),
        ("+", "+", 1.0),
    ],
)
def test_token_recall(prediction, reference, expected):
    assert token_recall(prediction, reference) == pytest.approx(expected)


def test_weighted_f1_by_hand():
    # yes: precision 2/3, recall 2/3 -> 2/3, weight 3; no: precision 1/1, recall 1/2 -> 2/3,
    # weight 2; "maybe" is never a reference and weighs nothing.
    references = ["yes", "Yes", "yes", "no", "no"]
    predictions = ["yes", "yes.", "maybe", "no", "yes"]
    assert f1_of(predictions, references) == pytest.approx(2 / 3)


def test_weighted_f1_equals_scikit_learn_with_empty_predictions_and_no_inside_normal():
    references = ["no", "normal", "yes", "no"]
    predictions = ["normal", "no", "", "no"]
    expected = f1_score(references, predictions, average="weighted", zero_division=0.0)
    assert f1_of(predictions, references) == pytest.approx(expected)
    assert expected == pytest.approx((2 * 1 / 2) / 4)


def test_without_scikit_learn_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(
        ConfigError, match=r"^scikit-learn is not installed \(.*biomedgpt\[report\]"
    ):
        measured("vqa", [record()])


def test_one_question():
    score = measured("vqa", [record(prediction="")])
    accuracy = score["accuracy"].model
    assert (accuracy.value, accuracy.n) == (0.0, 1)
    assert (accuracy.low, accuracy.high) == (0.0, 0.0)
    assert score["weighted_f1"].model.value == 0.0


def test_score_by_hand():
    records = [
        record(0, "yes", "yes"),
        record(1, "no", "yes"),
        record(2, "no", "no"),
        record(3, "right lung", "right lower lung", "OPEN", majority="chest"),
        record(4, "Chest", "chest", "OPEN", majority="chest"),
    ]
    score = measured("vqa", records)
    assert (score["accuracy"].model.value, score["accuracy"].model.n) == (0.6, 5)
    assert (score["accuracy_open"].model.value, score["accuracy_open"].model.n) == (0.5, 2)
    assert score["accuracy_closed"].model.value == pytest.approx(2 / 3)
    assert score["open_token_recall"].model.value == pytest.approx((2 / 3 + 1) / 2)
    assert score["accuracy"].baseline.value == pytest.approx(2 / 5)
    assert score["accuracy_open"].baseline.value == pytest.approx(1 / 2)
    assert score["accuracy_closed"].baseline.value == pytest.approx(1 / 3)
    assert get_group("vqa").task.scorer == "vqa-1.0"


def test_sums_over_shards_equal_the_score():
    rng = np.random.default_rng(1)
    records = [
        record(
            i, rng.choice(["yes", "no"]), rng.choice(["yes", "no"]), rng.choice(["OPEN", "CLOSED"])
        )
        for i in range(50)
    ]
    parts = [get_task("vqa").sums(records[:17]), get_task("vqa").sums(records[17:])]
    score = measured("vqa", records, resamples=10)
    for logged, key in (
        ("vqa_score", "accuracy"),
        ("vqa_open", "accuracy_open"),
        ("vqa_closed", "accuracy_closed"),
    ):
        total, count = map(sum, zip(*(part[logged] for part in parts), strict=True))
        assert total / count == pytest.approx(score[key].model.value)
        assert count == score[key].model.n


def test_a_missing_answer_type_has_no_value():
    score = measured("vqa", [record()])
    assert score["accuracy_open"].model.value is None
    assert score["accuracy_open"].baseline.n == 0
    assert score["open_token_recall"].model.n == 0
    sums = get_task("vqa").sums([record()])
    assert sums == {"vqa_score": (1.0, 1), "vqa_open": (0.0, 0), "vqa_closed": (1.0, 1)}
    assert measured("vqa", [])["accuracy"].model.value is None


def test_majority_baseline_is_unknown_without_training_answers():
    assert measured("vqa", [record(majority="")])["accuracy"].baseline.value is None
    unseen = measured("vqa", [record(0, majority="yes"), record(1, majority="")])
    assert unseen["accuracy"].baseline.value == 0.5


def test_interval_covers_the_mean_and_repeats():
    values = np.array([0.0, 1.0] * 100)
    estimate = bootstrap_mean(values)
    assert estimate == bootstrap_mean(values)
    # Normal approximation: 0.5 +- 1.96 * sqrt(0.25 / 200).
    assert estimate.low == pytest.approx(0.431, abs=0.02)
    assert estimate.high == pytest.approx(0.569, abs=0.02)


def test_files_round_trip(tmp_path):
    records = [record(0, "naïve\u2028line"), record(1)]
    path = written(tmp_path / "p.jsonl", records)
    predictions = read_group_predictions("vqa", path)
    assert list(predictions.records) == records
    assert (predictions.dataset, predictions.split) == ("phantoms", "test")
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.jsonl"]


def test_failed_write_leaves_the_old_file(tmp_path):
    path = written(tmp_path / "p.jsonl", [record()])

    def broken():
        yield record(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_predictions(path, broken())
    assert read_group_predictions("vqa", path).ids == ["q0"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.jsonl"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"majority": None}, "'majority' must be a string"),
        ({"reference": " ?"}, "'reference' is empty"),
        ({"answer_type": "open"}, "'answer_type' is 'open'"),
        ({"references": [{"answer": "yes"}]}, "'references' must list"),
        ({"references": [{"answer": "yes", "confidence": 7}]}, "'references' must list"),
        ({"dataset_hash": "other"}, "dataset_hash is"),
        ({"split": "train"}, "split is"),
        ({"decoding": {"beam": 1}}, "decoding is"),
        ({"id": "q0"}, "already on line 1"),
    ],
)
def test_bad_line_is_named(tmp_path, changes, expected):
    path = written(tmp_path / "p.jsonl", [record(0), record(1, **changes)])
    with pytest.raises(DataError, match=rf"p\.jsonl:2: .*{expected}") as caught:
        read_group_predictions("vqa", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty line"),
        (b'{"id": "q0"', "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (b"{}", "key 'id' is missing"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_file_is_named(tmp_path, content, expected):
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"p\.jsonl:1: .*{expected}"):
        read_group_predictions("vqa", path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: cannot read"):
        read_group_predictions("vqa", tmp_path / "none.jsonl")


def test_blank_predictions_must_fit(tmp_path):
    real = read_group_predictions("vqa", written(tmp_path / "real.jsonl", [record(0), record(1)]))
    blanked = {"decoding": {"mode": "beam", "beam": 5, "blank_image": True}}

    def blank(name, *records):
        return read_group_predictions(
            "vqa", written(tmp_path / name, [r | blanked for r in records])
        )

    check_blank(real, blank("good.jsonl", record(1), record(0)))
    with pytest.raises(DataError, match=r"short\.jsonl: ids differ .*1 missing \(q1\)"):
        check_blank(real, blank("short.jsonl", record(0)))
    with pytest.raises(DataError, match="dataset_hash is 'x'"):
        check_blank(real, blank("other.jsonl", record(0, dataset_hash="x")))
    blanked["decoding"] |= {"beam": 1}
    with pytest.raises(DataError, match=r"decoding differs from .* in beam;"):
        check_blank(real, blank("beam.jsonl", record(0), record(1)))
    with pytest.raises(DataError, match="blank images"):
        check_blank(blank("swapped.jsonl", record(0), record(1)), real)
