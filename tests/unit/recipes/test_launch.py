"""What the launcher makes of its options, before anything starts."""

import argparse
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from biomedgpt.data.phantoms.phantom_dataset import write_phantoms
from biomedgpt.data.registry import BENCHMARKS, DATASETS, PHANTOMS
from biomedgpt.errors import ConfigError
from biomedgpt.model.config import PRESETS, preset
from biomedgpt.recipes import launch, processes
from biomedgpt.recipes.arguments import check_options
from biomedgpt.recipes.commands import Devices, training_command
from biomedgpt.recipes.recipe import (
    CLASSIFICATION,
    DIFFERENT,
    GROUPS,
    VQA,
    for_size,
    get_recipe,
    recipe_names,
)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"BIOMEDGPT_NODES": "two"}, "BIOMEDGPT_NODES must be a number of nodes, got 'two'"),
        ({"BIOMEDGPT_NODES": "2"}, "BIOMEDGPT_NODES is 2; set BIOMEDGPT_RENDEZVOUS to HOST:PORT"),
    ],
)
def test_nodes_that_make_no_sense(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        processes.count_nodes()


def training_options(folder: Path, devices: Devices, *given: str) -> argparse.Namespace:
    """Return what fairseq makes of the recipe's command: it is read, not run."""
    programs = pytest.importorskip("fairseq_ext.programs", reason="needs the train extra")
    dataset = folder / "phantoms"
    write_phantoms(dataset, train=2, valid=2, test=2, size=48, seed=3, num_codes=16)
    arguments = ["train", "phantoms", "--data", str(dataset), "--save-dir", str(folder), *given]
    args, options = launch.parse(arguments, lambda: programs)
    (run,) = launch.plan(args)
    command, _ = training_command(args, run, options, devices=devices, fairseq=programs)
    return check_options(
        programs, programs.get_training_parser("biomedgpt"), command, given=options
    )


@pytest.mark.parametrize("given", [["--bf16"], ["--fp16"], ["--amp"], []])
def test_half_precision_and_memory_options_reach_fairseq(tmp_path: Path, given: list[str]) -> None:
    """As far as that goes without a GPU."""
    options = ["--batch-norm", "sync", "--checkpoint-activations"]
    parsed = training_options(tmp_path, Devices(8, gpu=True), *given, *options)
    expected = given[0].removeprefix("--") if given else "fp16"
    assert {name for name in ("bf16", "fp16", "amp") if getattr(parsed, name)} == {expected}
    assert (str(parsed.batch_norm), parsed.checkpoint_activations) == ("sync", True)
    assert parsed.distributed_world_size == 8


def test_a_model_size_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fairseq_ext.models", reason="needs the train extra")._register_size("mini")
    monkeypatch.setitem(PRESETS, "mini", preset("nano", encoder_layers=1))
    options = ("--size", "mini", "--smoke", "--cpu")
    parsed = training_options(tmp_path, Devices(1, gpu=False), *options)
    assert (parsed.arch, parsed.size) == ("biomedgpt_mini", "mini")
    with pytest.raises(ConfigError, match="invalid choice: 'maxi'"):
        training_options(tmp_path / "other", Devices(1, gpu=False), "--size", "maxi")


def test_a_size_without_settings_takes_those_of_the_next_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PRESETS, "between", preset("base", encoder_layers=8))
    monkeypatch.setitem(PRESETS, "beyond", preset("xlarge", encoder_layers=99))
    assert [for_size(VQA.batch_size, size) for size in (*PRESETS,)] == [64, 64, 32, 16, 8, 4, 8, 4]
    assert for_size(VQA.image_size, "between") == 384


def test_recipes_are_those_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [f"own-{group}" for group in GROUPS]
    assert recipe_names() == [*BENCHMARKS, "phantoms", "biomed-vital", *own]
    assert get_recipe("slake") == get_recipe("own-vqa") == VQA
    assert get_recipe("pathvqa") == DIFFERENT["pathvqa"] != VQA
    spec = dataclasses.replace(PHANTOMS, name="new", task="classification")
    monkeypatch.setitem(BENCHMARKS, "new", spec)
    monkeypatch.setitem(DATASETS, "new", spec)
    assert "new" in recipe_names()
    assert get_recipe("new") == CLASSIFICATION


def test_no_fold_begins_after_one_that_was_asked_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    stop = tmp_path / "stop"
    monkeypatch.setenv("BIOMEDGPT_STOP_FILE", str(stop))

    def train(command: list[str]) -> int:
        begun.append(command[-1])
        if len(begun) == 2:
            stop.touch()
        return 0

    monkeypatch.setattr(launch, "run_child", train)
    run = SimpleNamespace(dataset=SimpleNamespace(folds=range(5)), folder=tmp_path)
    runs = [SimpleNamespace(**vars(run), fold=number) for number in range(5)]
    assert launch.train_folds(runs) == 0
    assert begun == ["0", "1"]
