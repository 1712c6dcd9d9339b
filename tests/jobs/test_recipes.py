"""The recipes as a user runs them: from another folder, with blanks in paths."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT
from fairseq_data import make_dataset
from shell import ENVIRONMENT
from shell import run_script as run
from trained_run import OPTIONS, TRAIN, UPDATES, TrainedRun

from biomedgpt.checkpoints.torch_file import PACKAGES, read_torch_file
from biomedgpt.vocabulary import Vocabulary

LAUNCH = ROOT / "run_scripts" / "launch.py"
EVALUATE = ROOT / "run_scripts" / "vqa" / "evaluate_vqa_rad.sh"
SCRIPTS = sorted((ROOT / "run_scripts").glob("*/*.sh"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("my data") / "prepared", name="vqa-rad")


def test_train_resume_and_evaluate(trained: TrainedRun, tmp_path: Path) -> None:
    assert f"update {UPDATES}/{UPDATES}" in trained.said
    folder, more = tmp_path / "my run", UPDATES + 1
    shutil.copytree(trained.folder, folder)
    options = ["--data", trained.data, "--save-dir", folder]
    again = run(TRAIN, *options, *OPTIONS, "--max-update", more)
    assert again.returncode == 0, again.stderr
    assert f"update {more}/{more}" in again.stdout
    assert f"update 1/{more}" not in again.stdout  # it went on
    assert "INFO" not in again.stdout + again.stderr  # details are in the log
    assert "FairseqBiomedGPT" in (folder / "train.log").read_text()
    assert "--warmup-ratio" in json.loads((folder / "run.json").read_text())["command"]

    other = run(EVALUATE, *options, "--size", "tiny")
    assert other.returncode == 1
    assert "a model of size nano, not tiny" in other.stderr
    scored = run(EVALUATE, *options)
    assert scored.returncode == 0, scored.stderr
    assert re.search(r"^accuracy\s+6 ", scored.stdout, re.MULTILINE)
    assert "blank image" in scored.stdout
    for name, blank in (("predictions.jsonl", False), ("predictions_blank.jsonl", True)):
        lines = (folder / name).read_text().splitlines()
        assert len(lines) == 6
        assert json.loads(lines[0])["decoding"]["blank_image"] is blank
    assert json.loads((folder / "score.json").read_text())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bacth-size", "3"], "unknown option --bacth-size; did you mean --batch-size?"),
        (["--batch-size", "many"], "invalid int value: 'many'"),
        (["--size", "huge"], "invalid choice: 'huge'"),
        (["--cpu", "--fp16"], "half precision needs a GPU"),
        (["--lr", "fast"], "argument --lr: invalid value: 'fast'"),
        (["--lr", "-1"], "--lr must be greater than 0, got -1.0"),
        (["--lr", "1e-3,5e-4"], "--lr must be one rate, got 0.001, 0.0005"),
        (["--max-epoch", "0"], "the run would never end; give --max-epoch or --max-update"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--warmup-ratio", "3"], "--warmup-ratio must be at least 0 and below 1, got 3.0"),
        (["--update-freq", "0"], "--update-freq must be at least 1, got 0"),
        (["--update-freq", "4,"], "--update-freq must be steps, as in 4 or 4,2,1, got '4,'"),
        (["--update-freq=1.5"], "--update-freq must be steps, as in 4 or 4,2,1, got '1.5'"),
        (["--update-freq", ""], "--update-freq must be steps, as in 4 or 4,2,1, got ''"),
        (["--weight-decay", "inf"], "--weight-decay must be at least 0, got inf"),
        (["--adam-betas", "(0.9"], "--adam-betas must be as '(0.9,0.999)', got (0.9"),
        (["--adam-betas", "(0.9,2)"], "--adam-betas must be as '(0.9,0.999)', got (0.9,2)"),
        (["--no-save"], "--no-save is set by the recipe; leave it out: a run is what it saves"),
        (["--lr-scheduler", "fixed"], "--lr-scheduler does not go with the recipe's --"),
        (["--dropout", "nan"], "--dropout must be at least 0 and below 1, got nan"),
        (["--task=translation"], "--task is set by the recipe; leave it out"),
        (["--arch", "biomedgpt_base"], "--arch is set by the recipe; use --size"),
    ],
)
def test_bad_options_end_in_one_line_before_anything_is_written(
    dataset: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    folder = tmp_path / "run"
    done = run(TRAIN, "--data", dataset, "--save-dir", folder, *options)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not folder.exists()


def test_help_lists_the_options_of_the_plug_in() -> None:
    done = run(TRAIN, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: train_vqa_rad.sh")
    for option in ("--size", "--patch-image-size", "--encoder-drop-path-rate", "--use-rdrop"):
        assert f" {option}" in done.stdout


def test_failures_of_fairseq_are_one_line_and_their_traceback_is_in_the_log(
    dataset: Path, tmp_path: Path
) -> None:
    options = ["--data", dataset, "--save-dir", tmp_path / "run", "--smoke"]
    for given, said in (
        (("--max-tokens", "1"), "error: --max-tokens 1: all "),
        (("--ddp-backend", "fully_sharded"), "error: ImportError: Cannot find FullyShardedData"),
    ):
        done = run(TRAIN, *options, *given)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(said)
    assert "Traceback" in (tmp_path / "run" / "train.log").read_text()


def test_a_vocabulary_that_a_failed_start_left_behind_is_not_kept(
    dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options = ["--data", dataset, "--save-dir", folder, "--smoke", "--max-update", "1"]
    Vocabulary.train_sentencepiece([" other words"], size=300, num_codes=2, num_bins=2).save(
        folder / "vocabulary"
    )
    done = run(TRAIN, *options)
    assert done.returncode == 0, done.stderr
    used = Vocabulary.load(folder / "vocabulary").fingerprint
    assert used == Vocabulary.load(dataset / "vocabulary").fingerprint
    # Now there is a checkpoint that belongs to it.
    other = make_dataset(tmp_path / "other", name="vqa-rad", train=30)
    done = run(TRAIN, *options, "--vocabulary", other / "vocabulary")
    assert "vocabulary: fingerprint was " in done.stderr


def test_a_save_folder_that_cannot_be_used_is_named(dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run(TRAIN, "--data", dataset, "--save-dir", file, "--smoke")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --save-dir {file}: cannot be made or used as a folder")
    assert len(done.stderr.splitlines()) == 1


def test_interrupted_training_says_how_to_go_on(dataset: Path, tmp_path: Path) -> None:
    options = ["--data", dataset, "--save-dir", tmp_path, "--smoke", "--max-update", "2000"]
    started = subprocess.Popen(
        ["bash", str(TRAIN), *map(str, options), "--num-workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
        # Tests that run in the background of a shell ignore it, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert started.stdout is not None
    assert any("update 1/" in line for line in started.stdout)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does
    _, error = started.communicate()
    assert started.returncode == 130
    assert error == "interrupted; give the command again to go on from the last checkpoint\n"


def test_everything_missing_is_listed_at_once(tmp_path: Path) -> None:
    done = run(
        TRAIN,
        *("--data", tmp_path / "none", "--save-dir", tmp_path / "run"),
        *("--checkpoint", tmp_path / "none.pt"),
    )
    assert done.returncode == 1
    assert "biomedgpt data prepare vqa-rad --raw" in done.stderr
    assert f"no checkpoint at {tmp_path / 'none.pt'}" in done.stderr
    assert not (tmp_path / "run").exists()


def test_two_processes_train_one_model(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ["--data", dataset, "--save-dir", folder, "--smoke", "--max-update", "2"]
    done = run(TRAIN, *options, "--cpu", "--devices", "2")
    assert done.returncode == 0, done.stderr
    assert "on the CPU, 2 processes" in done.stdout
    assert "update 2/2" in done.stdout
    assert (folder / "checkpoint_last.pt").is_file()
    assert (folder / "train.rank1.log").is_file()
    refused = run(TRAIN, *options, "--devices", "2")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: --devices 2, but there are 0 GPUs")


def test_evaluation_without_a_run_says_so(dataset: Path, tmp_path: Path) -> None:
    done = run(EVALUATE, "--data", dataset, "--save-dir", tmp_path)
    assert done.returncode == 1
    assert "no checkpoint at" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_scripts_say_what_they_need_and_what_to_expect(script: Path) -> None:
    text = script.read_text()
    for heading in ("# Purpose:", "# Prerequisites:", "# Command:", "# Expected score:"):
        assert heading in text, f"{script.name} lacks {heading}"
    assert len(text.splitlines()) <= 30
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_a_model_size_of_ones_own_trains(dataset: Path, tmp_path: Path) -> None:
    """One entry in the table of sizes is all that it takes."""
    arguments = ["train", "vqa-rad", "--data", dataset, "--save-dir", tmp_path, "--size", "mini"]
    code = f"""
import runpy, sys
from biomedgpt.model.config import PRESETS
PRESETS["mini"] = PRESETS["nano"].replace(encoder_layers=1, embed_dim=96)
sys.argv = {[str(LAUNCH), *map(str, arguments), "--smoke", "--cpu"]!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "update 4/4" in done.stdout
    weights = read_torch_file(tmp_path / "checkpoint_last.pt", packages=PACKAGES, fix="")["model"]
    assert weights["encoder.embed_tokens.weight"].shape[1] == 96
