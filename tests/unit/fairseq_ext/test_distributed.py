"""Processes wait for a slow save, and validate what is saved; a search reaches every answer."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fairseq", reason="needs the train extra")

import torch.distributed as dist
from inference_samples import small_vocabulary
from torch import Tensor, nn

from biomedgpt.decoding import GenerationConfig
from biomedgpt.examples.example_encoder import Candidates
from biomedgpt.tasks import get_task
from fairseq_ext import distributed


def test_processes_wait_longer_than_a_save_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """fairseq gives no time, and torch's own on GPUs is ten minutes."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(dist, "init_process_group", lambda **options: given.update(options))
    distributed.install()
    dist.init_process_group(backend="nccl", world_size=8)
    assert given["timeout"] >= timedelta(hours=1)
    assert given["backend"] == "nccl"


def test_processes_validate_with_the_statistics_that_are_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the first process, of the model and of both copies of the average."""
    first = {"weights": 1.0, "own average": 2.0, "average": 3.0}
    models = {name: nn.BatchNorm1d(1) for name in first}
    averages = dict(models["average"].state_dict())
    trainer = SimpleNamespace(
        data_parallel_world_size=2,
        data_parallel_process_group=None,
        cfg=SimpleNamespace(ema=SimpleNamespace(store_ema=True)),
        get_model=lambda: models["weights"],
        ema=SimpleNamespace(get_model=lambda: models["own average"], fp32_params=averages),
    )
    sent: list[int] = []

    def broadcast(tensor: Tensor, *, src: int, group: object) -> None:
        sent.append(tensor.data_ptr())
        tensor.fill_(7)

    seen: list[float] = []
    monkeypatch.setattr(distributed, "broadcast", broadcast)
    monkeypatch.setattr(
        distributed, "_validate", lambda cfg, trainer: seen.extend(b.item() for b in statistics())
    )

    def statistics() -> list[Tensor]:
        return [
            getattr(m, name) for m in models.values() for name in ("running_mean", "running_var")
        ]

    distributed.validate(None, trainer)
    assert seen == [7.0] * 6
    assert len(sent) == 6  # and no weights


def test_a_search_reaches_the_longest_answer() -> None:
    """Longer than the task's own limit, as --max-tgt-length lets answers be."""
    from fairseq_ext.task import BiomedGPTTask

    vocabulary = small_vocabulary()
    task = get_task("vqa").with_(max_target_tokens=900)
    for words, limit in ((3, 40), (90, None)):
        candidates = Candidates.encode(vocabulary, task, [" ".join(["wort"] * words), "nein"])
        owner = SimpleNamespace(
            candidates=candidates,
            definition=task,
            vocabulary=vocabulary,
            cfg=SimpleNamespace(inference="beam"),
        )
        found = BiomedGPTTask._generator(owner, GenerationConfig(max_len=40))
        assert found.config.max_len == (limit or max(map(len, candidates.sequences)))
