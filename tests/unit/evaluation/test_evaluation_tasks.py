"""The scoring scripts of all kinds of tasks, on predictions as the tasks write them."""

import json
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from scored_rows import COUNT, ROWS, half, predict, prepare, right, write_folds

from biomedgpt.cli import score as command
from biomedgpt.errors import ConfigError
from biomedgpt.scoring.evaluation import evaluate_files, paired_gain
from biomedgpt.scoring.predictions import write_predictions
from biomedgpt.tasks import TASKS, get_group, get_task, groups, guess_group

pytest.importorskip("rouge_score", reason="needs the metrics extra")
pytest.importorskip("pycocoevalcap", reason="needs the metrics extra")


def refused(capsys, group, *arguments):
    assert command.main(group, [str(one) for one in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_every_task_has_one_group_of_its_name_and_a_script():
    assert {task.name: task.group for task in TASKS.values()} == {
        task: group.name for group in groups().values() for task in group.tasks
    }
    assert {path.stem for path in (ROOT / "evaluation").glob("*.py")} == set(groups())
    for group in groups().values():
        keys = [kind.key for kind in group.measures]
        assert {group.primary, *group.headline} <= set(keys)


def test_classes_bring_the_auc_and_its_absence_is_explained(tmp_path):
    dataset = prepare(tmp_path / "data", "classification", ["train", "test"])
    path = predict(tmp_path / "p.jsonl", dataset, "test", half)
    found = {one.key: one for one in evaluate_files("classification", path).measures}
    assert found["auc"].model.value is not None
    records = [json.loads(line) for line in path.read_text().splitlines()]
    write_predictions(path, [r | {"class_scores": {}} for r in records])
    found = {one.key: one for one in evaluate_files("classification", path).measures}
    assert found["auc"].model.value is None
    assert found["auc"].problem == "predictions without class scores"


@pytest.fixture
def without_java(monkeypatch):
    monkeypatch.setattr("biomedgpt.metrics.captioning.find_java", lambda: None)


@pytest.mark.usefixtures("without_java")
def test_absence_of_meteor_is_stated_in_the_table(tmp_path, capsys):
    dataset = prepare(tmp_path / "data", "captioning", ["test"])
    path = predict(tmp_path / "p.jsonl", dataset, "test", right)
    assert command.main("captioning", [str(path), "--json", str(tmp_path / "s.json")]) == 0
    out = capsys.readouterr().out
    assert "METEOR   12  not computed: no Java was found" in out
    assert "plain words, for want of Java" in out
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["notes"] == ["METEOR was not computed: no Java was found"]


@pytest.mark.usefixtures("without_java")
def test_a_model_that_does_not_look_is_told_so(tmp_path, capsys):
    dataset = prepare(tmp_path / "data", "captioning", ["test"])
    path = predict(tmp_path / "p.jsonl", dataset, "test", half)
    blank = predict(tmp_path / "b.jsonl", dataset, "test", half, blank=True)
    assert command.main("captioning", [str(path), "--blank", str(blank)]) == 0
    assert (
        "The ROUGE-L is not above the blank-image ROUGE-L by more than the 95 % interval: this "
        "model does not look at the image." in capsys.readouterr().out
    )


def test_a_summary_no_better_than_the_first_sentence_is_told_so(tmp_path, capsys):
    dataset = prepare(tmp_path / "data", "summarization", ["test"])
    path = predict(tmp_path / "p.jsonl", dataset, "test", lambda _: "Hello.")
    assert command.main("summarization", [str(path)]) == 0
    out = capsys.readouterr().out
    assert "! The ROUGE-L is not above that of giving the first sentence of the source." in out


def test_gain_is_paired_by_id_and_leaves_out_what_the_measure_is_not_about():
    def record(number, prediction):
        kind = "OPEN" if number % 2 else "CLOSED"
        return {
            "id": f"q{number}",
            "prediction": prediction,
            "reference": "yes",
            "references": [],
            "answer_type": kind,
        }

    records = [record(number, "yes") for number in range(20)]
    blank = [record(number, "no" if number < 12 else "yes") for number in reversed(range(20))]
    credits = {measure.key: measure.examples for measure in get_group("vqa").measures}
    gain = paired_gain(records, blank, credits["accuracy"])
    assert (gain.value, gain.n) == (0.6, 20)
    assert gain.low > 0
    assert paired_gain(records, blank, credits["accuracy_open"]).n == 10
    assert np.isnan(credits["accuracy_open"](records)).sum() == 10
    assert paired_gain(records, records, credits["accuracy"]).low == 0


@pytest.mark.parametrize("task", ROWS)
def test_files_of_other_data_are_refused_with_the_ids(task, tmp_path, capsys):
    dataset = prepare(tmp_path / "data", task, ["test"])
    group = get_task(task).group
    path = predict(tmp_path / "p.jsonl", dataset, "test", right)
    lines = path.read_text().splitlines()

    def said(*changed):
        path.write_text("\n".join(changed) + "\n")
        return refused(capsys, group, path, "--data", dataset.folder)

    assert "1 missing (q3)" in said(*lines[:3], *lines[4:])
    assert "1 not expected (q99)" in said(*lines, lines[0].replace('"q0"', '"q99"'))
    assert "p.jsonl:13: id 'q5' is already on line 6" in said(*lines, lines[5])
    assert "made from dataset hash 0123" in said(
        *(line.replace(dataset.hash, "0123") for line in lines)
    )


def test_predictions_of_another_task_are_refused(tmp_path, capsys):
    dataset = prepare(tmp_path / "data", "entailment", ["test"])
    path = predict(tmp_path / "p.jsonl", dataset, "test", right)
    assert "key 'source' is missing" in refused(capsys, "summarization", path)
    # Their lines hold all that captions need, but the dataset says what they are.
    line = refused(capsys, "captioning", path, "--data", dataset.folder)
    assert "is for the task entailment" in line
    assert "evaluation/understanding.py" in line
    assert "has no images" in refused(capsys, "understanding", path, "--blank", path)


def test_class_scores_of_another_kind_are_refused_by_line(tmp_path, capsys):
    dataset = prepare(tmp_path / "data", "entailment", ["test"])
    path = predict(tmp_path / "p.jsonl", dataset, "test", right)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    write_predictions(path, [records[0], records[1] | {"class_scores": [1, 2]}])
    assert "p.jsonl:2: key 'class_scores' must be an object" in refused(
        capsys, "understanding", path
    )


@pytest.fixture
def folds(tmp_path):
    """Return a cross-validation of three folds and a file of predictions for each."""
    return write_folds(tmp_path)


def test_a_single_fold_is_scored_as_it_is(folds):
    dataset, files = folds
    result = evaluate_files("understanding", files[1], data=dataset.folder)
    assert (result.split, result.primary.model.value) == ("fold1", 0.5)


def test_a_fold_left_out_is_noted(folds, capsys):
    dataset, files = folds
    arguments = [str(path) for path in (*files[:2], "--data", dataset.folder)]
    assert command.main("understanding", arguments) == 0
    assert "! without fold2: not the whole cross-validation" in capsys.readouterr().out


def test_what_is_not_one_cross_validation_is_refused(folds, tmp_path, capsys):
    dataset, files = folds
    text = files[1].read_text()
    other = tmp_path / "other.jsonl"

    def said(content, *more):
        other.write_text(content)
        return refused(capsys, "understanding", files[0], other, *more)

    assert "fold0 is already in" in said(files[0].read_text())
    assert "split is 'test'" in said(text.replace("fold1", "test"))
    assert "dataset_hash is 'feed'" in said(text.replace(dataset.hash, "feed"))
    assert "dataset is 'huge'" in said(text.replace('"tiny"', '"huge"'))
    assert "decoding differs from" in said(text.replace('"beam": 5', '"beam": 1'))
    short = "".join(text.splitlines(keepends=True)[1:])
    assert "1 missing (q12)" in said(short, "--data", dataset.folder)
    line = refused(capsys, "vqa", *files, "--blank", files[0])
    assert "--blank names 1 files for 3 of predictions" in line


def test_folds_with_blank_images_are_matched_by_fold(tmp_path, capsys):
    dataset = prepare(tmp_path / "data", "classification", ["fold0", "fold1"])
    files, blanks = [], []
    for name in ("fold0", "fold1"):
        files.append(predict(tmp_path / f"{name}.jsonl", dataset, name, right))
        blanks.append(
            predict(tmp_path / f"{name}_b.jsonl", dataset, name, lambda _: "yes", blank=True)
        )
    arguments = [*files, "--blank", *reversed(blanks), "--json", tmp_path / "score.json"]
    assert command.main("classification", [str(one) for one in arguments]) == 0
    accuracy = json.loads((tmp_path / "score.json").read_text())["measures"][0]
    assert accuracy["blank"]["value"] == 0.5
    assert accuracy["gain"] == {
        "value": 0.5,
        "n": 2 * COUNT,
        "low": None,
        "high": None,
        "deviation": 0,
    }
    assert "does not look" not in capsys.readouterr().out
    line = refused(capsys, "classification", *files, "--blank", blanks[0], blanks[0])
    assert "fold0 is already in" in line


def test_the_group_is_guessed_from_the_keys(tmp_path):
    for task in ROWS:
        dataset = prepare(tmp_path / task, task, ["test"])
        path = predict(tmp_path / f"{task}.jsonl", dataset, "test", right)
        guessed = guess_group(json.loads(path.read_text().splitlines()[0]))
        expected = "classification" if task == "entailment" else get_task(task).group
        assert guessed.name == expected


def test_an_unknown_folder_of_data_is_named(folds, tmp_path):
    _, files = folds
    other = prepare(tmp_path / "captions", "captioning", ["test"])
    with pytest.raises(ConfigError, match=r"evaluation/captioning\.py"):
        evaluate_files("understanding", Path(files[0]), data=other.folder)
