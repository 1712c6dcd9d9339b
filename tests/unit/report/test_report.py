import base64
import io
import json
import re
import sys

import pytest
from PIL import Image

from biomedgpt.cli.main import main
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.report import ReportExample, read_fairseq_log, write_report
from biomedgpt.report.run_folder import pick_examples
from biomedgpt.scoring.evaluation import evaluate_files
from biomedgpt.scoring.predictions import write_predictions


def png(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def log_line(tag, **stats):
    text = json.dumps({key: str(value) for key, value in stats.items()})
    return f"2026-01-01 10:00:00 | INFO | {tag} | {text}"


@pytest.fixture
def log(tmp_path):
    """Return the log of a run that was killed after update 30 and resumed from update 20."""
    path = tmp_path / "train.log"
    path.write_text(
        "\n".join(
            [
                "2026-01-01 10:00:00 | INFO | fairseq_cli.train | {'_name': None, 'common': {}}",
                log_line("train_inner", epoch=1, update=0.5, num_updates=10, loss=3.5),
                log_line("valid", epoch=1, valid_num_updates=20, valid_loss=3, valid_vqa_score=0.4),
                log_line("train_inner", epoch=2, update=1.5, num_updates=30, loss=2.5, gnorm="inf"),
                '2026-01-01 10:00:00 | INFO | train_inner | {"epoch": 2, "upd',
                "2026-01-01 11:00:00 | INFO | fairseq.trainer | loaded checkpoint",
                log_line("train_inner", epoch=2, update=1.5, num_updates=30, loss=2.25),
                log_line("train", epoch=2, train_loss=2.4, train_num_updates=40, train_wall=90),
            ]
        )
    )
    return path


def test_log_is_read_by_kind_and_the_resumed_run_counts(log):
    history = read_fairseq_log(log)
    assert history.bad_lines == 1
    assert history.entries == [
        {"kind": "train_inner", "update": 10, "epoch": 1.0, "loss": 3.5},
        {"kind": "valid", "update": 20, "epoch": 1.0, "loss": 3.0, "vqa_score": 0.4},
        {"kind": "train_inner", "update": 30, "epoch": 2.0, "loss": 2.25},
        {"kind": "train", "update": 40, "epoch": 2.0, "loss": 2.4, "wall": 90.0},
    ]


def test_log_file_of_fairseq_repeats_lines_without_tags(tmp_path):
    path = tmp_path / "train.log"
    lines = [
        json.dumps({"epoch": 1, "update": 0.1, "loss": "3.5", "num_updates": "10"}),
        json.dumps({"epoch": 1, "valid_loss": "3", "valid_num_updates": "10"}),
    ]
    path.write_text("\n".join(lines + lines))
    entries = read_fairseq_log(path).entries
    assert [(e["kind"], e["update"], e["loss"]) for e in entries] == [
        ("train_inner", 10, 3.5),
        ("valid", 10, 3.0),
    ]


def test_missing_log_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.log: cannot read"):
        read_fairseq_log(tmp_path / "none.log")


def example(**changes):
    return ReportExample(
        **{
            "image": png(90),
            "question": "is it <b>big</b>?",
            "answer": "no",
            "reference": "yes",
            "credit": 0.0,
        }
        | changes
    )


def test_page_needs_nothing_else_and_escapes_what_it_shows(tmp_path, log):
    out = tmp_path / "report.html"
    write_report(
        out,
        title="Run <1>",
        history=read_fairseq_log(log).entries,
        examples=[example(), example(answer="yes", credit=1.0), example(image=None, credit=0.3)],
        facts={"Run": {"seed": 7}},
    )
    page = out.read_text()
    assert "Research only, not for clinical use" in page
    assert "Run &lt;1&gt;" in page
    assert "is it &lt;b&gt;big&lt;/b&gt;?" in page
    assert "default-src 'none'" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 4  # two plots, two pictures
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.findall(r"url\(|@import|<script", page)
    # Right and wrong are told by words and signs, not by colour alone.
    assert "✓ right" in page
    assert "✗ wrong" in page
    assert "partly right (0.30)" in page
    picture = base64.b64decode(sources[2].partition(",")[2])
    assert Image.open(io.BytesIO(picture)).size == (8, 6)
    assert b"<svg" in base64.b64decode(sources[0].partition(",")[2])


def test_same_numbers_give_the_same_page(tmp_path, log):
    for name in ("a.html", "b.html"):
        history = read_fairseq_log(log).entries
        write_report(tmp_path / name, title="x", history=history, facts={})
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_broken_image_or_folder_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="image of example 1"):
        write_report(tmp_path / "r.html", title="x", examples=[example(image=b"no")], facts={})
    with pytest.raises(ConfigError, match="there is no folder"):
        write_report(tmp_path / "none" / "r.html", title="x", facts={})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run(tmp_path, log):
    """Return a run folder and its prepared dataset: 20 questions, the last 15 answered wrongly."""
    rows = [
        Row(
            fields={
                "id": f"q{i}",
                "question": f"question {i}?",
                "answer": "yes" if i % 2 else "left lung",
                "answer_type": "CLOSED" if i % 2 else "OPEN",
                "question_type": "PRES",
                "object": "",
                "references": json.dumps(
                    [{"answer": "yes" if i % 2 else "left lung", "confidence": 1.0}]
                ),
                "image_name": f"{i // 2}.png",
            },
            image=png(20 * (i // 2)),
        )
        for i in range(20)
    ]
    facts = DatasetFacts(name="tiny", task="vqa", source="drawn", licence="CC0")
    data = tmp_path / "data"
    write_dataset(data, facts, {"train": rows, "test": rows})
    dataset = PreparedDataset(data)
    folder = tmp_path / "run"
    folder.mkdir()
    for name, blank in (("predictions.jsonl", False), ("predictions_blank.jsonl", True)):
        records = [
            {
                "id": row.fields["id"],
                "question": row.fields["question"],
                "prediction": row.fields["answer"] if i < 5 and not blank else "wrong",
                "reference": row.fields["answer"],
                "references": json.loads(row.fields["references"]),
                "answer_type": row.fields["answer_type"],
                "question_type": "PRES",
                "majority": dataset.card.majority_answer,
                "dataset": "tiny",
                "dataset_hash": dataset.hash,
                "split": "test",
                "decoding": {"beam": 5, "constrained": False, "blank_image": blank},
            }
            for i, row in enumerate(rows)
        ]
        write_predictions(folder / name, records)
    log.rename(folder / "train.log")
    (folder / "run.json").write_text('{"seed": 7, "command": "train"}')
    return folder, data


def test_command_writes_a_page_with_score_baselines_and_examples(run, capsys):
    folder, data = run
    assert main(["report", str(folder), "--data", str(data), "--title", "My run"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    page = (folder / "report.html").read_text()
    result = evaluate_files("vqa", folder / "predictions.jsonl")
    assert f"<b>{result.primary.model.value:.3f}</b>" in page
    for text in ("My run", "blank image", "majority answer", "free decoding", "<dd>7</dd>"):
        assert text in page
    assert page.count('class="example"') == 12


def test_examples_hold_mistakes_and_vary_the_images(run):
    folder, data = run
    evaluation = evaluate_files("vqa", folder / "predictions.jsonl")
    examples = pick_examples(evaluation, data, count=8)
    assert sum(example.credit == 0 for example in examples) == 4
    assert len({example.image for example in examples}) >= 6
    assert examples == pick_examples(evaluation, data, count=8)
    # Only five are right, so mistakes fill the rest.
    assert sum(example.credit == 0 for example in pick_examples(evaluation, data)) == 7


def test_run_folder_without_log_or_baseline_still_reports(run):
    folder, _ = run
    (folder / "train.log").unlink()
    (folder / "predictions_blank.jsonl").unlink()
    assert main(["report", str(folder)]) == 0
    assert "blank image" not in (folder / "report.html").read_text()


def test_without_matplotlib_a_report_with_curves_says_how_to_get_it(run, monkeypatch, capsys):
    folder, _ = run
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["report", str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pip install "biomedgpt[report]"' in error
    assert not (folder / "report.html").exists()
    (folder / "train.log").unlink()  # nothing to draw
    assert main(["report", str(folder)]) == 0


def test_bad_run_folders_are_refused(run, tmp_path, capsys):
    folder, _ = run
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 1
    assert "neither train.log nor predictions.jsonl" in capsys.readouterr().err
    (folder / "run.json").write_text("[]")
    assert main(["report", str(folder)]) == 1
    assert "run.json: not a JSON object" in capsys.readouterr().err
    assert main(["report", str(folder), str(folder), "--title", "x"]) == 1
    assert "name one DIR" in capsys.readouterr().err
    assert not (folder / "report.html").exists()


def text_run(tmp_path, task, fields, rows, **more):
    """Return a run folder and its prepared dataset of a task with other rows than VQA."""
    facts = DatasetFacts(name="tiny", task=task, source="drawn", licence="CC0", fields=fields)
    data, folder = tmp_path / "data", tmp_path / "run"
    write_dataset(data, facts, {"test": [Row(fields=row) for row in rows]})
    folder.mkdir()
    records = [
        {
            "id": row["id"],
            "prediction": "an answer",
            "reference": row[fields[-1]],
            "references": [],
            "dataset": "tiny",
            "dataset_hash": PreparedDataset(data).hash,
            "split": "test",
            "decoding": {"beam": 5},
        }
        | {key: value(row) for key, value in more.items()}
        for row in rows
    ]
    write_predictions(folder / "predictions.jsonl", records)
    return folder, data


def test_report_of_summaries_shows_texts_and_rouge(tmp_path):
    pytest.importorskip("rouge_score", reason="needs the metrics extra")
    rows = [
        {"id": f"q{i}", "source": f"<i>cough</i> {'x ' * 500}", "summary": f"an answer {i}"}
        for i in range(3)
    ]
    folder, data = text_run(
        tmp_path,
        "summarization",
        ("id", "source", "summary"),
        rows,
        source=lambda row: row["source"],
    )
    assert main(["report", str(folder), "--data", str(data)]) == 0
    page = (folder / "report.html").read_text()
    assert "ROUGE-L over 3 summaries" in page
    assert "ROUGE-L 0.80" in page
    assert "what is the summary of article" in page
    assert "&lt;i&gt;cough" in page
    assert "x x ..." in page
    assert "first sentence" in page
    assert "<img" not in page
    assert "answered wrongly" not in page


def test_report_of_entailment_shows_what_was_asked(tmp_path):
    rows = [
        {"id": f"q{i}", "sentence1": "He coughs.", "sentence2": f"He is ill {i}.", "answer": "yes"}
        for i in range(3)
    ]
    folder, data = text_run(
        tmp_path,
        "entailment",
        ("id", "sentence1", "sentence2", "answer"),
        rows,
        majority=lambda _: "",
    )
    assert main(["report", str(folder), "--data", str(data)]) == 0
    page = (folder / "report.html").read_text()
    assert "can text1 &#34; he coughs. &#34; imply" in page
    assert page.count("✗ wrong") == 3
    assert "Accuracy over 3 examples" in page
    # Without the dataset there is a score all the same.
    assert main(["report", str(folder)]) == 0
    assert "Accuracy over 3 examples" in (folder / "report.html").read_text()
