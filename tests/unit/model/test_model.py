"""Sizes, positions and other things that a user of the model relies on."""

import pytest
import torch

from biomedgpt.checkpoints.state_dict import derived_buffers, load_reference_state_dict
from biomedgpt.errors import CheckpointError, ConfigError, DataError
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.model.positions import image_buckets, token_buckets


def meta(name: str, **options) -> BiomedGPT:
    with torch.device("meta"):
        return BiomedGPT(preset(name, **options))


@pytest.fixture(scope="module")
def nano() -> BiomedGPT:
    torch.manual_seed(0)
    return BiomedGPT(preset("nano", vocab_size=30)).eval()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("tiny", 33_488_336),
        ("medium", 92_892_000),
        ("base", 182_238_536),
        ("large", 472_977_152),
        ("xlarge", 929_486_848),
    ],
)
def test_parameter_counts(name: str, count: int) -> None:
    """The first four are the reference's own counts; for xlarge OFA's card says 930M."""
    assert meta(name).num_parameters() == count


def test_unknown_sizes_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="giant"):
        preset("giant")
    with pytest.raises(ConfigError, match="droput"):
        preset("tiny", droput=0.1)


def test_reference_keys_load_one_to_one(nano: BiomedGPT) -> None:
    other = BiomedGPT(nano.config)
    # A released file also holds what follows from the configuration.
    load_reference_state_dict(other, nano.state_dict() | derived_buffers(nano.config))
    for key, value in nano.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
    assert other.decoder.output_projection.weight is other.encoder.embed_tokens.weight


def test_each_kind_of_wrong_key_is_listed(nano: BiomedGPT) -> None:
    state = dict(nano.state_dict())
    del state["encoder.layers.0.fc1.weight"]
    state["encoder.layers.0.adapter.weight"] = torch.zeros(1)
    state["decoder.pos_ln.weight"] = torch.zeros(5)
    with pytest.raises(CheckpointError) as error:
        load_reference_state_dict(BiomedGPT(nano.config), state, source="file.pt")
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "file.pt",
        "1 missing: encoder.layers.0.fc1.weight",
        "1 unexpected: encoder.layers.0.adapter.weight",
        "1 of another shape: decoder.pos_ln.weight is (5,), not (128,)",
    ):
        assert part in message


def test_a_wrong_size_is_named(nano: BiomedGPT) -> None:
    with pytest.raises(CheckpointError, match="these are nano weights; you asked for tiny"):
        load_reference_state_dict(meta("tiny", vocab_size=30), nano.state_dict())
    with pytest.raises(CheckpointError, match="vocabulary has 30 entries, the model's 31"):
        load_reference_state_dict(meta("nano", vocab_size=31), nano.state_dict())


def test_weights_of_another_position_scheme_are_refused(nano: BiomedGPT) -> None:
    state = nano.state_dict() | derived_buffers(nano.config)
    state["encoder.token_rp_bucket"] = state["encoder.token_rp_bucket"] + 1
    with pytest.raises(CheckpointError, match="position scheme"):
        load_reference_state_dict(BiomedGPT(nano.config), state)


def test_untied_embeddings_are_refused(nano: BiomedGPT) -> None:
    state = dict(nano.state_dict())
    state["decoder.output_projection.weight"] = torch.zeros(30, 128)
    with pytest.raises(CheckpointError, match="output_projection"):
        load_reference_state_dict(BiomedGPT(nano.config), state)


def test_token_buckets_are_exact_near_and_coarse_far() -> None:
    buckets = token_buckets(1024, 256, device=torch.device("cpu"))
    assert buckets.shape == (1024, 1024)
    assert buckets.min() == 0
    assert buckets.max() == 510
    assert buckets[200, 100] == 255 + 100
    assert len(set(buckets[0, 512:].tolist())) < 50
    assert (buckets + buckets.T == 510).all()


def test_image_buckets_see_rows_and_columns() -> None:
    positions = torch.tensor([0, 1, 2, 1 + 42])
    buckets = image_buckets(positions, 42)
    assert buckets[1, 1] == buckets[2, 2] == buckets[3, 3]
    assert buckets[2, 1] - buckets[1, 1] == 1
    assert buckets[3, 1] - buckets[1, 1] == 83
    assert len({int(buckets[0, 0]), int(buckets[0, 1]), int(buckets[1, 0])}) == 3


def test_rows_do_not_depend_on_their_neighbours(nano: BiomedGPT) -> None:
    torch.manual_seed(1)
    src = torch.randint(4, 30, (2, 9))
    src[1, 4:] = 1
    prev = torch.randint(4, 30, (2, 5))
    images = torch.randn(2, 3, 48, 32)
    masks = torch.tensor([True, False])
    codes = torch.tensor([False, True])
    with torch.no_grad():
        both = nano(src, prev, images, masks, codes)
        first = nano(src[:1], prev[:1], images[:1])
        second = nano(src[1:, :4], prev[1:], code_masks=codes[1:])
    assert torch.allclose(both[0], first[0], atol=1e-5)
    assert torch.allclose(both[1], second[0], atol=1e-5)


def test_sampled_patches_keep_their_positions(nano: BiomedGPT) -> None:
    """All patches in another order are the same function: order carries no position."""
    torch.manual_seed(2)
    src = torch.randint(4, 30, (2, 5))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole = nano.encoder(src, images).hidden
        fewer = nano.encoder(src, images, sample_patch_num=7).hidden
        almost = nano.encoder(src, images, sample_patch_num=15).hidden
    assert whole.shape == (2, 21, 128)
    assert fewer.shape == (2, 12, 128)
    # Fifteen of sixteen patches say nearly the same of the text as all of them.
    assert (whole[:, -5:] - almost[:, -5:]).norm() < (whole[:, -5:] - fewer[:, -5:]).norm()


def test_larger_images_interpolate_positions() -> None:
    torch.manual_seed(3)
    model = BiomedGPT(
        preset("nano", vocab_size=30, interpolate_position=True, orig_patch_image_size=32)
    ).eval()
    src = torch.randint(4, 30, (1, 5))
    small, large = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        model.encoder.embed_image_positions.weight[3:43] += 5  # outside the original 2 x 2 grid
        before = model.encoder(src, large).position
        model.encoder.embed_image_positions.weight[3:43] -= 5
        after = model.encoder(src, large).position
        assert model.encoder(src, small).position.shape == (1, 4 + 5, 128)
    assert torch.equal(before, after)


def test_inputs_beyond_the_position_tables_are_refused(nano: BiomedGPT) -> None:
    with pytest.raises(DataError, match="1025 tokens"):
        nano.encoder(torch.full((1, 1025), 5))
    with pytest.raises(DataError, match="43x1 patches"):
        nano.encoder(torch.full((1, 3), 5), torch.zeros(1, 3, 43 * 16, 16))


def test_several_scales_add_detail_but_no_patches_and_no_weights(nano: BiomedGPT) -> None:
    model = BiomedGPT(nano.config.replace(image_scales=2)).eval()
    model.load_state_dict(nano.state_dict())
    tokens = torch.tensor([[0, 5, 6, 2]])
    coarse = torch.randn(1, 3, 64, 64)
    fine = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="nearest")
    with torch.no_grad():
        whole = nano.encoder(tokens, coarse).hidden
        both = model.encoder(tokens, fine).hidden
        # A checkerboard of single pixels vanishes where the image is scaled down by two.
        board = torch.ones(1, 1, 128, 128)
        board[..., ::2, ::2] = board[..., 1::2, 1::2] = -1.0
        detailed = model.encoder(tokens, fine + board).hidden
    assert both.shape == whole.shape
    assert not torch.allclose(both, detailed, atol=1e-3)
    shrunk = torch.nn.functional.interpolate(fine, size=(64, 64), mode="bilinear", antialias=True)
    maps = [nano.encoder.embed_images(image) for image in (shrunk, fine)]
    expected = (maps[0] + torch.nn.functional.avg_pool2d(maps[1], 2)) / 2
    torch.testing.assert_close(model.encoder._features(fine), expected)
    with pytest.raises(DataError, match="its sides must be multiples of 32"):
        model.encoder(tokens, torch.randn(1, 3, 80, 80))


def test_images_need_not_be_multiples_of_a_patch(nano: BiomedGPT) -> None:
    hidden = nano.encoder(torch.full((1, 3), 5), torch.zeros(1, 3, 50, 33)).hidden
    assert hidden.shape == (1, 4 * 3 + 3, 128)
