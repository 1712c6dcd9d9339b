"""Everything amiss is found before GPUs are taken, and listed at once."""

import argparse
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq_data import make_dataset

from biomedgpt.errors import ConfigError
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.plan import GB, Job
from biomedgpt.recipes import preflight
from biomedgpt.recipes.preflight import checkpoint_bytes, disk_problems, preflight_run

JOB = Job(size="nano", gpus=1, gpu_memory=24, vocabulary=40, image_size=64, source=64, target=16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("preflight") / "squares")


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


def save_weights(path: Path, **options: Any) -> Path:
    config = preset("nano", **({"vocab_size": 40} | options))
    torch.save({"model": BiomedGPT(config).state_dict()}, path)
    return path


def check(dataset: Path, folder: Path, **options: Any) -> list[str]:
    wanted = {"datasets": [dataset], "save_dir": folder, "job": JOB, "micro_batch": 4, "gpu": False}
    return preflight_run(**(wanted | options))


def test_a_run_that_can_start(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    weights = save_weights(tmp_path / "weights.pt")
    assert check(dataset, tmp_path / "not there yet" / "run", checkpoint=weights) == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def test_all_that_is_amiss_is_listed_at_once(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(dataset, changed)
    content = bytearray((changed / "train.h5").read_bytes())
    content[-1] ^= 1
    (changed / "train.h5").write_bytes(content)
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_ADDR", "localhost")
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(ConfigError) as caught:
            check(
                dataset,
                tmp_path / "run",
                datasets=[tmp_path / "nowhere", changed],
                checkpoint=tmp_path / "none.pt",
            )
    first, *lines = str(caught.value).splitlines()
    assert first == "the run cannot start yet: "
    found = "\n".join(lines)
    assert len(lines) == 4, found
    for words in (
        f"{tmp_path / 'nowhere'}",
        f"{changed / 'train.h5'}: not the file that dataset.json describes; copy or prepare",
        "is in use -> set MASTER_PORT to another",
        f"no checkpoint at {tmp_path / 'none.pt'} -> give an existing file",
    ):
        assert words in found
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged, or no checkpoint"),
        (b"no checkpoint at all", "damaged, or no checkpoint"),
        ({"weights": 1}, "not a fairseq checkpoint"),
        ({"model": {"x": torch.zeros(1)}}, "weights of no known size"),
        ({"vocab_size": 50}, "its vocabulary has 50 entries, the run's 40 -> give the vocabulary"),
    ],
)
def test_weights_that_cannot_be_used(
    dataset: Path, tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif "vocab_size" in content:
        save_weights(path, **content)
    else:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=message):
        check(dataset, tmp_path / "run", checkpoint=path)


def test_weights_of_another_size_and_a_damaged_run(dataset: Path, tmp_path: Path) -> None:
    path = save_weights(tmp_path / "checkpoint_last.pt")
    larger = Job(size="tiny", gpus=1, gpu_memory=24, vocabulary=40)
    message = "these are nano weights, the run is tiny -> give --size nano"
    with pytest.raises(ConfigError, match=message):
        check(dataset, tmp_path / "run", checkpoint=path, job=larger)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ConfigError, match=r"checkpoint_last\.pt: damaged.*--restore-file FILE"):
        check(dataset, tmp_path)


def test_nothing_in_a_checkpoint_is_executed(dataset: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (mark,)

    torch.save({"model": Hostile()}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="damaged, or no checkpoint"):
        check(dataset, tmp_path / "run", checkpoint=tmp_path / "weights.pt")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("address", "port", "message"),
    [
        ("localhost", None, "only one of MASTER_ADDR and MASTER_PORT"),
        ("localhost", "http", "MASTER_PORT=http is no port"),
        ("no-such-host.invalid", "29500", "MASTER_ADDR=no-such-host.invalid is unknown here"),
    ],
)
def test_addresses_that_cannot_work(
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    port: str | None,
    message: str,
) -> None:
    monkeypatch.setenv("MASTER_ADDR", address)
    if port is not None:
        monkeypatch.setenv("MASTER_PORT", port)
    with pytest.raises(ConfigError, match=message):
        check(dataset, tmp_path / "run")


def test_too_little_gpu_memory_is_a_warning(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_gpus", lambda: [preflight._Gpu("small", 2**20)])
    (warning,) = check(dataset, tmp_path / "run", gpu=True)
    assert warning.startswith("GPU 0 (small) has 0 GB, and a micro-batch of 4 may take")
    assert "--checkpoint-activations" in warning


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **{
            "store_ema": True,
            "fp16": False,
            "bf16": False,
            "disable_validation": False,
            "save_interval_updates": 0,
            "keep_interval_updates": -1,
        }
        | given
    )


@pytest.mark.parametrize(
    ("given", "count", "bytes_each"),
    [
        ({}, 2, 16),  # weights, two moments and the average
        ({"store_ema": False, "disable_validation": True}, 1, 12),
        ({"bf16": True, "save_interval_updates": 100}, 3, 20),  # the weights that are trained, too
        ({"fp16": True, "save_interval_updates": 100, "keep_interval_updates": 4}, 6, 20),
    ],
)
def test_a_disk_that_will_not_hold_the_checkpoints(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    count: int,
    bytes_each: int,
) -> None:
    each = BiomedGPT(JOB.config).num_parameters() * bytes_each
    chosen = options(**given)
    half = chosen.fp16 or chosen.bf16
    assert checkpoint_bytes(JOB.config, averaged=chosen.store_ema, half=half) == each
    for free, refused in (((count + 1) * each, False), ((count + 1) * each - 1, True)):
        usage = shutil._ntuple_diskusage(GB, GB, free)
        monkeypatch.setattr("shutil.disk_usage", lambda _, usage=usage: usage)
        problems = list(disk_problems(tmp_path, JOB.config, chosen))
        assert len(problems) == refused
        assert all(f"GB free, but {count} checkpoints of " in line for line in problems)
    # What is there already will be replaced; a link takes no space.
    (tmp_path / "checkpoint_last.pt").write_bytes(b"1")
    (tmp_path / "checkpoint_best.pt").hardlink_to(tmp_path / "checkpoint_last.pt")
    assert list(disk_problems(tmp_path, JOB.config, chosen)) == []
