"""The batch of a recipe is the same on any number of devices."""

import argparse
import math
import random
from types import SimpleNamespace

import pytest

from biomedgpt.errors import ConfigError
from biomedgpt.model.config import PRESETS
from biomedgpt.recipes import pretrain
from biomedgpt.recipes.commands import (
    Devices,
    batch_arguments,
    describe_batch,
    schedule_arguments,
    worker_arguments,
)
from biomedgpt.recipes.recipe import DIFFERENT, GROUPS


def parse(command: list[str]) -> argparse.Namespace:
    names = [name.removeprefix("--").replace("-", "_") for name in command[::2]]
    return argparse.Namespace(**dict(zip(names, map(int, command[1::2]), strict=True)))


def test_devices_share_an_update() -> None:
    draw = random.Random(3)
    batches = {(batch, 1) for recipe in GROUPS.values() for batch in recipe.batch_size.values()}
    batches |= {
        (batch, recipe.update_freq)
        for recipe in (*GROUPS.values(), *DIFFERENT.values())
        for batch in recipe.batch_size.values()
    }
    batches |= {(draw.randint(1, 64), draw.randint(1, 9)) for _ in range(50)}
    for batch, steps in batches:
        for count in (1, 2, 3, 4, 5, 8, 16, 64):
            arguments = {"devices": Devices(count, gpu=True), "options": (), "scale": False}
            parts = count // math.gcd(count, steps)
            if parts > batch:
                with pytest.raises(ConfigError, match=f"takes {batch * steps} examples, which"):
                    batch_arguments(batch, steps, **arguments)
                continue
            found = parse(batch_arguments(batch, steps, **arguments))
            assert found.batch_size == batch
            # The parts of an update are those of as many batches as on one device.
            assert found.update_freq * count == steps * found.batch_parts
            # Accumulation goes first: batches are only cut where there is nothing left of it.
            assert found.batch_parts == 1 or found.update_freq * count > steps
            if steps % count == 0:
                assert (found.update_freq, found.batch_parts) == (steps // count, 1)


@pytest.mark.parametrize("given", ["--batch-size=7", "--update-freq 3", "--max-tokens 100"])
def test_what_a_user_gives_is_per_device(given: str) -> None:
    options = given.split()
    found = parse(
        batch_arguments(16, 4, devices=Devices(8, gpu=True), options=options, scale=False)
    )
    assert (found.batch_size, found.update_freq, found.batch_parts) == (16, 4, 1)


@pytest.mark.parametrize("size", PRESETS)
def test_pretraining_takes_the_batch_that_is_planned_for(size: str) -> None:
    for count in (1, 2, 8, 16, 64, 128):
        devices = Devices(count, gpu=True)
        found = parse(pretrain.update_arguments(size, devices, (), smoke=False))
        assert found.batch_size * found.update_freq * count == 256 * found.batch_parts
        given = pretrain.update_arguments(size, devices, ("--batch-size", "7"), smoke=False)
        assert (parse(given).update_freq, parse(given).batch_parts) == (1, 1)


def test_the_batch_that_follows_is_said() -> None:
    options = parse(batch_arguments(16, 4, devices=Devices(8, gpu=True), options=(), scale=False))
    options.update_freq, options.max_tokens = [options.update_freq], None
    said = describe_batch(options, Devices(8, gpu=True))
    assert said == "training on 8 GPUs; an update: 64 examples, 1 step of 8 on each"
    options.max_tokens = 500
    assert "1 step of at most 16 examples and 500 tokens on each" in describe_batch(
        options, Devices(8, gpu=True)
    )


@pytest.mark.parametrize(
    ("given", "fitted"),
    [
        ("", "--fit-schedule --total-num-update 1 --warmup-ratio 0.06"),
        ("--warmup-updates=9", "--fit-schedule --total-num-update 1"),
        ("--total-num-update 80", "--warmup-ratio 0.06"),
        (
            "--max-update 8",
            "--fit-schedule --total-num-update 1 --warmup-ratio 0.06 --max-epoch 0",
        ),
        (
            "--max-update=8 --max-epoch=2",
            "--fit-schedule --total-num-update 1 --warmup-ratio 0.06",
        ),
    ],
)
def test_the_schedule_is_fitted_but_where_a_user_says_otherwise(given: str, fitted: str) -> None:
    assert schedule_arguments(0.06, given.split()) == fitted.split()


def workers(given: str, free: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr("biomedgpt.recipes.commands.shutil.disk_usage", lambda path: usage)
    options = argparse.Namespace(num_workers=4, batch_size=16, batch_parts=1)
    return worker_arguments(options, image_size=384, given=given.split())


def test_workers_fit_into_shared_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch of 16 images of 384 pixels takes 27 MB."""
    assert workers("", 2**30, monkeypatch) == []
    assert capsys.readouterr().out == ""
    assert workers("", 64 * 2**20, monkeypatch) == ["--num-workers", "1"]
    said = capsys.readouterr().out
    assert said.startswith("note: /dev/shm has 64 MB, too little for 4 data workers with two")
    assert "using 1 (give the container more, as in docker run --shm-size 8g)" in said
    assert workers("--num-workers 4", 2**20, monkeypatch) == []
    assert "or give --num-workers 0" in capsys.readouterr().out
