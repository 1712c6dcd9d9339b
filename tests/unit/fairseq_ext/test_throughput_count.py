"""The work of a model, as the plug-in counts it."""

from typing import Any

import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from torch.utils.flop_counter import FlopCounterMode

from biomedgpt.model import preset


def test_work_is_counted_in_training_only_and_once() -> None:
    from fairseq_ext.models import FairseqBiomedGPT

    model = FairseqBiomedGPT(preset("nano", vocab_size=40)).train()
    inputs: dict[str, Any] = {
        "src_tokens": torch.tensor([[5, 6, 7], [5, 6, 1]]),
        "prev_output_tokens": torch.tensor([[5, 6], [5, 1]]),
        "patch_images": torch.randn(2, 3, 32, 32),
    }
    counter = FlopCounterMode(display=False)
    with counter:
        features = model(**inputs, features_only=True)
        model.decoder.output_layer(features[:, :1]).sum().backward()
    work = model.work.take()
    assert work["flops"] == counter.get_total_flops()
    assert int(work["tokens"]) == 8
    model.eval()(**inputs)
    assert model.work.take() == {"flops": 0, "tokens": 0}
