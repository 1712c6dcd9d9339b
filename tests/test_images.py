"""Decoding hostile and unusual images; preprocessing equal to torchvision's."""

import io
import tracemalloc

import numpy as np
import pytest
import torch
from data_samples import encoded, photo, png_header
from PIL import Image

from biomedgpt.data.images import IMAGENET, MAX_PIXELS, decode_image, preprocess
from biomedgpt.errors import DataError


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
def test_common_formats_decode_to_rgb(format):
    image = decode_image(encoded(format=format), where="x")
    assert (image.mode, image.size) == ("RGB", (12, 8))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image"),
        (b"<html>not found</html>", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (photo()[:-2000], "damaged"),
        (photo("PNG")[:-500], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
    ],
    ids=["empty", "html", "only a signature", "truncated jpeg", "truncated png", "postscript"],
)
def test_bad_images_are_refused_by_name(data, reason):
    with pytest.raises(DataError, match=f"^row 7: .*{reason}"):
        decode_image(data, where="row 7")


@pytest.mark.parametrize("side", [10_001, 30_000])
def test_a_decompression_bomb_is_refused_without_decoding(side):
    assert side * side > MAX_PIXELS
    bomb = png_header(side, side)
    tracemalloc.start()
    with pytest.raises(DataError, match="more than 100,000,000 pixels"):
        decode_image(bomb, where="bomb")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"row 3.*gone\.jpg"):
        decode_image(tmp_path / "gone.jpg", where="row 3")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK"])
def test_eight_bit_modes_are_converted_as_the_reference_does(mode):
    image = Image.open(io.BytesIO(photo("PNG"))).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    stored = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    assert np.array_equal(decode_image(buffer.getvalue(), where="x"), stored)


def test_sixteen_bit_greyscale_is_scaled_not_clipped():
    values = np.linspace(1000, 5000, 64, dtype=np.uint16).reshape(8, 8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    grey = np.asarray(decode_image(buffer.getvalue(), where="x"))[..., 0]
    assert grey.min() == 0
    assert grey.max() == 255
    assert (np.diff(grey.ravel().astype(int)) > 0).all()


def test_pixels_that_are_not_numbers_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)).save(buffer, "TIFF")
    with pytest.raises(DataError, match="not finite"):
        decode_image(buffer.getvalue(), where="x")


@pytest.mark.parametrize("size", [17, 256])
def test_preprocess_equals_torchvision(size):
    transforms = pytest.importorskip("torchvision.transforms")
    image = decode_image(photo(), where="x")
    expected = transforms.Compose(
        [
            transforms.Resize((size, size), interpolation=Image.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )(image)
    array = preprocess(image, size)
    assert (array.shape, array.dtype) == ((3, size, size), np.float32)
    assert np.array_equal(array, expected.numpy())


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_augmentation_changes_with_the_seed_alone(strength):
    pytest.importorskip("torchvision")
    from biomedgpt.data.augmentation import Augmentation

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    augment = Augmentation(32, IMAGENET, strength=strength)
    before = torch.random.get_rng_state()
    first, again, other = (augment(image, seed=seed) for seed in (5, 5, 6))
    assert first.shape == (3, 32, 32)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
