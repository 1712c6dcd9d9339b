"""`biomedgpt report` over many runs: one table, beside the published numbers."""

import json
import re

import pytest

from biomedgpt.cli.main import main
from biomedgpt.data.registry import BENCHMARKS
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult
from biomedgpt.report import results_table
from biomedgpt.scoring.evaluation import evaluate_files, evaluate_folds
from biomedgpt.scoring.predictions import write_predictions
from biomedgpt.tasks import get_task

pytest.importorskip("rouge_score", reason="needs the metrics extra")

SPECS = {
    name: DatasetSpec(
        name=name,
        title=f"{name} for tests",
        task=task,
        access="open",
        source="drawn",
        licence="CC0",
        read=None,
        published=published,
    )
    for name, task, published in (
        (
            "alpha",
            "vqa",
            (PublishedResult("Big model", "weighted_f1", 0.732, NATURE_MEDICINE),),
        ),
        (
            "beta",
            "treatment_suggestion",
            (PublishedResult("Old model", "accuracy", 0.5, "A <journal>", 0.053),),
        ),
        ("gamma", "summarization", ()),
        ("delta", "captioning", ()),
    )
}


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """Replace the registry, whose published numbers may change."""
    monkeypatch.setattr(results_table, "BENCHMARKS", SPECS)


def line(number, prediction, dataset, split="test", **more):
    return {
        "id": f"q{number}",
        "prediction": prediction,
        "reference": "yes",
        "references": [{"answer": "yes", "confidence": 1.0}],
        "majority": "yes",
        "dataset": dataset,
        "dataset_hash": "00ff00ff",
        "split": split,
        "decoding": {"mode": "beamsearch", "beam": 5, "constrained": True, "candidates": 2},
    } | more


def save(folder, result):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "score.json").write_text(json.dumps(result.to_dict()))


@pytest.fixture
def scores(tmp_path):
    """Return a folder with a VQA run, a cross-validation with its folds, and a summary run."""
    folder = tmp_path / "results"
    vqa = {"question": "?", "answer_type": "CLOSED", "question_type": "PRES"}
    files = {}
    for name, blank in (("p", False), ("b", True)):
        files[name] = tmp_path / f"{name}.jsonl"
        decoding = line(0, "", "")["decoding"] | {"blank_image": blank}
        write_predictions(
            files[name],
            [
                line(n, "yes" if n < 8 else "no", "alpha", decoding=decoding, **vqa)
                for n in range(9)
            ],
        )
    save(folder / "deep" / "er", evaluate_files("vqa", files["p"], blank=files["b"]))

    folds = []
    for fold in range(2):
        folds.append(tmp_path / f"fold{fold}.jsonl")
        write_predictions(
            folds[-1],
            [line(n, "yes" if n < 5 + fold else "no", "beta", f"fold{fold}") for n in range(10)],
        )
        save(
            folder / "cv" / f"fold{fold}",
            evaluate_files("understanding", folds[-1]),
        )
    save(folder / "cv", evaluate_folds("understanding", folds))

    path = tmp_path / "s.jsonl"
    write_predictions(
        path,
        [line(n, "yes", "my|own <data>", source="No. Yes.", decoding={}) for n in range(3)],
    )
    save(folder / "own", evaluate_files("summarization", path))
    return folder


def table(text):
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_one_table_with_baselines_and_published_numbers(scores, capsys):
    assert main(["report", str(scores)]) == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(scores / "results.md"), str(scores / "results.html")]
    assert err == ""
    text = (scores / "results.md").read_text()
    rows = {(row["dataset"], row["measure"]): row for row in table(text)}
    accuracy = rows["alpha", "accuracy"]
    assert accuracy["task"] == "visual question answering"
    assert (accuracy["split"], accuracy["n"], accuracy["run"]) == ("test", "9", "deep/er")
    assert accuracy["ours"].startswith("0.889 [")
    assert accuracy["blank image"] == accuracy["ours"]
    assert accuracy["baseline"] == "1.000 [1.000, 1.000] (majority answer)"
    assert accuracy["published"] == ""
    assert accuracy["decoding"] == "beam 5, one of 2 candidates"
    assert accuracy["data"] == "00ff00ff"
    assert rows["alpha", "weighted F1"]["published"] == "Big model 0.732 [1]"
    assert ("alpha", "accuracy, open") not in rows  # there is no such question
    folds = rows["beta", "accuracy"]
    assert (folds["split"], folds["n"]) == ("2 folds", "20")
    assert folds["ours"] == "0.550 ± 0.071"
    assert folds["published"] == "Old model 0.500 ± 0.053 [2]"
    assert (
        sum(row["dataset"] == "beta" and row["measure"] == "accuracy" for row in table(text)) == 1
    )
    own = rows["my\\|own &lt;data>", "ROUGE-L"]
    assert own["baseline"].endswith("(first sentence)")
    assert own["decoding"] == "not stated"
    assert "- alpha (deep/er): The accuracy is not above the blank-image accuracy" in text
    assert "- beta (cv): The accuracy is not above that of always giving the majority" in text
    assert "- text summarization: gamma" in text
    assert "- image captioning: delta" in text
    assert "Porter-stemmed" in text
    assert f"1. {NATURE_MEDICINE}" in text


def test_page_needs_nothing_else_and_escapes_what_it_shows(scores, capsys):
    assert main(["report", str(scores), "--title", "All <b>"]) == 0
    page = (scores / "results.html").read_text()
    assert "All &lt;b&gt;" in page
    assert "my|own &lt;data&gt;" in page
    assert "A &lt;journal&gt;" in page
    assert not re.findall(r'src="|url\(|@import|<script|https?://', page)
    assert set(re.findall(r'href="([^"]*)"', page)) == {"#result-1", "#result-2", "#result-3"}
    assert page.count("<svg") == 3
    assert page.count('<path class="published"') == 2
    assert "Research only, not for clinical use" in page
    assert "this model does not look at the image" in page
    first = page
    assert main(["report", str(scores), "--title", "All <b>"]) == 0
    assert (scores / "results.html").read_text() == first


def test_out_names_both_files(scores, tmp_path, capsys):
    assert main(["report", str(scores), "--out", str(tmp_path / "all.md")]) == 0
    assert {path.name for path in tmp_path.glob("all*")} == {"all.md", "all.html"}
    assert not (scores / "results.md").exists()
    assert main(["report", str(scores), "--out", str(tmp_path / "all.pdf")]) == 1
    assert "must end in .md or .html" in capsys.readouterr().err
    assert main(["report", str(scores), "--data", str(tmp_path)]) == 1
    assert "--data is for a run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: "{", "cannot be read as JSON"),
        (lambda content: "[" * 100_000, "cannot be read as JSON"),
        (lambda content: {"score": 5}, "no 'task'"),
        (lambda content: [], "not a score file"),
        (lambda content: content | {"task": "drawing"}, "no 'drawing'"),
        (lambda content: content | {"dataset": 3}, "3 should be a text"),
        (lambda content: content | {"n": True}, "True should be a count"),
        (lambda content: content | {"measures": []}, "other measures"),
        (
            lambda content: (
                content
                | {
                    "measures": [
                        content["measures"][0] | {"value": "0.9"},
                        *content["measures"][1:],
                    ]
                }
            ),
            "'0.9' should be a finite number",
        ),
        (lambda content: content | {"n": 10**400, "measures": None}, "not a score file"),
        (lambda content: content | {"dataset": "gamma"}, "gamma is a dataset of text summ"),
    ],
)
def test_bad_score_files_are_named_and_left_out(scores, capsys, change, message):
    path = scores / "deep" / "er" / "score.json"
    content = change(json.loads(path.read_text()))
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert main(["report", str(scores)]) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"warning: not used: {path}: ")
    assert err.count("\n") == 1
    assert message in err
    text = (scores / "results.md").read_text()
    assert "alpha" not in {row["dataset"] for row in table(text)}
    assert f"- Not used: {path}" in text
    assert "<strong>Not used:</strong>" in (scores / "results.html").read_text()


def test_without_a_usable_score_there_is_an_error(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "neither train.log nor predictions.jsonl" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "score.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 1
    assert "run/score.json: not a score file" in capsys.readouterr().err
    assert not list(tmp_path.glob("results*"))


def test_published_measures_are_those_of_the_tasks():
    for spec in BENCHMARKS.values():
        keys = {measure.key for measure in get_task(spec.task).measures}
        assert {one.measure for one in spec.published} <= keys, spec.name
