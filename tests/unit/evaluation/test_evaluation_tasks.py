"""The scoring scripts of all kinds of tasks, on predictions as the tasks write them."""

import io
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from PIL import Image

from biomedgpt.cli import score as command
from biomedgpt.data.card import DatasetFacts
from biomedgpt.data.prepared import PreparedDataset
from biomedgpt.data.rows import Row
from biomedgpt.data.writer import write_dataset
from biomedgpt.errors import ConfigError
from biomedgpt.metrics import evaluate_files, write_predictions
from biomedgpt.metrics.evaluation import paired_gain
from biomedgpt.metrics.groups import GROUPS, VQA, group_of_task, guess_group
from biomedgpt.metrics.result import Result
from biomedgpt.tasks import TASKS, RunInfo, get_task

pytest.importorskip("rouge_score", reason="needs the metrics extra")
pytest.importorskip("pycocoevalcap", reason="needs the metrics extra")

# A task of each kind, what its rows hold beside the id, and a wrong answer.
ROWS = {
    "vqa": {
        "question": "is it clear?",
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "object": "chest",
        "references": "",
    },
    "captioning": {},
    "classification": {},
    "summarization": {"source": "Hello. I have a dry cough at night, what can I take?"},
    "entailment": {"sentence1": "He coughs.", "sentence2": "He is ill."},
    "question_answering": {"question": "Is it?", "options": '["a", "b"]', "context": ""},
    "instruction": {"instruction": "Is it clear?", "history": "", "modality": "", "image_in": ""},
}
ANSWERS = {
    "captioning": ("a small left effusion", "the lungs are clear and well"),
    "summarization": ("what helps against a dry cough", "how is a dry cough treated"),
    "question_answering": ("a", "b"),
}
COUNT = 12


def rows(task, *, start=0):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    for number in range(start, start + COUNT):
        text = ANSWERS.get(task, ("yes", "no"))[number % 2]
        fields = {"id": f"q{number}"} | ROWS[task]
        if task == "captioning":
            more = [{"answer": text, "confidence": 1.0}, {"answer": f"{text} too", "confidence": 1}]
            fields |= {"caption": text, "references": json.dumps(more)}
        elif task == "summarization":
            fields["summary"] = text
        else:
            fields["answer"] = text
        yield Row(
            fields=fields, image=buffer.getvalue() if get_task(task).uses_image else None, where="-"
        )


def prepare(folder, task, splits):
    names = tuple(next(rows(task)).fields)
    facts = DatasetFacts(name="tiny", task=task, source="drawn", licence="CC0", fields=names)
    parts = {name: rows(task, start=COUNT * number) for number, name in enumerate(splits)}
    write_dataset(folder, facts, parts)
    return PreparedDataset(folder)


def predict(path, dataset, split, answer, *, blank=False, **decoding):
    """Write predictions the way generation does."""
    card, task = dataset.card, get_task(dataset.card.task)
    run = RunInfo(
        dataset=card.name,
        dataset_hash=dataset.hash,
        split=split,
        decoding={"mode": "beamsearch", "beam": 5, "blank_image": blank} | decoding,
        majority=card.majority_answers,
    )
    examples = dataset.split(split)
    records = []
    for example in (examples[row] for row in range(len(examples))):
        text = answer(example)
        scores = {one: -1.0 - (one != text) for one in card.answers} or None
        records.append(
            task.prediction_record(example, text=text, score=-1.0, run=run, candidate_scores=scores)
        )
    write_predictions(path, records)
    return path


def right(example):
    return example.get("answer") or example.get("caption") or example["summary"]


def half(example):
    return right(example) if int(example["id"][1:]) % 4 < 2 else "nothing at all"


@pytest.fixture
def without_torch(tmp_path):
    """Return an environment in which torch cannot be imported, and without Java (it is slow)."""
    (tmp_path / "blocker").mkdir()
    (tmp_path / "blocker" / "torch.py").write_text("raise ImportError('torch is blocked')\n")
    return os.environ | {
        "PYTHONPATH": f"{tmp_path / 'blocker'}{os.pathsep}{ROOT}",
        "PATH": str(tmp_path / "blocker"),
    }


def run_script(group, *arguments, env):
    return subprocess.run(
        [sys.executable, ROOT / "evaluation" / f"{group}.py", *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def refused(capsys, group, *arguments):
    assert command.main(group, [str(one) for one in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_every_task_has_one_group_of_its_name_and_a_script():
    assert {task.name: task.group for task in TASKS.values()} == {
        task: group.name for group in GROUPS.values() for task in group.tasks
    }
    assert {path.stem for path in (ROOT / "evaluation").glob("*.py")} == set(GROUPS)
    for group in GROUPS.values():
        keys = [kind.key for kind in group.measures]
        assert {group.primary, *group.headline} <= set(keys)


@pytest.mark.parametrize("task", ROWS)
def test_each_script_scores_what_its_task_writes_without_torch(task, tmp_path, without_torch):
    dataset = prepare(tmp_path / "data", task, ["train", "test"])
    group = GROUPS[get_task(task).group]
    arguments = [predict(tmp_path / "p.jsonl", dataset, "test", half)]
    if group.uses_image:
        blank = predict(tmp_path / "b.jsonl", dataset, "test", lambda _: "nothing", blank=True)
        arguments += ["--blank", blank]
    arguments += ["--data", dataset.folder, "--json", tmp_path / "score.json"]
    done = run_script(group.name, *arguments, env=without_torch)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    content = json.loads((tmp_path / "score.json").read_text())
    assert content["task"] == group.name
    assert (content["dataset"], content["split"], content["n"]) == ("tiny", "test", COUNT)
    assert content["dataset_hash"] == dataset.hash
    assert content["score"]["normalisation"] == content["normalisation"]
    assert content["normalisation"] in done.stdout
    measures = {one["key"]: one for one in content["measures"]}
    assert list(measures) == [kind.key for kind in group.measures]
    primary = measures[group.primary]
    assert primary["value"] == pytest.approx(0.5, abs=0.03)
    assert primary["low"] < primary["value"] < primary["high"]
    if group.uses_image:
        # Nothing right but the word that is everywhere, so the gain is the score.
        assert primary["gain"]["value"] == pytest.approx(0.5, abs=0.03)
        assert content["gain"]["overall"] == primary["gain"]
        assert "does not look at the image" not in done.stdout
    else:
        assert content["gain"] is content["blank_score"] is None
    if group.baseline is not None:
        assert group.baseline in done.stdout
        assert primary["baseline"]["n"] == COUNT
    for kind in group.measures:
        assert kind.label in done.stdout
    restored = Result.from_dict(content, where="score.json")
    assert restored.to_dict().items() <= content.items()


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
    credits = {kind.key: kind.credits for kind in VQA.measures}
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
    dataset = prepare(tmp_path / "data", "entailment", ["fold0", "fold1", "fold2"])
    answers = (right, half, lambda _: "maybe")
    files = [
        predict(tmp_path / f"p{number}.jsonl", dataset, f"fold{number}", answer, fold=number)
        for number, answer in enumerate(answers)
    ]
    return dataset, files


def test_folds_give_mean_and_deviation(folds, tmp_path, without_torch):
    dataset, files = folds
    out = tmp_path / "score.json"
    done = run_script(
        "understanding",
        *reversed(files),
        *("--data", dataset.folder, "--json", out),
        env=without_torch,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert content["split"] == "3 folds"
    assert content["n"] == 3 * COUNT
    assert content["notes"] == []
    assert "fold" not in content["decoding"]
    accuracy = content["measures"][0]
    assert accuracy["key"] == "accuracy"
    assert accuracy["n"] == 3 * COUNT
    assert accuracy["value"] == pytest.approx(0.5)
    assert accuracy["deviation"] == pytest.approx(statistics.stdev([1, 0.5, 0]))
    assert accuracy["baseline"]["deviation"] is None  # there is no training split in the card
    assert [fold["split"] for fold in content["folds"]] == ["fold0", "fold1", "fold2"]
    assert [fold["score"]["accuracy"]["value"] for fold in content["folds"]] == [1, 0.5, 0]
    assert "fold1  12  0.500 [" in done.stdout
    assert "0.500 ± 0.500" in done.stdout
    restored = Result.from_dict(content, where="score.json")
    assert restored.to_dict().items() <= content.items()


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
        expected = group_of_task("classification" if task == "entailment" else task)
        assert guessed is expected


def test_an_unknown_folder_of_data_is_named(folds, tmp_path):
    _, files = folds
    other = prepare(tmp_path / "captions", "captioning", ["test"])
    with pytest.raises(ConfigError, match=r"evaluation/captioning\.py"):
        evaluate_files("understanding", Path(files[0]), data=other.folder)
