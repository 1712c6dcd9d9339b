"""The SLURM script with stand-ins for srun and scontrol: it stops, requeues and resumes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from shell import running

SCRIPT = ROOT / "run_scripts" / "pretraining" / "pretrain.slurm"


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """Environment of a job on one node, whose calls of scontrol are written down."""
    programs = tmp_path / "bin"
    write_program(
        programs / "srun",
        'while [[ "$1" == --* ]]; do shift; done\nexec "$@"\n',
    )
    write_program(
        programs / "scontrol",
        f'echo "$*" >> "{tmp_path}/scontrol.log"\n[[ "$1" != show ]] || echo localhost\n',
    )
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_SUBMIT_DIR": str(tmp_path / "project"),
    }


def run(cluster: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), *options], capture_output=True, text=True, env=cluster, check=False
    )


def test_the_script_is_a_batch_script() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    text = SCRIPT.read_text()
    for line in (
        *("# Purpose:", "# Prerequisites:", "# Command:", "#SBATCH --requeue"),
        "#SBATCH --signal=B:USR1@",
    ):
        assert line in text


def test_processes_learn_where_to_meet(cluster: dict[str, str], tmp_path: Path) -> None:
    write_program(
        tmp_path / "project" / "run_scripts" / "pretraining" / "pretrain.sh",
        'env | grep ^BIOMEDGPT_ | sort\nprintf "<%s>" "$@"\n',
    )
    done = run(cluster, "--save-dir", str(tmp_path / "my run"), "--config", "a b.toml")
    assert done.returncode == 0, done.stderr
    assert "BIOMEDGPT_NODES=1\n" in done.stdout
    assert "BIOMEDGPT_RENDEZVOUS=localhost:24711\n" in done.stdout
    assert f"BIOMEDGPT_STOP_FILE={tmp_path}/my run/stop.4711\n" in done.stdout
    assert done.stdout.endswith(f"<--save-dir><{tmp_path}/my run><--config><a b.toml>")
    assert (tmp_path / "scontrol.log").read_text() == "show hostnames localhost\n"


def test_failures_are_passed_on_and_not_requeued(cluster: dict[str, str], tmp_path: Path) -> None:
    write_program(tmp_path / "project" / "run_scripts" / "pretraining" / "pretrain.sh", "exit 7\n")
    assert run(cluster, f"--save-dir={tmp_path / 'run'}").returncode == 7
    assert "requeue" not in (tmp_path / "scontrol.log").read_text()
    assert run(cluster, "--config", "x").stderr == "error: give --save-dir RUN_DIR\n"
    cluster["SLURM_SUBMIT_DIR"] = str(tmp_path)
    assert "submit from the project's folder" in run(cluster, "--save-dir", "run").stderr


def test_a_run_is_saved_requeued_and_resumed(cluster: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("fairseq", reason="needs the train extra")
    from fairseq_data import make_dataset

    data, save = make_dataset(tmp_path / "squares", valid=0), tmp_path / "run"
    # A short recipe in the place of pretraining: what is stopped and resumed is the same.
    write_program(
        tmp_path / "project" / "run_scripts" / "pretraining" / "pretrain.sh",
        f'exec "$PYTHON" "{ROOT}/run_scripts/launch.py" train own-vqa --data "{data}" --cpu '
        "--size nano --smoke --patch-image-size 32 --max-epoch 0 --devices 2 "
        '"$@"\n',
    )
    options = ["--save-dir", str(save), "--max-update"]
    stopping = {"until": "update 3/", "errors": subprocess.STDOUT, "env": cluster}
    with running(SCRIPT, *options, "100000", **stopping) as (job, output, said):
        job.send_signal(signal.SIGUSR1)
        said += output.readlines()
    text = "".join(said)
    assert job.returncode == 0, text
    assert "asked to stop: saving a checkpoint" in text
    assert "warning: stopped at update" in text
    assert "back into the queue" in text
    assert "requeue 4711" in (tmp_path / "scontrol.log").read_text()
    assert not (save / "stop.4711").exists()
    stopped = updates(save)
    assert stopped >= 3
    done = run(cluster, *options, str(stopped + 1))
    assert done.returncode == 0, done.stderr
    assert updates(save) == stopped + 1
    assert "Loaded checkpoint" in (save / "train.log").read_text()


def updates(save: Path) -> int:
    state = torch.load(save / "checkpoint_last.pt", weights_only=True)
    return int(state["optimizer_history"][-1]["num_updates"])
