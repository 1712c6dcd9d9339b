"""fairseq reads through the reader that everything else reads through, with its allow-list."""

import argparse
import types
from pathlib import Path

import published_files as published
import pytest
import torch
from checkpoint_samples import small_checkpoint

pytest.importorskip("fairseq", reason="needs the train extra")

from biomedgpt.checkpoints.checkpoint import read_checkpoint
from biomedgpt.errors import CheckpointError


@pytest.fixture(autouse=True)
def nothing_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other models in this process told the reader is none of these files' business."""
    from fairseq_ext import checkpoints

    monkeypatch.setattr(checkpoints.context, "positions", None)
    monkeypatch.setattr(checkpoints.context, "ema", False)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["argparse", "dicts", "omegaconf", "objects"])
def test_training_starts_from_every_kind_of_published_file(
    tmp_path: Path, kind: str, legacy: bool
) -> None:
    from fairseq_ext import checkpoints

    stored = small_checkpoint()
    full = published.entries(stored.weights, stored.config)
    path = tmp_path / "vqa.pt"
    published.save(getattr(published, f"with_{kind}")(full), path, legacy=legacy)
    state = checkpoints.read(str(path))
    assert state["model"].keys() == full.keys()
    assert all(torch.equal(value, full[key]) for key, value in state["model"].items())
    stored.vocabulary.save(tmp_path / "vocabulary")
    assert read_checkpoint(path).info.task == "vqa"


def test_options_are_plain_values_whatever_they_were_kept_in(tmp_path: Path) -> None:
    from fairseq_ext import checkpoints

    state = published.with_dicts({"x": torch.ones(1)})
    state["cfg"]["model"] = argparse.Namespace(size="base", nested=argparse.Namespace(lr=[0.1]))
    torch.save(state, tmp_path / "x.pt")
    config = checkpoints.read(str(tmp_path / "x.pt"), {"seed": 3})["cfg"]
    assert config.model == {"size": "base", "nested": {"lr": [0.1]}}
    assert config.common.seed == 3


def test_an_object_in_place_of_weights_is_one_error(tmp_path: Path) -> None:
    from fairseq_ext import checkpoints

    module = types.ModuleType("models")
    module.Weights = type("Weights", (), {"__module__": "models"})  # type: ignore[attr-defined]
    state = published.with_dicts({}) | {"model": module.Weights(), "modules": [module]}
    published.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt: not a fairseq checkpoint; give a file"):
        checkpoints.read(str(tmp_path / "x.pt"))
