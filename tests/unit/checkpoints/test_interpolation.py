"""Position tables of a checkpoint in a model with longer, larger or other ones."""

import pytest
import torch

from biomedgpt.checkpoints.interpolation import (
    extend_tokens,
    fit_positions,
    grow_grid,
    grow_offsets,
    resize_image_positions,
)
from biomedgpt.checkpoints.state_dict import derived_buffers, load_reference_state_dict
from biomedgpt.errors import CheckpointError, ConfigError
from biomedgpt.model import BiomedGPT, ModelConfig, preset
from biomedgpt.model.positions import image_buckets

SMALL = preset("nano", vocab_size=30, max_positions=40, image_bucket_size=6, code_image_size=32)
LARGE = SMALL.replace(max_positions=60, image_bucket_size=9)
IMAGE_POSITIONS = "encoder.embed_image_positions.weight"


def model(config: ModelConfig, seed: int = 1) -> BiomedGPT:
    torch.manual_seed(seed)
    return BiomedGPT(config).eval()


def test_nothing_happens_where_tables_are_as_large() -> None:
    weights = model(SMALL).state_dict()
    fitted = fit_positions(weights, SMALL)
    assert fitted.keys() == weights.keys()
    assert all(fitted[key] is value for key, value in weights.items())
    resized = resize_image_positions(weights, SMALL, trained=64, wanted=64)
    assert all(resized[key] is value for key, value in weights.items())


def test_a_model_with_larger_tables_computes_the_same() -> None:
    small, large = model(SMALL), model(LARGE, seed=2)
    # As in a published file: derived buffers of the smaller grid are in it.
    weights = small.state_dict() | derived_buffers(SMALL)
    load_reference_state_dict(large, fit_positions(weights, LARGE))
    tokens, images = torch.randint(4, 30, (2, 12)), torch.randn(2, 3, 64, 96)
    codes = torch.tensor([True, False])
    torch.testing.assert_close(
        large(tokens, tokens, images, code_masks=codes),
        small(tokens, tokens, images, code_masks=codes),
    )
    # And what the small one cannot do at all.
    large(torch.full((1, 50), 5), torch.full((1, 50), 5), torch.randn(1, 3, 144, 144))


def test_new_token_positions_are_drawn_as_in_the_reference_and_the_same_everywhere() -> None:
    table = torch.randn(10, 64)
    longer = extend_tokens(table, 1010)
    assert torch.equal(longer[:10], table)
    assert float(longer[10:].std()) == pytest.approx(64**-0.5, rel=0.05)
    torch.manual_seed(99)
    assert torch.equal(longer, extend_tokens(table, 1010))
    assert extend_tokens(table, 5) is table


def test_new_patches_and_offsets_take_the_nearest() -> None:
    rows = torch.arange(9).view(3, 3) // 3
    columns = torch.arange(9).view(3, 3) % 3
    table = torch.stack([rows, columns], dim=-1).flatten(0, 1).float()
    grown = grow_grid(torch.cat([torch.full((1, 2), -1.0), table]), 3, 5)
    assert torch.equal(grown[0], torch.full((2,), -1.0))
    grid = grown[1:].view(5, 5, 2)
    assert torch.equal(grid[:, 0, 0], torch.tensor([0.0, 1, 2, 2, 2]))
    assert torch.equal(grid[0, :, 1], torch.tensor([0.0, 1, 2, 2, 2]))

    side = 3
    offsets = torch.arange((2 * side - 1) ** 2 + 3, dtype=torch.float32)[:, None]
    grown = grow_offsets(offsets, side, 5)
    assert grown.shape == ((2 * 5 - 1) ** 2 + 3, 1)
    # Offsets between patches that both grids have, and from and to the beginning.
    common = [(row, column) for row in range(side) for column in range(side)]
    old = torch.tensor([0] + [1 + row * side + column for row, column in common])
    new = torch.tensor([0] + [1 + row * 5 + column for row, column in common])
    assert torch.equal(grown[image_buckets(new, 5)], offsets[image_buckets(old, side)])


@pytest.mark.parametrize(("trained", "wanted"), [(64, 96), (96, 48), (32, 90)])
def test_image_sizes_are_interpolated_as_the_reference_does_in_each_pass(
    trained: int, wanted: int
) -> None:
    plain = model(SMALL)
    resized = model(SMALL)
    weights = resize_image_positions(plain.state_dict(), SMALL, trained=trained, wanted=wanted)
    resized.load_state_dict(weights)
    changed = [key for key, value in plain.state_dict().items() if weights[key] is not value]
    others = {"encoder.embed_tokens.weight"}  # state_dict makes new views; compare their values
    assert all(
        key == IMAGE_POSITIONS or torch.equal(weights[key], plain.state_dict()[key])
        for key in {*changed, *others}
    )
    if wanted > trained:  # the only direction in which the model itself interpolates
        live = model(SMALL.replace(interpolate_position=True, orig_patch_image_size=trained))
        tokens, images = torch.randint(4, 30, (2, 5)), torch.randn(2, 3, wanted, wanted)
        torch.testing.assert_close(resized(tokens, tokens, images), live(tokens, tokens, images))


def test_interpolation_keeps_order() -> None:
    config = SMALL
    weights = model(config).state_dict()
    side = config.image_bucket_size
    number = torch.arange(side, dtype=torch.float32)
    table = torch.zeros(side, side, config.embed_dim)
    table[..., 0], table[..., 1] = number[:, None], number[None, :]
    weights[IMAGE_POSITIONS] = torch.cat([torch.zeros(1, config.embed_dim), table.flatten(0, 1)])
    resized = resize_image_positions(weights, config, trained=48, wanted=96)[IMAGE_POSITIONS]
    grid = resized[1:].view(side, side, -1)
    assert bool((grid[:, 0, 0].diff() >= 0).all())
    assert bool((grid[0, :, 1].diff() >= 0).all())
    # Three positions, 0 to 2, spread over six.
    assert (float(grid[0, 0, 0]), float(grid[-1, 0, 0])) == (0.0, 2.0)


def test_all_else_is_strict() -> None:
    weights = model(LARGE).state_dict()
    with pytest.raises(CheckpointError, match=r"of another shape: encoder\.embed_positions"):
        load_reference_state_dict(model(SMALL), fit_positions(weights, SMALL))
    weights = model(SMALL).state_dict() | derived_buffers(SMALL)
    weights["decoder.image_rp_bucket"] = weights["decoder.image_rp_bucket"] + 1
    with pytest.raises(CheckpointError, match="belongs to another position scheme"):
        fit_positions(weights, LARGE, source="x.pt")
    with pytest.raises(ConfigError, match="must be 16 to 96 pixels, got 112"):
        resize_image_positions(weights, SMALL, trained=64, wanted=112)
