"""Batch-norm modes and recomputed activations: same model, other statistics or memory."""

from typing import Any

import pytest
import torch
from torch import Tensor

from biomedgpt.errors import ConfigError
from biomedgpt.model import BiomedGPT, ModelConfig, preset


def build(**options: Any) -> BiomedGPT:
    torch.manual_seed(4)
    return BiomedGPT(preset("nano", vocab_size=30, **options)).train()


def batch(size: int = 2, length: int = 6, image: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(5)
    tokens = torch.randint(4, 30, (size, length))
    tokens[-1, -2:] = 1
    return tokens, tokens.clone(), torch.randn(size, 3, image, image)


def step(model: BiomedGPT, **inputs: Any) -> Tensor:
    torch.manual_seed(6)
    loss = model(*batch(), **inputs).square().mean()
    loss.backward()
    return loss.detach()


@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
@pytest.mark.parametrize("sample_patch_num", [None, 3])
def test_recomputed_activations_change_nothing(
    batch_norm: str, sample_patch_num: int | None
) -> None:
    options = {
        "batch_norm": batch_norm,
        "dropout": 0.1,
        "encoder_drop_path": 0.2,
        "resnet_drop_path": 0.2,
    }
    plain = build(**options)
    recomputed = build(**options, checkpoint_activations=True)
    losses = [step(model, sample_patch_num=sample_patch_num) for model in (plain, recomputed)]
    assert torch.equal(*losses)
    others = dict(recomputed.named_parameters())
    for key, parameter in plain.named_parameters():
        assert (parameter.grad is None) == (others[key].grad is None), key
        if parameter.grad is not None:
            torch.testing.assert_close(others[key].grad, parameter.grad, msg=key)
    # Running statistics and counts among them: a batch counts once.
    buffers = dict(recomputed.named_buffers())
    for key, buffer in plain.named_buffers():
        assert torch.equal(buffers[key], buffer), key


def saved_bytes(model: BiomedGPT, **inputs: Tensor) -> int:
    """Bytes that the forward pass keeps for the backward pass, parameters not counted."""
    kept: dict[int, int] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(*batch(4, 12, 64))
    return sum(kept.values())


def test_recomputed_activations_take_less_memory() -> None:
    assert saved_bytes(build(checkpoint_activations=True)) < 0.3 * saved_bytes(build())


def test_frozen_batch_norm_keeps_statistics_and_affine_parameters() -> None:
    model = build(batch_norm="frozen")
    resnet = model.encoder.embed_images
    before = {key: value.clone() for key, value in resnet.state_dict().items() if ".bn" in key}
    step(model)
    assert all(torch.equal(resnet.state_dict()[key], value) for key, value in before.items())
    assert resnet.bn1.weight.grad is None
    assert resnet.conv1.weight.grad is not None


def test_batch_norm_modes_have_the_same_keys() -> None:
    keys = {mode: list(build(batch_norm=mode).state_dict()) for mode in ("train", "frozen", "sync")}
    assert keys["train"] == keys["frozen"] == keys["sync"]


def test_synchronised_batch_norm_is_for_gpus() -> None:
    model = build(batch_norm="sync")
    assert isinstance(model.encoder.embed_images.layer3[0].bn2, torch.nn.SyncBatchNorm)
    with pytest.raises(ConfigError, match="on the CPU use --batch-norm frozen"):
        step(model)
    # Reading, evaluating and generating need no synchronisation.
    with torch.no_grad():
        expected = build().eval()(*batch())
        assert torch.equal(model.eval()(*batch()), expected)


def test_unknown_batch_norm_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_norm must be one of train, frozen, sync"):
        ModelConfig(batch_norm="synced")  # type: ignore[arg-type]
