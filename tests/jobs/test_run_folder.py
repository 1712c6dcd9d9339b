"""A run, its folder and who writes it: one run, one folder, one identity."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT
from fairseq_data import make_dataset
from shell import ENVIRONMENT, running
from shell import run_script as run
from trained_run import OPTIONS, TRAIN, UPDATES, TrainedRun

from biomedgpt.locks import locked

OWN = ROOT / "run_scripts" / "vqa" / "train_own.sh"


def content(folder: Path) -> dict[str, str]:
    """Return hashes of all files of a folder, but for what is noted of others (`stamps`)."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".stamp"
    }


def leftovers(folder: Path) -> list[Path]:
    """Return hidden files that nobody needs; a stamp saves reading a checkpoint in whole."""
    return [path for path in folder.glob(".*") if path.suffix != ".stamp"]


@pytest.fixture
def folder(trained: TrainedRun, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(trained.folder, tmp_path / "my ${HOME} run's"))


def test_a_finished_run_says_so_and_changes_nothing(trained: TrainedRun, folder: Path) -> None:
    before = content(folder)
    again = run(TRAIN, "--data", trained.data, "--save-dir", folder, *OPTIONS, "--lr", "1e-2")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"already finished: {UPDATES} updates; nothing was trained")
    assert "done" not in again.stdout
    assert content(folder) == before


def test_another_run_is_refused_with_every_difference(
    trained: TrainedRun, folder: Path, tmp_path: Path
) -> None:
    """Other data with other answers, another size of model and of image."""
    other = make_dataset(tmp_path / "other", name="vqa-rad", train=30)
    before = content(folder)
    options = ("--data", other, "--save-dir", folder, *OPTIONS, "--max-update", "12")
    changed = ("--size", "tiny", "--patch-image-size", "48", "--prompt-type", "none")
    refused = run(TRAIN, *options, *changed)
    assert refused.returncode == 1
    assert f"{folder} holds another run (give another --save-dir, or --allow-changed " in (
        refused.stderr
    )
    for line in (
        "data: its hash was ",
        "task: prompt_type was prev_output, is none",
        "images: image_size was 32, is 48",
        "model: embed_dim was 128, is 256",
    ):
        assert f"\n  {line}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert content(folder) == before

    allowed = run(TRAIN, *options, "--allow-changed", "data,answers")
    assert allowed.returncode == 0, allowed.stderr
    assert f"resuming at update {UPDATES} of 12" in allowed.stdout
    facts = json.loads((folder / "run.json").read_text())
    assert facts["earlier"][0]["until_update"] == UPDATES
    assert str(trained.data) in facts["earlier"][0]["command"]


def test_what_is_not_known_to_change_is_said(trained: TrainedRun, folder: Path) -> None:
    options = ("--data", trained.data, "--save-dir", folder, *OPTIONS)
    more = run(TRAIN, *options, "--lr", "1e-4", "--max-update", "10")
    assert more.returncode == 0, more.stderr
    told = [line for line in more.stdout.splitlines() if line.startswith("from update ")]
    assert told == [
        f"from update {UPDATES} on: --lr 0.0001 (was 0.0005)",
        f"from update {UPDATES} on: --max-update 10 (was {UPDATES})",
    ]
    assert f"resuming at update {UPDATES} of 10" in more.stdout
    unknown = run(TRAIN, *options, "--allow-changed", "date")
    assert unknown.returncode == 1
    assert "'date' is none of data, task, answers, images, model, precision" in unknown.stderr


def test_two_runs_at_once_and_one_that_is_killed(trained: TrainedRun, tmp_path: Path) -> None:
    options = ("--data", trained.data, "--save-dir", tmp_path, "--smoke", "--max-update", "5000")
    with running(TRAIN, *options, "--patch-image-size", "32", until="update 1/") as (first, _, _):
        before = content(tmp_path / "vocabulary")
        second = run(TRAIN, *options)
        assert second.returncode == 1
        assert second.stderr.startswith(
            f"error: --save-dir {tmp_path} is in use by process {first.pid} on "
        )
        assert len(second.stderr.splitlines()) == 1
        assert content(tmp_path / "vocabulary") == before
        first.send_signal(signal.SIGKILL)
    (tmp_path / ".checkpoint_last.pt.77.tmp").write_bytes(b"half of a checkpoint")
    third = run(TRAIN, *options, "--max-update", "2", "--patch-image-size", "32")
    assert third.returncode == 0, third.stderr
    assert (
        ".checkpoint_last.pt.77.tmp, which a run that was killed left half written" in third.stdout
    )
    assert not [path for path in tmp_path.glob(".*") if path.suffix != ".stamp"]


def test_the_last_epoch_is_saved_whatever_the_intervals(
    trained: TrainedRun, tmp_path: Path
) -> None:
    """The recipe validates and saves every five epochs."""
    for epochs in (1, 7):
        save = tmp_path / str(epochs)
        options = ("--size", "nano", "--patch-image-size", "32", "--num-workers", "0")
        done = run(OWN, "--data", trained.data, "--save-dir", save, "--max-epoch", epochs, *options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith("done; next: evaluate")
        assert (save / "checkpoint_best.pt").is_file()
        last = torch.load(save / "checkpoint_last.pt", weights_only=True)
        assert last["optimizer_history"][-1]["num_updates"] == epochs  # one batch each


def test_a_run_that_was_asked_to_stop_is_not_done(
    trained: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = tmp_path / "stop"
    stop.touch()
    monkeypatch.setitem(ENVIRONMENT, "BIOMEDGPT_STOP_FILE", str(stop))
    save = tmp_path / "run"
    stopped = run(TRAIN, "--data", trained.data, "--save-dir", save, *OPTIONS)
    assert stopped.returncode == 0, stopped.stderr
    assert f"stopped at update 1 as {stop} asks; give the command again" in stopped.stdout
    assert "done" not in stopped.stdout
    stop.unlink()
    rest = run(TRAIN, "--data", trained.data, "--save-dir", save, *OPTIONS)
    assert f"resuming at update 1 of {UPDATES}" in rest.stdout
    assert rest.stdout.splitlines()[-1].startswith("done")


@pytest.mark.parametrize("devices", [1, 2])
def test_sigterm_saves_and_says_so(trained: TrainedRun, tmp_path: Path, devices: int) -> None:
    options = ("--data", trained.data, "--save-dir", tmp_path, "--smoke", "--max-update", "5000")
    options += ("--patch-image-size", "32", "--cpu", "--devices", devices, "--disable-validation")
    begun = running(TRAIN, *options, until="update 2/", errors=subprocess.PIPE)
    with begun as (process, output, _):
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        rest, errors = output.read(), process.stderr.read()
    assert process.returncode == 143
    assert "SIGTERM: saving after this update" in errors
    said = re.search(r"stopped at update (\d+) as SIGTERM asks; give the command again", rest)
    assert said is not None
    assert "done" not in rest
    last = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    assert last["optimizer_history"][-1]["num_updates"] == int(said[1])
    assert leftovers(tmp_path) == []


def test_fairseq_train_alone_keeps_to_one_run_and_one_writer(
    trained: TrainedRun, tmp_path: Path
) -> None:
    """As a recipe does, and in a recipe's folder."""
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))

    def train(*options: str) -> subprocess.CompletedProcess[str]:
        command = [*trained.command(folder, *options)]
        return subprocess.run(
            command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False
        )

    before = content(folder)
    with locked(folder / ".lock", what="it", remedy="wait"):
        taken = train("--max-update", "9")
    assert taken.returncode == 1
    assert f"{folder} is in use by process {os.getpid()} on " in taken.stderr
    other = train("--max-update", "9", "--patch-image-size", "48", "--prompt-type", "none")
    assert other.returncode == 1
    for line in ("task: prompt_type was prev_output, is none", "images: image_size was 32, is 48"):
        assert f"\n  {line}" in other.stderr
    assert "Traceback" not in taken.stderr + other.stderr
    assert content(folder) == before
    (folder / ".checkpoint_last.pt.77.tmp").write_bytes(b"half of a checkpoint")
    changed = train("--max-update", "9", "--prompt-type", "none", "--allow-changed", "task")
    assert changed.returncode == 0, changed.stderr
    last = torch.load(folder / "checkpoint_last.pt", weights_only=True)
    assert last["optimizer_history"][-1]["num_updates"] == 9
    assert leftovers(folder) == []


@pytest.mark.parametrize("what", ["schedule", "run.json", "disk"])
def test_a_resume_that_cannot_begin_changes_nothing(
    trained: TrainedRun, folder: Path, what: str
) -> None:
    options = ["--data", trained.data, "--save-dir", folder, *OPTIONS, "--max-update", "20"]
    match what:
        case "schedule":  # shows only once data and checkpoint are read
            options += ["--total-num-update", "10"]
            said = "the learning rate reaches 0 at update 10 (--total-num-update), and the run"
        case "run.json":
            (folder / "run.json").write_text("{")
            said = f"{folder / 'run.json'}: damaged; move it away, and the run goes on without"
        case "disk":
            options += ["--save-interval-updates", "1", "--keep-interval-updates", "1000000"]
            said = f"the run cannot start yet: {folder}: "
    before = content(folder)
    refused = run(TRAIN, *options)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert {name: found for name, found in content(folder).items() if name != "train.log"} == {
        name: found for name, found in before.items() if name != "train.log"
    }


def test_the_folder_of_data_is_not_that_of_a_run(trained: TrainedRun, tmp_path: Path) -> None:
    data = Path(shutil.copytree(trained.data, tmp_path / "data"))
    before = content(data)
    refused = run(TRAIN, "--data", trained.data, "--save-dir", data, *OPTIONS)
    assert refused.returncode == 1
    assert f"--save-dir {data}: holds prepared data; give a folder of its own" in refused.stderr
    assert content(data) == before


@pytest.mark.parametrize(
    "how", ["another run's", "another run's with its data", "its best", "no last", "no optimizer"]
)
def test_a_run_is_the_one_that_was_begun_whatever_it_resumes_from(
    trained: TrainedRun, folder: Path, tmp_path: Path, how: str
) -> None:
    """A folder is compared by whatever checkpoint is in it."""
    other = make_dataset(tmp_path / "other", name="vqa-rad", train=30)
    options = ["--save-dir", folder, *OPTIONS, "--max-update", "12"]
    last, said = folder / "checkpoint_last.pt", "data: its hash was "
    match how:
        case "another run's":
            moved = shutil.move(last, tmp_path / "elsewhere.pt")
            options += ["--data", other, "--restore-file", moved]
        case "another run's with its data":  # which would replace this one
            elsewhere = tmp_path / "elsewhere"
            done = run(TRAIN, "--data", other, "--save-dir", elsewhere, *OPTIONS)
            assert done.returncode == 0, done.stderr
            options += ["--data", other, "--restore-file", elsewhere / last.name]
            options += ["--vocabulary", elsewhere / "vocabulary"]
        case "its best":
            options += ["--data", other, "--restore-file", folder / "checkpoint_best.pt"]
        case "no last":
            last.unlink()
            options += ["--data", trained.data]
            said = "checkpoint_best.pt), but no checkpoint_last.pt to resume from; give --restore"
        case "no optimizer":
            state = torch.load(last, weights_only=True)
            last.unlink()
            torch.save(state | {"last_optimizer_state": None}, last)
            options += ["--data", trained.data]
            said = "the optimizer is not in it, so that no run goes on from it; begin one with"
    before = content(folder)
    refused = run(TRAIN, *options)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert content(folder) == before


def test_a_start_from_other_weights_is_another_run(trained: TrainedRun, folder: Path) -> None:
    options = ["--data", trained.data, "--save-dir", folder, *OPTIONS, "--max-update", "12"]
    refused = run(TRAIN, *options, "--checkpoint", folder / "checkpoint_best.pt")
    assert refused.returncode == 1
    assert "start: weights it starts from was none, is checkpoint_best.pt" in refused.stderr


def test_workers_end_with_the_process_that_holds_the_lock(
    trained: TrainedRun, tmp_path: Path
) -> None:
    options = ("--data", trained.data, "--save-dir", tmp_path, "--smoke", "--max-update", "5000")
    options += ("--patch-image-size", "32", "--cpu", "--devices", "2", "--disable-validation")
    with running(TRAIN, *options, until="update 1/") as (process, output, _):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) >= 2
        process.kill()
        output.read()  # to its end: nobody else has it open
    for child in children:
        status = Path(f"/proc/{child}/stat")
        assert not status.exists() or status.read_text().split(")")[-1].split()[0] in "ZX"


def test_a_run_that_ends_early_says_where(trained: TrainedRun, tmp_path: Path) -> None:
    options = ("--data", trained.data, "--save-dir", tmp_path, *OPTIONS, "--max-update", "40")
    done = run(TRAIN, *options, "--stop-time-hours", "1e-9", "--validate-after-updates", "99")
    assert done.returncode == 0, done.stderr
    assert "done early, at update 1 of 40 (--stop-time-hours); next: evaluate" in done.stdout
