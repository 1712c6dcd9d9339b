"""Speed, utilisation and memory in the log of a run, in TensorBoard and in the report."""

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT
from fairseq_data import make_dataset
from trained_run import TrainedRun

from biomedgpt.report.run_folder import report_run

NAMES = ("examples_per_s", "tokens_per_s", "tflops", "mfu", "peak_gb")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("throughput")
    data = make_dataset(folder / "squares", valid=0)
    command = [
        *(sys.executable, "-m", "fairseq_cli.train", str(data), "--task", "biomedgpt", "--cpu"),
        *("--user-dir", str(ROOT / "fairseq_ext"), "--arch", "biomedgpt_nano"),
        *("--criterion", "adjust_label_smoothed_cross_entropy", "--patch-image-size", "32"),
        *("--batch-size", "4", "--optimizer", "adam", "--max-update", "4", "--num-workers", "0"),
        *("--log-format", "json", "--log-interval", "2", "--save-dir", str(folder / "run")),
        *("--tensorboard-logdir", str(folder / "tensorboard"), "--peak-tflops", "0.1"),
        *("--disable-validation", "--no-save", "--batch-norm", "frozen"),
        *("--checkpoint-activations", "--update-freq", "2"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return SimpleNamespace(folder=folder, log=done.stdout)


def statistics_of(log: str) -> list[dict[str, float]]:
    lines = [line for line in log.splitlines() if " | train_inner | " in line]
    found = [json.loads(line[line.index("{") :]) for line in lines]
    return [{name: float(value) for name, value in stats.items()} for stats in found]


def test_training_statistics_hold_speed_and_memory(measured: SimpleNamespace) -> None:
    # fairseq measures from the end of the first update on.
    for stats in statistics_of(measured.log):
        assert stats["mfu"] == pytest.approx(100 * stats["tflops"] / 0.1, rel=0.05)
        assert stats["examples_per_s"] == pytest.approx(stats["bsz"] * stats["ups"], rel=0.2)
        assert stats["tokens_per_s"] > stats["examples_per_s"]
        assert 0.05 < stats["peak_gb"] < 8


def test_tensorboard_gets_the_same_numbers(measured: SimpleNamespace) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (measured.folder / "tensorboard" / "train_inner").glob("events.*")
    content, place, found = path.read_bytes(), 0, set()
    while place < len(content):
        (size,) = struct.unpack_from("<Q", content, place)
        event = Event.FromString(content[place + 12 : place + 12 + size])
        found |= {value.tag for value in event.summary.value}
        place += size + 16
    assert {*NAMES, "loss"} <= found


def test_the_report_names_speed_and_memory(trained: TrainedRun, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "run")
    page = report_run(tmp_path / "run").read_text(encoding="utf-8")
    for words in ("examples per second", "model FLOP utilisation", "peak memory of a process"):
        assert words in page
