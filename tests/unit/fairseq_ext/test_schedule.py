"""The schedule of a run is that of its batches; its last update is saved."""

import json
import logging
import random
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

pytest.importorskip("fairseq", reason="needs the train extra")

import fairseq_cli.train
from checkout import ROOT
from fairseq import checkpoint_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq_data import make_dataset

from biomedgpt.errors import BiomedGPTError
from fairseq_ext import checkpoints, data_order, run_folder

FIT = ("--fit-schedule", "--total-num-update", "1")
ROWS = 24
LR = 1e-3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("schedule") / "data", train=ROWS, valid=2)


class Rates(logging.Handler):
    """The learning rate after each update, and warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.by_update: dict[int, float] = {}
        self.warnings: list[str] = []
        self.length: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name == "train_inner":
            stats = json.loads(text)
            self.by_update[int(stats["num_updates"])] = float(stats["lr"])
        elif record.levelno >= logging.WARNING:
            self.warnings.append(text)
        self.length = getattr(record, "length", self.length)


def train(data: Path, folder: Path, *options: str) -> Rates:
    """Train in this process; see fairseq-train."""
    rates = Rates()
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(rates)
    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hydra, about fairseq
        patch.setattr(checkpoints, "context", type(checkpoints.context)())  # of this run alone
        patch.setattr(
            sys,
            "argv",
            [
                *("fairseq-train", str(data), "--user-dir", str(ROOT / "fairseq_ext")),
                *("--task", "biomedgpt", "--vocabulary", str(data / "vocabulary")),
                *("--arch", "biomedgpt_nano", "--save-dir", str(folder), "--cpu"),
                *("--criterion", "adjust_label_smoothed_cross_entropy", "--optimizer", "adam"),
                *("--lr", str(LR), "--lr-scheduler", "polynomial_decay", "--seed", "3"),
                *("--patch-image-size", "16", "--num-workers", "0", "--log-format", "json"),
                *("--log-interval", "1", "--no-epoch-checkpoints"),
                *("--max-valid-steps", "1", "--required-batch-size-multiple", "1", *options),
            ],
        )
        try:
            fairseq_cli.train.cli_main()
        finally:
            root.removeHandler(rates)
    return rates


def updates_in(folder: Path) -> int:
    state = torch.load(folder / "checkpoint_last.pt", weights_only=True)
    return int(state["optimizer_history"][-1]["num_updates"])


def combinations() -> list[tuple[str, ...]]:
    """Return random options of runs, each followed by those of a resume, if there is one."""
    draw = random.Random(17)
    found = []
    for _ in range(6):
        legs = []
        epochs = 0
        for _ in range(draw.choice((1, 2))):
            epochs += draw.randint(1, 3)
            options = ["--max-epoch", str(epochs), "--batch-size", str(draw.choice((3, 5, 8)))]
            options += draw.choice(([], ["--max-tokens", str(draw.choice((40, 100)))]))
            options += ["--update-freq", draw.choice(("1", "2", "3,1", "4,1,2"))]
            options += ["--validate-interval", str(draw.choice((1, 4)))]
            options += ["--save-interval", str(draw.choice((1, 5)))]
            options += draw.choice(([], ["--warmup-ratio", "0.25"]))
            options += draw.choice(([], [], ["--max-update", str(epochs * 4)]))
            legs.append(" ".join(options))
        found.append(tuple(legs))
    return found


@pytest.mark.parametrize("legs", combinations())
def test_the_rate_ends_with_the_run(legs: tuple[str, ...], dataset: Path, tmp_path: Path) -> None:
    done = 0
    for options in legs:
        rates = train(dataset, tmp_path, *FIT, *options.split())
        total = rates.length.total
        assert rates.length.done == done
        made = range(done + 1, total + 1)
        assert list(rates.by_update) == list(made), options
        warmup = int(0.25 * total) if "--warmup-ratio" in options else 0
        for update, rate in rates.by_update.items():  # that of the next update
            rises = update <= warmup
            share = update / warmup if rises else (total - update) / (total - warmup)
            assert rate == pytest.approx(LR * share, rel=1e-4, abs=1e-9), (options, update)
        assert updates_in(tmp_path) == total
        assert (tmp_path / "checkpoint_best.pt").is_file()
        done = total


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--total-num-update 5", "the learning rate reaches 0 at update 5 .*the run makes 8"),
        ("--warmup-ratio 0.2 --lr-scheduler fixed", "are for --lr-scheduler polynomial_decay"),
    ],
)
def test_a_rate_of_zero_is_refused(options: str, said: str, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(BiomedGPTError, match=said):
        train(dataset, tmp_path, "--batch-size", "3", "--max-epoch", "1", *options.split())
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--total-num-update 5 --end-learning-rate 1e-4", "stays at 0.0001 from update 5 to"),
        ("--warmup-updates 50 --total-num-update 80", "it never reaches --lr"),
    ],
)
def test_a_schedule_that_does_not_fit_says_so(
    options: str, said: str, dataset: Path, tmp_path: Path
) -> None:
    rates = train(dataset, tmp_path, "--batch-size", "3", "--max-epoch", "1", *options.split())
    assert any(said in warning for warning in rates.warnings)


def test_rows_of_an_epoch_that_was_stopped_are_not_seen_twice(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at update 3 of 8; the rest of the epoch is done with other steps to an update."""
    options = (*FIT, "--batch-size", "3", "--max-epoch", "1")
    first = train(dataset, tmp_path, *options, "--max-update", "3")
    assert list(first.by_update) == [1, 2, 3]
    rest = train(dataset, tmp_path, *options, "--update-freq", "2")
    # Nine rows were seen; six of them fill the first updates of now, three are seen again.
    assert list(rest.by_update) == [4, 5, 6]


def test_parts_of_batches_are_the_same_rows_in_the_same_updates() -> None:
    """On eight devices, and resumed on three, an update sees the rows of one device."""

    def iterator(devices: int, device: int, parts: int) -> Any:
        batches = [list(range(start, min(start + 4, 42))) for start in range(0, 42, 4)]
        made = EpochBatchIterator(
            dataset=TensorDataset(torch.arange(42)),
            collate_fn=list,
            batch_sampler=batches,
            seed=5,
            num_shards=devices,
            shard_id=device,
            buffer_size=0,
        )
        made.batch_parts = parts
        return made

    def order(devices: int, parts: int, steps: int, epoch: int = 2) -> list[set[int]]:
        shares = [
            iterator(devices, device, parts).ordered_batches(epoch, False, True)
            for device in range(devices)
        ]
        assert len({len(share) for share in shares}) == 1
        assert len(shares[0]) == len(iterator(devices, 0, parts))
        return [
            {row for share in shares for part in share[start : start + steps] for row in part}
            for start in range(0, len(shares[0]), steps)
        ]

    one = order(devices=1, parts=1, steps=4)
    assert set.union(*one) == set(range(42))
    for devices, parts, steps in ((2, 1, 2), (4, 1, 1), (8, 2, 1), (3, 3, 4), (16, 4, 1)):
        assert order(devices, parts, steps) == one

    begun = iterator(1, 0, 1)
    begun.next_epoch_itr()
    for _ in range(8):  # two updates of four
        next(begun._cur_epoch_itr)
    state = begun.state_dict()
    for devices, parts, steps in ((2, 1, 2), (8, 2, 1), (3, 3, 4)):
        data_order.use_update_freq([steps])
        resumed = iterator(devices, 0, parts)
        resumed.load_state_dict(state)
        assert resumed.iterations_in_epoch == 2 * steps
    data_order.use_update_freq([1])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_checkpoint_that_is_overwritten_in_place(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Weights are mapped while they are read; a run goes on with what it has read, all of it."""
    options = ("--batch-size", "3", "--total-num-update", "20", "--store-ema")
    train(dataset, tmp_path / "whole", *options, "--max-update", "2")
    shutil.copytree(tmp_path / "whole", tmp_path / "changed")
    train(dataset, tmp_path / "whole", *options, "--max-update", "5")
    last = tmp_path / "changed" / "checkpoint_last.pt"

    def overwrite(*_: object) -> None:
        with last.open("r+b") as file:
            file.write(bytes(last.stat().st_size))

    if when == "before":
        monkeypatch.setattr(run_folder.schedule, "after_loading", overwrite)
        with pytest.raises(BiomedGPTError, match=r"last\.pt: changed while it was read"):
            train(dataset, tmp_path / "changed", *options, "--max-update", "5")
        return
    monkeypatch.setattr(run_folder, "begin", overwrite)
    train(dataset, tmp_path / "changed", *options, "--max-update", "5")
    one, other = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)
        for name in ("whole", "changed")
    )
    for key, value in one["model"].items():
        assert torch.equal(value, other["model"][key]), key
    for key, value in one["extra_state"]["ema"].items():
        assert torch.equal(value, other["extra_state"]["ema"][key]), key


def test_a_run_goes_on_in_another_precision(dataset: Path, tmp_path: Path) -> None:
    """Where that is meant; the optimizers are of other classes, and their states alike."""
    options = ("--batch-size", "3", "--total-num-update", "20", "--lr", "1e-5")
    for update, precision in ((2, ()), (4, ("--bf16",)), (6, ())):
        rates = train(dataset, tmp_path, *options, "--max-update", str(update), *precision)
        assert rates.length.done == update - 2
        state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
        if precision:
            trained = state["last_optimizer_state"]["fp32_params"]
        assert state["optimizer_history"][-1]["num_updates"] == update
    # Steps of 1e-5 are lost in bfloat16; what was trained was not.
    start = trained[0].flatten()
    end = next(v for v in state["model"].values() if v.shape == trained[0].shape).flatten()
    assert not torch.equal(start, start.bfloat16().float())
    assert (start - end).abs().max() < 1e-4


def test_an_optimizer_of_other_parameters_is_one_line(dataset: Path, tmp_path: Path) -> None:
    options = ("--batch-size", "3", "--total-num-update", "20")
    train(dataset, tmp_path, *options, "--max-update", "2")
    with pytest.raises(BiomedGPTError, match="its optimizer trained other parameters than this"):
        train(dataset, tmp_path, *options, "--max-update", "4", "--freeze-embedding")


def test_rows_that_fit_into_no_batch_are_counted(dataset: Path, tmp_path: Path) -> None:
    options = ("--max-epoch", "1", *FIT, "--skip-invalid-size-inputs-valid-test")
    with pytest.raises(
        BiomedGPTError, match=r"^--max-tokens 1: all 24 rows are longer; give more$"
    ):
        train(dataset, tmp_path, *options, "--max-tokens", "1")
    assert not list(tmp_path.glob("*.pt"))
