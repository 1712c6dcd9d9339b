"""Several processes: the same model as one, and a clear end when one of them dies."""

import json
import os
import random
import re
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT

from biomedgpt.data.phantoms.phantom_dataset import write_phantoms

LAUNCH = ROOT / "run_scripts" / "launch.py"
IN_DOUBLE = ROOT / "tests" / "helpers" / "train_in_double.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
EXACT = ["--cpu", "--size", "nano", "--batch-norm", "frozen", "--patch-image-size", "32"]
# Adam divides by the gradient's size, down to this: smaller ones would magnify rounding.
EXACT += ["--adam-eps", "1e-3"]
EXACT += ["--num-workers", "0", "--disable-validation", "--log-interval", "1"]
PER_DEVICE = ("--batch-size", "4")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distribution") / "phantoms"
    write_phantoms(folder, train=24, valid=2, test=2, size=48, seed=3, num_codes=16)
    return folder


def train(
    data: Path,
    save: Path,
    *options: str,
    prepare: Callable[[], None] | None = None,
    script: Path = LAUNCH,
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "train", "phantoms", "--data", str(data)]
    return subprocess.run(
        [*command, "--save-dir", str(save), *EXACT, *options],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT), "LOSSES": f"{save}.losses"},
        check=False,
        preexec_fn=prepare,
    )


@pytest.fixture(scope="module")
def one_process(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one process")
    done = train(dataset, folder, *PER_DEVICE, "--update-freq", "2", "--max-update", "20")
    assert done.returncode == 0, done.stderr
    return folder


def logged(folder: Path, name: str) -> dict[int, float]:
    """Return a statistic of every update."""
    found = {}
    for line in (folder / "train.log").read_text().splitlines():
        if " | train_inner | {" in line:
            stats = json.loads(line[line.index("{") :])
            found[int(stats["num_updates"])] = float(stats[name])
    return found


def compare(first: Path, second: Path, *, tolerance: float = 1e-5) -> None:
    """Hold two runs of 20 updates against each other: rates, losses and weights."""
    assert logged(first, "lr") == logged(second, "lr")
    losses = [logged(folder, "loss") for folder in (first, second)]
    assert list(losses[0]) == list(range(1, 21))
    for update, loss in losses[0].items():
        assert losses[1][update] == pytest.approx(loss, rel=1e-5, abs=1e-4)  # of four digits
    states = [
        torch.load(folder / "checkpoint_last.pt", weights_only=True) for folder in (first, second)
    ]
    assert [state["optimizer_history"][-1]["num_updates"] for state in states] == [20, 20]
    for key, value in states[0]["model"].items():
        close = {"rtol": tolerance, "atol": tolerance / 10}
        torch.testing.assert_close(states[1]["model"][key], value, **close, msg=key)


def test_two_processes_train_the_model_of_one_that_accumulates(
    dataset: Path, one_process: Path, tmp_path: Path
) -> None:
    done = train(dataset, tmp_path, *PER_DEVICE, "--devices", "2", "--max-update", "20")
    assert done.returncode == 0, done.stderr
    compare(one_process, tmp_path)


def test_the_recipe_trains_the_same_model_on_two_devices(dataset: Path, tmp_path: Path) -> None:
    """Without a word on batches: those of the recipe are shared. In float64, to the last digits."""
    for devices in (1, 2):
        options = ("--devices", str(devices), "--max-update", "20")
        done = train(dataset, tmp_path / str(devices), *options, script=IN_DOUBLE)
        assert done.returncode == 0, done.stderr
        assert "an update: 32 examples" in done.stdout
    compare(tmp_path / "1", tmp_path / "2", tolerance=1e-10)
    one, two = (
        [float(loss) for loss in (tmp_path / f"{devices}.losses").read_text().split()]
        for devices in (1, 2)
    )
    assert len(one) == 20
    assert one == pytest.approx(two, rel=1e-6)


def combinations(count: int) -> list[tuple[str, ...]]:
    """Return random options of runs, followed by those of a resume on another number of devices."""
    draw = random.Random(29)
    found = []
    for _ in range(count):
        devices, epochs, legs = draw.choice((1, 2)), 0, []
        for number in (devices, 3 - devices):
            epochs += draw.randint(1, 2)
            options = ["--devices", str(number), "--max-epoch", str(epochs)]
            options += draw.choice(([], ["--batch-size", str(draw.choice((3, 8)))]))
            options += draw.choice(([], ["--max-tokens", str(draw.choice((60, 120)))]))
            options += draw.choice(([], ["--update-freq", draw.choice(("2", "3,1"))]))
            options += draw.choice(([], ["--warmup-ratio", "0.25"]))
            legs.append(" ".join(options))
        found.append(tuple(legs))
    return found


@pytest.mark.parametrize("legs", combinations(3))
def test_the_rate_ends_with_the_run_on_any_devices(
    legs: tuple[str, ...], dataset: Path, tmp_path: Path
) -> None:
    """As `tests/unit/fairseq_ext/test_schedule.py` holds it for one device."""
    before = 0
    for options in legs:
        done = train(dataset, tmp_path, *options.split())
        assert done.returncode == 0, done.stderr
        said = re.search(
            r"(?:training|resuming at update (\d+) of) (\d+)(?: updates)?$", done.stdout, re.M
        )
        assert said is not None
        assert int(said[1] or 0) == before
        total = int(said[2])
        rates = {update: rate for update, rate in logged(tmp_path, "lr").items() if update > before}
        assert list(rates) == list(range(before + 1, total + 1)), options
        assert [update for update, rate in rates.items() if rate <= 0] == [total], options
        last = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
        assert last["optimizer_history"][-1]["num_updates"] == total
        before = total


def test_a_full_disk_leaves_the_last_checkpoint(dataset: Path, one_process: Path) -> None:
    last = one_process / "checkpoint_last.pt"
    before = last.read_bytes()

    def limit() -> None:  # as a full disk, for files of more than a megabyte
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    options = [*PER_DEVICE, "--update-freq", "2", "--max-update", "21"]
    done = train(dataset, one_process, *options, prepare=limit)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "not written (File too large)" in line
    assert "it goes on from the last checkpoint" in line
    assert last.read_bytes() == before
    assert not list(one_process.glob("*.tmp"))


def test_a_loss_that_is_no_number_stops_with_one_line(dataset: Path, tmp_path: Path) -> None:
    options = ["--lr", "1e30", "--warmup-updates", "0", "--clip-norm", "0", "--max-update", "9"]
    done = train(dataset, tmp_path, *options)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: the loss of update ")
    assert "Lower --lr" in line
    assert not list(tmp_path.glob("crash.pt"))


WORKER = """
import os, signal, sys, time
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
rank = dist.get_rank()
for step in range(1000):
    if rank == 1 and step == 3:
        if sys.argv[1] == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(5)
    dist.all_reduce(torch.ones(1))
    time.sleep(0.01)
"""


@pytest.mark.parametrize("how", ["dies", "fails"])
def test_a_process_that_ends_takes_the_others_with_it(tmp_path: Path, how: str) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER, encoding="utf-8")
    code = textwrap.dedent(f"""
        import sys
        from biomedgpt.cli.entry import run_command
        from biomedgpt.recipes.processes import run_processes
        sys.exit(run_command(lambda: run_processes([{str(worker)!r}, {how!r}], count=2)))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    if how == "dies":
        assert done.returncode == 1
        (line,) = errors
        assert "process 1 of 2 was ended by SIGKILL (was memory short?)" in line
    else:
        assert done.returncode == 5
        assert errors == []
