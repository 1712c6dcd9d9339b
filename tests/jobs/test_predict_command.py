"""`biomedgpt predict` asks a run that was trained: killed, and as the README has it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from checkout import ROOT
from inference_samples import lines, picture, write_images, write_table
from readme_blocks import ask

import biomedgpt
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.inference.prediction_file import answer_file
from biomedgpt.inference.question_table import open_inputs


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


def test_a_killed_call_goes_on(trained, images, tmp_path):
    checkpoint = trained.folder
    rows = [[f"{n % 5}.png", f"is there a lesion {n}?"] for n in range(2000)]
    table = write_table(tmp_path / "t.csv", rows)
    out, partial = tmp_path / "p.jsonl", tmp_path / "p.jsonl.partial"
    arguments = [
        *(sys.executable, "-m", "biomedgpt.cli.main", "predict", "--checkpoint", str(checkpoint)),
        *("--input", str(table), "--images", str(images), "--out", str(out), "--batch-size", "2"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(arguments, env=environment, cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    content = partial.read_bytes()
    written = content.count(b"\n")
    assert 0 < written < 2000
    model = biomedgpt.load(checkpoint, batch_size=2)
    # What is left is a lot for a test: the rest of the rows are said to be done already.
    record = json.loads(content.splitlines()[0])
    with partial.open("wb") as file:
        file.write(content[: content.rfind(b"\n") + 1])
        for number in range(written + 1, 1990):
            file.write(json.dumps(record | {"id": str(number)}).encode() + b"\n")
        file.write(b'{"id": "1990", "pred')
    summary = answer_file(model, open_inputs(table, "vqa", images=images), out)
    assert (summary.before, summary.written) == (1989, 2000)
    assert [one["id"] for one in lines(out)] == [str(n) for n in range(1, 2001)]


def test_the_first_screen_of_the_readme_runs_as_it_stands(trained, tmp_path):
    """The same question by Python and by shell."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "run").symlink_to(trained.folder)
    picture().save(tmp_path / "demo" / "example.png")
    by_python, by_shell = ask(tmp_path)
    text, probability = by_python.rsplit(maxsplit=1)
    assert text in PreparedDataset(trained.data).card.answers
    assert by_shell.startswith(f"{text} (probability {probability[:3]}")
