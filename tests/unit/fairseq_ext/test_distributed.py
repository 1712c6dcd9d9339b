"""Processes wait for a slow save."""

from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("fairseq", reason="needs the train extra")

import torch.distributed as dist

from fairseq_ext import distributed


def test_processes_wait_longer_than_a_save_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """fairseq gives no time, and torch's own on GPUs is ten minutes."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(dist, "init_process_group", lambda **options: given.update(options))
    distributed.install()
    dist.init_process_group(backend="nccl", world_size=8)
    assert given["timeout"] >= timedelta(hours=1)
    assert given["backend"] == "nccl"
