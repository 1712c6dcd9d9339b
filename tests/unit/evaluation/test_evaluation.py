"""The scoring scripts as a user runs them."""

import io
import json
import runpy
import sys

import pytest
from checkout import ROOT
from PIL import Image

from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.scoring.predictions import write_predictions

SCRIPT = ROOT / "evaluation" / "vqa.py"
DECODING = {
    "mode": "allcand",
    "constrained": True,
    "candidates": 3,
    "candidates_cover": 9,
    "blank_image": False,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a prepared dataset with ten test questions, half of them closed."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")

    def rows(count):
        for i in range(count):
            answer = "yes" if i % 2 == 0 else "left lung"
            fields = {
                "id": f"q{i}",
                "question": f"question {i}?",
                "answer": answer,
                "answer_type": "CLOSED" if i % 2 == 0 else "OPEN",
                "question_type": "PRES" if i % 2 == 0 else "POS",
                "object": "chest",
                "references": json.dumps([{"answer": answer, "confidence": 1.0}]),
                "image_name": "a.png",
            }
            yield Row(fields=fields, image=buffer.getvalue(), where=f"row {i}")

    folder = tmp_path_factory.mktemp("data") / "tiny"
    facts = DatasetFacts(name="tiny", task="vqa", source="drawn", licence="CC0")
    write_dataset(folder, facts, {"train": rows(4), "test": rows(10)})
    return folder


@pytest.fixture
def predict(prepared, tmp_path):
    """Return a function that writes predictions for the test split."""
    dataset = PreparedDataset(prepared)
    split = dataset.split("test")

    def write(name, answer, *, blank=False, ids=range(10), **changes):
        records = [
            {
                "id": split[i]["id"],
                "question": split[i]["question"],
                "prediction": answer(split[i]),
                "reference": split[i]["answer"],
                "references": json.loads(split[i]["references"]),
                "answer_type": split[i]["answer_type"],
                "question_type": split[i]["question_type"],
                "majority": dataset.card.majority_answers[split[i]["question_type"]],
                "dataset": dataset.card.name,
                "dataset_hash": dataset.hash,
                "split": "test",
                "decoding": DECODING | {"blank_image": blank},
            }
            | changes
            for i in ids
        ]
        write_predictions(tmp_path / name, records)
        return tmp_path / name

    return write


def run(monkeypatch, *arguments):
    """Run the script in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return stop.value.code


def refused(monkeypatch, capsys, *arguments):
    """Run the script, expect a one-line refusal, and return the line."""
    assert run(monkeypatch, *arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def right(row):
    return row["answer"]


def test_report_states_score_baselines_and_how_it_was_decoded(
    prepared, predict, monkeypatch, capsys
):
    path = predict("p.jsonl", right)
    blank = predict("b.jsonl", lambda row: "yes", blank=True)
    assert run(monkeypatch, path, "--blank", blank, "--data", prepared) == 0
    out = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in out.splitlines() if line}
    assert "scorer:     vqa-1.0" in out
    assert "tiny, split test, 10 questions" in out
    assert "mode=allcand, blank_image=false" in out
    assert "constrained to 3 answers, which cover the reference of 9 of 10 questions" in out
    assert "lower-cased" in out
    assert lines["accuracy"].split()[1:3] == ["10", "1.000"]
    assert "+0.500" in lines["accuracy"]
    assert "does not look at the image" not in out
    # The majority answer of each question type is always right here.
    assert lines["accuracy"].endswith("1.000 [1.000, 1.000]")
    assert "not above that of always giving the majority answer" in out


def test_a_model_that_does_not_look_is_told_so(predict, monkeypatch, capsys):
    path = predict("p.jsonl", right)
    blank = predict("b.jsonl", right, blank=True)
    assert run(monkeypatch, path, "--blank", blank) == 0
    assert "this model does not look at the image" in capsys.readouterr().out


def test_json_output_holds_the_numbers(predict, monkeypatch, tmp_path):
    out = tmp_path / "score.json"
    assert run(monkeypatch, predict("p.jsonl", lambda row: "yes"), "--json", out) == 0
    result = json.loads(out.read_text())
    measures = {one["key"]: one for one in result["measures"]}
    assert measures["accuracy"]["value"] == 0.5
    found = measures["accuracy_open"]
    assert {"value": 0.0, "n": 5, "low": 0.0, "high": 0.0}.items() <= found.items()
    assert result["scorer"] == "vqa-1.0"
    assert result["dataset"] == "tiny"
    assert found["blank"] is None


def test_incomplete_predictions_are_refused_with_the_ids(prepared, predict, monkeypatch, capsys):
    path = predict("p.jsonl", right, ids=range(7))
    assert "3 missing (q7, q8, q9)" in refused(monkeypatch, capsys, path, "--data", prepared)


def test_only_the_first_ids_are_listed(prepared, predict, monkeypatch, capsys):
    path = predict("p.jsonl", right, ids=[1])
    line = refused(monkeypatch, capsys, path, "--data", prepared)
    assert "9 missing (q0, q2, q3, q4, q5, ...)" in line


def test_foreign_ids_are_refused(prepared, predict, monkeypatch, capsys):
    path = predict("p.jsonl", right, ids=range(10))
    path.write_text(path.read_text().replace('"q3"', '"x3"'))
    line = refused(monkeypatch, capsys, path, "--data", prepared)
    assert "1 missing (q3), 1 not expected (x3)" in line


def test_another_preparation_is_refused(prepared, predict, monkeypatch, capsys):
    path = predict("p.jsonl", right, dataset_hash="feedbeef")
    assert "hash feedbeef" in refused(monkeypatch, capsys, path, "--data", prepared)


def test_unknown_split_is_refused(prepared, predict, monkeypatch, capsys):
    path = predict("p.jsonl", right, split="valid")
    assert "split 'valid' is not in" in refused(monkeypatch, capsys, path, "--data", prepared)


def test_duplicates_are_refused_by_line(predict, monkeypatch, capsys):
    path = predict("p.jsonl", right, ids=[0, 1, 0])
    assert "p.jsonl:3: id 'q0' is already on line 1" in refused(monkeypatch, capsys, path)


def test_nothing_is_written_for_a_refused_file(predict, monkeypatch, capsys, tmp_path):
    path = predict("p.jsonl", right, ids=[0, 0])
    refused(monkeypatch, capsys, path, "--json", tmp_path / "score.json")
    assert not (tmp_path / "score.json").exists()


def test_unwritable_output_is_refused(predict, monkeypatch, capsys, tmp_path):
    path = predict("p.jsonl", right)
    line = refused(monkeypatch, capsys, path, "--json", tmp_path / "none" / "score.json")
    assert "there is no folder" in line
