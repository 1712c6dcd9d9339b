"""`biomedgpt predict` and `calibrate`: one question, many, and what happens to a killed run."""

import json

import numpy as np
import pytest
from data_samples import FACTS, encoded, vqa_row
from inference_samples import lines, picture, write_checkpoint, write_images, write_table
from PIL import Image
from vqgan_samples import small_tokenizer

import biomedgpt
from biomedgpt.cli.main import main
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.errors import BiomedGPTError
from biomedgpt.files import sole
from biomedgpt.inference import calibration as calibrating
from biomedgpt.inference.calibration import ScoredRows, expected_error, fit, reliability
from biomedgpt.inference.prediction_file import answer_file
from biomedgpt.inference.question_table import open_inputs
from biomedgpt.scoring.evaluation import measure_records
from biomedgpt.scoring.predictions import read_predictions
from biomedgpt.tasks import get_group

ANSWERS = ("yes", "no", "left lung", "normal")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("c") / "vqa", task="vqa", answers=ANSWERS)


@pytest.fixture(scope="module")
def model(checkpoint):
    return biomedgpt.load(checkpoint)


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


def command(capsys, *arguments):
    status = main([str(one) for one in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# One question


def test_one_question_is_the_same_by_shell(checkpoint, model, images, capsys):
    expected = model.answer(images / "0.png", "is there a lesion?")
    base = ("predict", "--checkpoint", checkpoint, "--task", "vqa", "--image", images / "0.png")
    status, out, _ = command(capsys, *base, "--text", "is there a lesion?")
    assert (status, out) == (0, f"{expected.text} (probability {expected.probability:.3f})\n")
    status, out, _ = command(capsys, *base, "--text", "is there a lesion?", "--json")
    assert json.loads(out) == json.loads(json.dumps(expected.to_dict()))
    # Without --task it is that of the checkpoint.
    status, out, _ = command(capsys, *base[:3], *base[5:], "--text", "is there a lesion?", "--json")
    assert json.loads(out)["text"] == expected.text


@pytest.mark.parametrize(
    ("options", "ask"),
    [
        (("classification", "--answers", "a b,c"), lambda m, x: m.classify(x, ["a b", "c"])),
        (("captioning",), lambda m, x: m.caption(x)),
        (("grounding", "--text", "lesion"), lambda m, x: m.ground(x, "lesion")),
        (
            ("region_captioning", "--field", "box=1,2,30,20"),
            lambda m, x: m.describe_region(x, (1, 2, 30, 20)),
        ),
        (
            ("vqa", "--text", "a?", "--answers", "x,y"),
            lambda m, x: m.answer(x, "a?", candidates=["x", "y"]),
        ),
    ],
)
def test_tasks_with_an_image(checkpoint, model, images, capsys, options, ask):
    arguments = ("predict", "--checkpoint", checkpoint, "--image", images / "1.png", "--json")
    status, out, err = command(capsys, *arguments, "--task", *options)
    expected = ask(model, images / "1.png").to_dict()
    assert status == 0
    assert json.loads(out) == json.loads(json.dumps(expected))
    for warning in expected["warnings"]:
        assert f"warning: {warning}\n" in err


@pytest.mark.parametrize(
    ("options", "ask"),
    [
        (("summarization", "--text", "a fever"), lambda m: m.summarize("a fever")),
        (
            ("entailment", "--text", "a fever", "--field", "sentence2=no fever"),
            lambda m: m.entails("a fever", "no fever"),
        ),
        (
            ("question_answering", "--text", "which?", "--options", "left,right"),
            lambda m: m.choose("which?", ["left", "right"]),
        ),
    ],
)
def test_tasks_with_text(checkpoint, model, capsys, options, ask):
    arguments = ("predict", "--checkpoint", checkpoint, "--json", "--task")
    status, out, _ = command(capsys, *arguments, *options)
    assert status == 0
    assert json.loads(out)["text"] == ask(model).text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "vqa", "--text", "a?"), "no image; vqa needs one"),
        (("--task", "vqa", "--image", "missing.png", "--text", "a?"), "missing.png"),
        (("--task", "vqa", "--image", "IMAGE"), "empty question"),
        (("--task", "captioning", "--image", "IMAGE", "--text", "a"), "leave --text out"),
        (("--task", "vqa", "--image", "IMAGE", "--text", "a", "--field", "b=c"), "has the fields"),
        (("--task", "vqa", "--image", "IMAGE", "--text", "a", "--field", "b"), "NAME=TEXT"),
        (("--task", "summarization", "--image", "IMAGE", "--text", "a"), "reads text only"),
        (("--task", "classification", "--image", "IMAGE", "--answers", "a"), "two or more"),
        (("--task", "region_captioning", "--image", "IMAGE", "--field", "box=1,2"), "four numbers"),
        (("--task", "vqa", "--image", "IMAGE", "--text", "a", "--out", "x.jsonl"), "needs --input"),
        (("--input", "IMAGE"), "needs --out"),
        (("--input", "nowhere", "--out", "x.jsonl"), "no such file or folder"),
        (("--input", "IMAGE", "--out", "x.jsonl", "--json"), "--json is for one question"),
        (("--task", "image_generation", "--text", "a"), "needs --text and --out"),
        (
            ("--task", "image_generation", "--text", "a", "--out", "x.png"),
            "drawing needs the image tokenizer",
        ),
        (("--task", "vqa", "--device", "abacus"), "device abacus"),
    ],
)
def test_wrong_use_ends_in_one_line(
    checkpoint, images, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    options = [str(images / "0.png") if one == "IMAGE" else one for one in options]
    status, out, err = command(capsys, "predict", "--checkpoint", checkpoint, *options)
    assert status == 1
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_images_are_drawn_by_shell(tmp_path, capsys):
    folder = write_checkpoint(tmp_path / "c")
    small_tokenizer().save(folder / "image_tokenizer")
    status, out, err = command(
        *(capsys, "predict", "--checkpoint", folder, "--task", "image_generation"),
        *("--text", "a lesion", "--out", tmp_path / "x.png"),
    )
    assert (status, out) == (0, f"{tmp_path / 'x.png'}\n"), err
    assert Image.open(tmp_path / "x.png").size == (24, 24)


def test_frames_are_chosen_by_number(checkpoint, model, tmp_path, capsys):
    frames = [picture(seed) for seed in range(3)]
    frames[0].save(tmp_path / "x.tif", save_all=True, append_images=frames[1:])
    base = ("predict", "--checkpoint", checkpoint, "--json")
    _, out, _ = command(
        *(capsys, *base, "--image", tmp_path / "x.tif", "--frame", "2", "--text", "lesion?"),
    )
    assert json.loads(out)["score"] == model.answer(frames[2], "lesion?").score
    table = write_table(
        tmp_path / "t.csv",
        [["x.tif", "lesion?", "1"], ["x.tif", "lesion?", ""]],
        ("image", "question", "frame"),
    )
    answer_file(model, open_inputs(table, "vqa"), tmp_path / "p.jsonl")
    scores = [one["score"] for one in lines(tmp_path / "p.jsonl")]
    expected = [model.answer(frames[n], "lesion?").score for n in (1, 0)]
    assert scores == pytest.approx(expected, abs=1e-4)
    write_table(table, [["x.tif", "a?", "7"]], ("image", "question", "frame"))
    with pytest.raises(BiomedGPTError, match="row 1"):
        answer_file(model, open_inputs(table, "vqa"), tmp_path / "q.jsonl")


def test_unknown_tasks_are_named(checkpoint, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--checkpoint", str(checkpoint), "--task", "singing"])
    assert stop.value.code == 2
    assert "singing" in capsys.readouterr().err


# Many


def test_tables_become_lines_of_the_evaluation(checkpoint, model, images, tmp_path, capsys):
    rows = [
        ["0.png", "is there a lesion?", "yes"],
        ["1.png", "where is it? it is in the left lung of the patient, is it not?", "left lung"],
        ["0.png", "is it normal?", "No"],
    ]
    table = write_table(images.parent / "t.csv", rows, ("image", "question", "answer"))
    out = tmp_path / "p.jsonl"
    status, printed, err = command(
        *(capsys, "predict", "--checkpoint", checkpoint, "--task", "vqa", "--input", table),
        *("--images", images, "--out", out),
    )
    assert (status, printed) == (0, f"{out}: 3 predictions\n"), err
    assert not out.with_name("p.jsonl.partial").exists()
    group = get_group("vqa")
    found = read_predictions(out, keys=group.task.prediction_keys(), check=group.task.check_record)
    assert measure_records(group, found.records)[0][0].model.n == 3
    assert found.ids == ["1", "2", "3"]
    assert [record["reference"] for record in found.records] == ["yes", "left lung", "no"]
    assert [record["answer_type"] for record in found.records] == ["CLOSED", "OPEN", "CLOSED"]
    for record, (image, question, _) in zip(found.records, rows, strict=True):
        expected = model.answer(images / image, question)
        assert record["question"] == question
        assert record["prediction"] == expected.text
        assert record["probability"] == pytest.approx(expected.probability, rel=1e-4)
        assert len(record["alternatives"]) == len(ANSWERS) - 1
        assert record["warnings"] == []
    assert found.decoding["constrained"] is True
    assert found.decoding["candidates"] == len(ANSWERS)


def test_tables_without_answers_and_with_other_names(checkpoint, images, tmp_path, capsys):
    table = tmp_path / "t.jsonl"
    records = [{"nr": f"q{n}", "datei": f"images/{n}.png", "frage": "lesion?"} for n in range(3)]
    table.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    status, _, err = command(
        *(capsys, "predict", "--checkpoint", checkpoint, "--input", table),
        *("--out", tmp_path / "p.jsonl"),
        *("--columns", "id=nr", "image=datei", "--columns", "question=frage"),
    )
    assert status == 0, err
    found = lines(tmp_path / "p.jsonl")
    assert [record["id"] for record in found] == ["q0", "q1", "q2"]
    assert all((record["reference"], record["references"]) == ("", []) for record in found)


def test_a_link_that_leads_out_of_the_folder_of_images_is_refused(checkpoint, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").symlink_to("/etc/hostname")
    status, _, error = command(
        *(capsys, "predict", "--checkpoint", checkpoint, "--task", "captioning"),
        *("--input", tmp_path / "in", "--out", tmp_path / "out.jsonl"),
    )
    assert status == 1
    assert error.startswith(f"error: {tmp_path / 'in' / 'a.png'}: a link that leads out of")
    assert not (tmp_path / "out.jsonl").exists()


def test_folders_are_asked_one_question(checkpoint, images, tmp_path, capsys):
    (images / "below").mkdir()
    picture(9).save(images / "below" / "9.PNG")
    (images / "notes.txt").write_text("no image")
    (images / ".hidden.png").write_bytes(b"no image")
    status, printed, err = command(
        *(capsys, "predict", "--checkpoint", checkpoint, "--task", "vqa", "--input", images),
        *("--text", "is there a lesion?", "--out", tmp_path / "p.jsonl"),
    )
    assert status == 0, err
    assert "6 predictions" in printed
    assert "1 other files" in err
    found = lines(tmp_path / "p.jsonl")
    assert [record["id"] for record in found] == [*(f"{n}.png" for n in range(5)), "below/9.PNG"]
    assert {record["question"] for record in found} == {"is there a lesion?"}
    status, _, err = command(
        *(capsys, "predict", "--checkpoint", checkpoint, "--task", "vqa", "--input", images),
        *("--out", tmp_path / "q.jsonl"),
    )
    assert (status, "Add --text" in err) == (1, True)


def test_boxes_and_options_come_from_tables(checkpoint, images, tmp_path, capsys):
    table = tmp_path / "boxes.jsonl"
    rows = [
        {"image": "images/0.png", "box": [1, 2, 30, 20]},
        {"image": "images/1.png", "box": "0,0,9,9"},
    ]
    table.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    base = ("predict", "--checkpoint", checkpoint, "--out", tmp_path / "p.jsonl")
    status, _, err = command(capsys, *base, "--task", "region_captioning", "--input", table)
    assert status == 0, err
    assert [one["box"] for one in lines(tmp_path / "p.jsonl")] == ["[1, 2, 30, 20]", "0,0,9,9"]
    table = write_table(
        tmp_path / "qa.csv",
        [["which?", "left", "right", "", "b"], ["why?", "a", "b", "c", "a"]],
        ("question", "A", "B", "C", "answer"),
    )
    status, _, err = command(
        *(capsys, *base, "--overwrite", "--task", "question_answering", "--input", table),
        *("--columns", "options=A,B,C"),
    )
    assert status == 0, err
    found = lines(tmp_path / "p.jsonl")
    assert [one["reference"] for one in found] == ["b", "a"]
    assert found[0]["prediction"] in "ab"  # letters, as in the evaluation
    assert set(found[1]["class_scores"]) == {"a", "b", "c"}
    assert {one["text"] for one in found[0]["alternatives"]} < {"left", "right"}


def test_images_in_parquet_files(checkpoint, images, tmp_path, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    data = [(images / f"{n}.png").read_bytes() for n in range(2)]
    content = pyarrow.table({"image": data, "question": ["a?", "b?"]})
    parquet.write_table(content, tmp_path / "t.parquet")
    status, _, err = command(
        *(capsys, "predict", "--checkpoint", checkpoint, "--input", tmp_path / "t.parquet"),
        *("--out", tmp_path / "p.jsonl"),
    )
    assert status == 0, err
    assert len(lines(tmp_path / "p.jsonl")) == 2


BAD_ROWS = [
    (["missing.png", "a?"], "no such file"),
    (["../secret.png", "a?"], "within"),
    (["broken.png", "a?"], "image"),
    (["0.png", "  "], "empty question"),
    (["0.png", "a?", "more"], "3 values for 2 columns"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_ROWS)
def test_bad_rows_are_named_or_left_out(model, images, tmp_path, bad, message):
    (images / "broken.png").write_bytes((images / "0.png").read_bytes()[:200])
    table = write_table(tmp_path / "t.csv", [["0.png", "a?"], bad, ["1.png", "b?"]])
    inputs = open_inputs(table, "vqa", images=images)
    with pytest.raises(BiomedGPTError, match=message) as caught:
        answer_file(model, inputs, tmp_path / "p.jsonl")
    assert f"{table}: row 2" in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "p.jsonl").exists()
    summary = answer_file(model, inputs, tmp_path / "p.jsonl", skip_bad=True)
    assert summary.written == 2
    assert [record["id"] for record in lines(tmp_path / "p.jsonl")] == ["1", "3"]
    assert len(summary.skipped) == 1


def test_ids_are_unique_and_columns_must_be_there(model, images, tmp_path):
    rows = [["0.png", "a?", "x"], ["1.png", "b?", "x"]]
    table = write_table(tmp_path / "t.csv", rows, ("image", "question", "id"))
    with pytest.raises(BiomedGPTError, match="row 2: id 'x' is that of row 1"):
        answer_file(model, open_inputs(table, "vqa", images=images), tmp_path / "p.jsonl")
    table = write_table(tmp_path / "u.csv", [["0.png", "a?"]], ("image", "frage"))
    with pytest.raises(BiomedGPTError, match="no column for question"):
        open_inputs(table, "vqa")
    maker = open_inputs(table, "vqa", shared={"question": "a?"}).maker
    assert maker.columns == {"image": ("image",)}
    (tmp_path / "empty").mkdir()
    with pytest.raises(BiomedGPTError, match="no image in it"):
        open_inputs(tmp_path / "empty", "captioning")
    with pytest.raises(BiomedGPTError, match="reads texts"):
        open_inputs(images, "summarization")


# Going on


def test_a_torn_file_is_gone_on_with(model, images, tmp_path):
    inputs = open_inputs(images, "captioning")
    whole = tmp_path / "whole.jsonl"
    answer_file(model, inputs, whole)
    content = whole.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == 10]
    out = tmp_path / "p.jsonl"
    for cut in (0, ends[0], ends[0] + 9, ends[2] - 1, ends[3] + 1, len(content)):
        (tmp_path / "p.jsonl.partial").write_bytes(content[:cut])
        summary = answer_file(model, inputs, out)
        assert summary.before == sum(end <= cut for end in ends)
        assert summary.written == 5
        assert [one["id"] for one in lines(out)] == [f"{n}.png" for n in range(5)]
        assert [one["prediction"] for one in lines(out)] == [
            one["prediction"] for one in lines(whole)
        ]
        out.unlink()


def test_files_of_other_runs_are_not_mixed(model, images, tmp_path):
    out = tmp_path / "p.jsonl"
    answer_file(model, open_inputs(images, "captioning"), out)
    again = answer_file(model, open_inputs(images, "captioning"), out)
    assert (again.written, again.before) == (5, 5)
    asked = open_inputs(images, "vqa", shared={"question": "a?"})
    with pytest.raises(BiomedGPTError, match="other inputs, options or weights"):
        answer_file(model, asked, out)
    out.rename(tmp_path / "p.jsonl.partial")
    with pytest.raises(BiomedGPTError, match=r"dataset_hash, .*differ"):
        answer_file(model, asked, out)
    other = biomedgpt.load(write_checkpoint(tmp_path / "c", seed=1, task="vqa", answers=ANSWERS))
    with pytest.raises(BiomedGPTError, match="weights"):
        answer_file(other, open_inputs(images, "captioning"), out)
    assert answer_file(model, asked, out, overwrite=True).written == 5
    out.write_text("my notes")
    with pytest.raises(BiomedGPTError, match="no file of predictions"):
        answer_file(model, asked, out)
    assert out.read_text() == "my notes"


def test_two_calls_at_a_time_do_not_write_one_file(model, images, tmp_path):
    out = tmp_path / "p.jsonl"
    with sole(out), pytest.raises(BiomedGPTError, match=r"p\.jsonl is in use by .* another --out$"):
        answer_file(model, open_inputs(images, "captioning"), out)
    assert list(tmp_path.iterdir()) == [images]


# Calibration


def scored(temperature, rows=4000, candidates=5, seed=0):
    """Scores that are right as often as they say once divided by ``temperature``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, candidates)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = np.array([rng.choice(candidates, p=row) for row in probabilities])
    scores = logits * temperature
    scores -= np.log(np.exp(scores).sum(1, keepdims=True))
    return ScoredRows(scores, target, scores.argmax(1) == target)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(temperature):
    found = fit(scored(temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.ece < 0.03
    assert found.loss <= found.loss_before + 1e-9
    if temperature != 1.0:
        assert found.ece_before > 3 * found.ece
    assert (found.rows, found.fitted, found.at_limit) == (4000, 4000, False)


def test_the_error_is_that_of_the_definition():
    confidence = np.array([0.95, 0.95, 0.55, 0.55, 0.55, 1.0])
    correct = np.array([True, False, True, True, False, True])
    parts = reliability(confidence, correct)
    assert [rows for *_, rows in parts] == [3, 3]
    expected = 3 / 6 * abs(2 / 3 - 0.55) + 3 / 6 * abs(2 / 3 - (0.95 * 2 + 1) / 3)
    assert expected_error(confidence, correct) == pytest.approx(expected)
    assert expected_error(np.ones(3), np.ones(3, bool)) == 0


def test_rows_without_their_reference_count_as_wrong_and_do_not_fit():
    one = scored(2.0)
    missing = ScoredRows(one.scores, np.where(np.arange(4000) < 400, -1, one.target), one.correct)
    found = fit(missing)
    assert (found.rows, found.fitted) == (4000, 3600)
    assert found.temperature == pytest.approx(2.0, rel=0.05)
    with pytest.raises(BiomedGPTError, match="nothing can be fitted"):
        fit(ScoredRows(one.scores, np.full(4000, -1), np.zeros(4000, bool)))


def test_too_little_to_tell_ends_at_the_limit():
    sure = ScoredRows(np.log([[0.6, 0.4]] * 5), np.zeros(5, int), np.ones(5, bool))
    assert fit(sure).at_limit


@pytest.fixture
def data(tmp_path):
    answers = ["yes", "no", "left lung", "yes", "no", "yes", "normal", "no"]
    rows = [vqa_row(n, image=encoded((30 * n, 9, 90)), answer=one) for n, one in enumerate(answers)]
    write_dataset(tmp_path / "data", FACTS, {"train": rows[:2], "valid": rows})
    return tmp_path / "data"


def test_calibrate_stores_the_temperature_with_our_folder(data, tmp_path, capsys):
    folder = write_checkpoint(tmp_path / "c", task="vqa", answers=ANSWERS)
    before = biomedgpt.load(folder)
    status, out, err = command(
        *(capsys, "calibrate", "--checkpoint", folder, "--data", data),
        *("--plot", tmp_path / "r.png", "--dry-run"),
    )
    assert status == 0, err
    assert "8 rows" in out
    assert "n = 8" in out
    assert "15 bins" in out
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert biomedgpt.load(folder).checkpoint.info == before.checkpoint.info
    status, out, _ = command(capsys, "calibrate", "--checkpoint", folder, "--data", data)
    assert f"stored: {folder / 'config.json'}" in out
    after = biomedgpt.load(folder)
    temperature = after.checkpoint.info.calibration["temperature"]
    assert f"temperature: {temperature:.3f}" in out
    result = after.answer(picture(), "lesion?")
    assert result.calibrated
    assert result.text == before.answer(picture(), "lesion?").text
    # What is fitted again is not fitted on top of the first temperature.
    command(capsys, "calibrate", "--checkpoint", folder, "--data", data)
    again = biomedgpt.load(folder).checkpoint.info.calibration["temperature"]
    assert again == pytest.approx(temperature)
    status, out, _ = command(
        *(capsys, "predict", "--checkpoint", folder, "--image", data.parent / "r.png"),
        *("--text", "lesion?"),
    )
    assert "calibrated probability" in out


def test_calibrate_scores_what_the_evaluation_scores(data, model):
    from biomedgpt.data.prepared.dataset import PreparedDataset

    split = PreparedDataset(data).split("valid")
    found = calibrating.score_split(model, split)
    assert found.scores.shape == (8, len(ANSWERS))
    assert np.exp(found.scores).sum(1) == pytest.approx(np.ones(8), abs=1e-4)
    assert found.target.tolist() == [0, 1, 2, 0, 1, 0, 3, 1]
    for row in range(8):
        result = model.answer(split[row]["image"], split[row]["question"])
        assert found.confidence(1.0)[row] == pytest.approx(result.probability, rel=1e-3)


def test_calibration_beside_a_run_is_bound_to_its_weights(tmp_path, model):
    from dataclasses import replace

    from biomedgpt.inference.beside import CALIBRATION, with_calibration

    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoint_best.pt").write_bytes(b"")
    path = calibrating.store(run / "checkpoint_best.pt", model, fit(scored(2.0)))
    assert path == run / CALIBRATION
    info = replace(model.checkpoint.info, calibration={})
    plain = replace(model.checkpoint, info=info)
    for source in (run, run / "checkpoint_best.pt"):
        found = with_calibration(plain, source).info.calibration
        assert found["temperature"] == pytest.approx(2.0, rel=0.05)
    other = biomedgpt.load(write_checkpoint(tmp_path / "c", seed=3)).checkpoint
    noted = with_calibration(other, run).info
    assert not noted.calibration
    assert "other weights" in noted.notes[-1]
    path.write_text('{"temperature": -1, "weights": "x"}')
    with pytest.raises(BiomedGPTError, match="damaged"):
        with_calibration(plain, run)


def test_conversion_says_that_a_temperature_stays_behind(tmp_path, capsys):
    folder = write_checkpoint(tmp_path / "c", calibration={"temperature": 2.0})
    plain = write_checkpoint(tmp_path / "plain")
    for source, to, name, said in (
        (folder, "fairseq", "a.pt", True),
        (folder, "native", "kept", False),
        (plain, "fairseq", "b.pt", False),
    ):
        target = tmp_path / name
        status, _, err = command(capsys, "convert", source, target, "--to", to)
        assert status == 0, err
        assert (f"run `biomedgpt calibrate` for {target}" in err) == said
    assert biomedgpt.load(tmp_path / "kept").checkpoint.info.calibration == {"temperature": 2.0}
    (plain / "calibration.json").write_text("{}")
    _, _, err = command(capsys, "convert", plain, tmp_path / "again", "--to", "native")
    assert "stays behind" in err


def test_calibrate_says_what_cannot_be_calibrated(data, tmp_path, capsys):
    free = write_checkpoint(
        tmp_path / "free", task="vqa", task_options={"constrained": False}, answers=ANSWERS
    )
    other = write_checkpoint(tmp_path / "other", task="entailment", answers=("yes", "no"))
    strange = write_checkpoint(tmp_path / "strange", task="vqa", answers=("a", "b"))
    for folder, message in (
        (free, "free text"),
        (other, "data of its own task"),
        (strange, "no reference is among"),
    ):
        status, _, err = command(capsys, "calibrate", "--checkpoint", folder, "--data", data)
        assert status == 1
        assert message in err
        assert err.count("\n") == 1
