"""The fairseq plug-in through fairseq's own commands: training, resuming, generating, refusing."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT
from fairseq_data import fairseq_checkpoint, make_dataset
from trained_run import SAVE_EVERY, UPDATES, TrainedRun

from biomedgpt.errors import CheckpointError

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
PLUGIN = ["--user-dir", str(ROOT / "fairseq_ext"), "--task", "biomedgpt", "--cpu"]
KILL_AT = 5
IMAGE_POSITIONS = "encoder.embed_image_positions.weight"


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, cwd="/", check=False
    )


def losses(log: str) -> dict[int, tuple[str, str]]:
    """Loss and gradient norm by update."""
    found = {}
    for line in log.splitlines():
        if " | train_inner | " in line:
            stats = json.loads(line[line.index("{") :])
            found[int(stats["num_updates"])] = (stats["loss"], stats["gnorm"])
    return found


def kill(command: list[str]) -> None:
    """Run a command of fairseq-train and kill it, two updates after it has saved."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if f'"num_updates": "{KILL_AT}"' in line and "train_inner" in line:
                process.send_signal(signal.SIGKILL)
                break


def test_killed_run_resumes_with_the_same_losses(trained: TrainedRun, tmp_path: Path) -> None:
    expected = losses(trained.log)
    assert sorted(expected) == list(range(1, UPDATES + 1))
    command = trained.command(tmp_path)
    kill(command)
    assert not list(tmp_path.glob(".*.tmp"))
    resumed = run(command)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    after = losses(resumed.stdout)
    # The last checkpoint is in the middle of an epoch (24 rows in batches of 5).
    assert min(after) == SAVE_EVERY + 1
    assert after == {update: expected[update] for update in after}
    weights = [
        torch.load(save / "checkpoint_last.pt", weights_only=True)
        for save in (trained.folder, tmp_path)
    ]
    for key, value in weights[0]["model"].items():
        assert torch.equal(value, weights[1]["model"][key]), key
    for key, value in weights[0]["extra_state"]["ema"].items():
        assert torch.equal(value, weights[1]["extra_state"]["ema"][key]), key


def test_a_run_begun_with_fairseqs_own_adam_goes_on(trained: TrainedRun, tmp_path: Path) -> None:
    kill(trained.command(tmp_path, "--use-old-adam"))
    done = run(trained.command(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    expected = losses(trained.log)
    after = losses(done.stdout)
    assert sorted(after) == list(range(SAVE_EVERY + 1, UPDATES + 1))
    for update, numbers in after.items():
        for found, wanted in zip(numbers, expected[update], strict=True):
            assert float(found) == pytest.approx(float(wanted), rel=5e-3)


def test_validation_reports_the_score(trained: TrainedRun) -> None:
    lines = [line for line in trained.log.splitlines() if " | valid | " in line]
    stats = json.loads(lines[-1][lines[-1].index("{") :])
    assert 0 <= float(stats["valid_vqa_score"]) <= 1
    assert {"valid_vqa_open", "valid_vqa_closed", "valid_loss"} <= stats.keys()
    assert (trained.best).exists()


def generate_command(trained: TrainedRun, output: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "fairseq_cli.generate", str(trained.data), *PLUGIN),
        *("--path", str(trained.best), "--gen-subset", "test"),
        *("--batch-size", "4", "--unnormalized", "--num-workers", "0"),
        *("--predictions", str(output), *options),
    ]


def test_generate_and_score(trained: TrainedRun, tmp_path: Path) -> None:
    for name, options in (("real", []), ("blank", ["--blank-images"])):
        output = tmp_path / f"{name}.jsonl"
        done = run(generate_command(trained, output, "--beam", "2", "--ema-eval", *options))
        assert done.returncode == 0, done.stderr[-2000:]
        # fairseq's own lines are readable text, the answer without the question before it.
        assert re.search(r"^H-0\t[-.\de]+\t(yes|no|red|green|blue)$", done.stdout, re.MULTILINE)
        assert re.search(r"^S-\d\t(is|what) .*\? object: square$", done.stdout, re.MULTILINE)
    lines = (tmp_path / "real.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    # All of them, although 6 is no multiple of the batch size.
    assert [record["id"] for record in records] == [f"test-{n}" for n in range(6)]
    decoding = records[0]["decoding"]
    assert decoding["ema"]
    assert decoding["beam"] == 2
    assert decoding["constrained"]
    assert not decoding["blank_image"]
    scored = run(
        [
            *(sys.executable, str(ROOT / "evaluation" / "vqa.py"), str(tmp_path / "real.jsonl")),
            *("--blank", str(tmp_path / "blank.jsonl"), "--data", str(trained.data)),
            *("--json", str(tmp_path / "score.json")),
        ]
    )
    assert scored.returncode == 0, scored.stderr
    score = json.loads((tmp_path / "score.json").read_text())
    assert score


def test_scoring_all_candidates_agrees_with_a_wide_beam(
    trained: TrainedRun, tmp_path: Path
) -> None:
    answers = []
    for name, options in (("beam", ["--beam", "5"]), ("all", ["--inference", "allcand"])):
        output = tmp_path / f"{name}.jsonl"
        done = run(generate_command(trained, output, *options))
        assert done.returncode == 0, done.stderr[-2000:]
        records = [json.loads(line) for line in output.read_text().splitlines()]
        answers.append([record["prediction"] for record in records])
    assert answers[0] == answers[1]


class Hostile:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def test_hostile_checkpoint_is_refused_in_one_line(trained: TrainedRun, tmp_path: Path) -> None:
    checkpoint, trace = tmp_path / "hostile.pt", tmp_path / "executed"
    torch.save({"model": {}, "extra_state": Hostile(trace)}, checkpoint)
    done = run(trained.command(tmp_path / "run", "--finetune-from-model", str(checkpoint)))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"error: {checkpoint}: refused, it asks for posix.system")
    assert "Traceback" not in done.stderr
    assert not trace.exists()


def test_checkpoint_of_another_size_is_named(trained: TrainedRun, tmp_path: Path) -> None:
    checkpoint = trained.folder / "checkpoint_last.pt"
    options = ["--arch", "biomedgpt_tiny", "--finetune-from-model", str(checkpoint)]
    done = run(trained.command(tmp_path, *options))
    assert done.returncode == 1
    assert f"error: {checkpoint} does not fit the model: these are nano weights" in done.stderr
    assert "you asked for tiny" in done.stderr


def test_the_check_cannot_be_turned_off_from_outside(tmp_path: Path) -> None:
    code = "import fairseq_ext, os; print('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' in os.environ)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_generation_says_what_checkpoints_it_cannot_build_a_model_from(
    trained: TrainedRun, tmp_path: Path
) -> None:
    from fairseq_ext import checkpoints

    assert checkpoints.examine(str(trained.folder / "checkpoint_last.pt"))
    path = tmp_path / "published.pt"
    of_ofa = argparse.Namespace(_name="ofa_tiny")
    for model in (of_ofa, vars(of_ofa)):
        torch.save(fairseq_checkpoint() | {"cfg": {"task": {}, "model": model}}, path)
        with pytest.raises(CheckpointError, match=r"published\.pt: no options of a biomedgpt"):
            checkpoints.examine(str(path))
    torch.save(fairseq_checkpoint() | {"cfg": None}, path)
    with pytest.raises(CheckpointError, match=r"published\.pt: no options of a biomedgpt"):
        checkpoints.examine(str(path))


def test_training_goes_on_from_smaller_tables_and_interpolates_once(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "squares", valid=0)

    def train(folder: str, *options: str) -> dict[str, torch.Tensor]:
        command = [
            *(sys.executable, "-m", "fairseq_cli.train", str(data), "--task", "biomedgpt"),
            *("--user-dir", str(ROOT / "fairseq_ext"), "--cpu", "--arch", "biomedgpt_nano"),
            *("--criterion", "adjust_label_smoothed_cross_entropy", "--batch-size", "6"),
            *("--optimizer", "adam", "--lr", "0", "--disable-validation", "--num-workers", "0"),
            *("--save-dir", str(tmp_path / folder), "--log-format", "json", "--store-ema"),
            *options,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        state = torch.load(tmp_path / folder / "checkpoint_last.pt", weights_only=True)
        assert json.dumps(state["optimizer_history"][-1]["num_updates"]) == options[-1]
        return state["model"] | {f"ema {k}": v for k, v in state["extra_state"]["ema"].items()}

    before = train("small", "--patch-image-size", "32", "--max-update", "1")
    options = ["--finetune-from-model", str(tmp_path / "small" / "checkpoint_last.pt")]
    options += ["--max-positions", "1100", "--image-bucket-size", "45"]
    options += ["--resize-positions", "32:64", "--patch-image-size", "64", "--max-update"]
    after = train("large", *options, "1")
    resumed = train("large", *options, "2")
    for key in (IMAGE_POSITIONS, f"ema {IMAGE_POSITIONS}"):
        grid = after[key][1:].view(45, 45, -1)
        known = before[key][1:].view(42, 42, -1)
        torch.testing.assert_close(grid[0, 0], known[0, 0])
        torch.testing.assert_close(grid[3, 3], known[1, 1])
        torch.testing.assert_close(grid[1, 0], 0.75 * known[0, 0] + 0.25 * known[1, 0])
        torch.testing.assert_close(resumed[key], after[key])
    assert after["encoder.embed_positions.weight"].shape == (1102, 128)
