"""Decoding hostile and unusual images; preprocessing equal to torchvision's."""

import io
import tracemalloc

import numpy as np
import pytest
import torch
from data_samples import encoded, photo, png_header
from PIL import Image

from biomedgpt.data.imaging.images import (
    IMAGENET,
    decode_image,
    open_image,
    preprocess,
    stored_image,
)
from biomedgpt.data.imaging.raster import image_size
from biomedgpt.data.imaging.size_limits import MAX_PIXELS
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


def test_files_that_cannot_be_read_are_named_once(tmp_path):
    missing = tmp_path / "gone.jpg"
    with pytest.raises(DataError, match=rf"^cannot read image {missing}: No such file"):
        open_image(missing)
    with pytest.raises(DataError, match=r"^row 3: a.b: cannot read image .*null byte"):
        open_image("a\0b", where="row 3")
    with pytest.raises(DataError, match=r"is not a file$"):
        open_image(tmp_path)
    with pytest.raises(DataError, match=r"^row 3: x+: cannot read image .*too long"):
        open_image("x" * 5000, where="row 3")


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


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def test_what_is_transparent_is_white():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 0] = 200
    pixels[0, :, 3] = [255, 0]
    pixels[1, :, 3] = [128, 1]
    image = np.asarray(decode_image(saved(Image.fromarray(pixels), "PNG"), where="x"))
    assert image[0].tolist() == [[200, 0, 0], [255, 255, 255]]
    assert np.abs(image[1, 0].astype(int) - [227, 127, 127]).max() <= 1
    assert image[1, 1, 1] == 254
    assert np.array_equal(image, open_image(pixels))
    grey = Image.fromarray(pixels).convert("LA")
    assert decode_image(saved(grey, "PNG"), where="x").getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_entry(format):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    decoded = decode_image(saved(image, format, transparency=1), where="x")
    assert np.asarray(decoded).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_a_transparent_colour_of_a_png():
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    decoded = decode_image(saved(image, "PNG", transparency=(4, 5, 6)), where="x")
    assert np.asarray(decoded).tolist() == [[[1, 2, 3], [255, 255, 255]]]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright(format, orientation):
    drawn = np.zeros((32, 48), np.uint8)
    drawn[:16, :16] = 250  # the corner on the top left
    drawn[:16, 16:32] = 120
    steps = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(steps[orientation](drawn)), format, exif=exif)
    upright = np.asarray(decode_image(data, where="x"))[..., 0]
    assert upright.shape == (32, 48)
    assert np.abs(upright.astype(int) - drawn)[4:12, 4:28].max() < 30
    assert image_size(data) == (48, 32)
    assert np.array_equal(np.asarray(open_image(Image.open(io.BytesIO(data))))[..., 0], upright)


def test_damaged_exif_does_not_make_an_image_bad():
    data = bytearray(saved(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    assert decode_image(bytes(data), where="x").size == (8, 8)


def test_cmyk_of_adobe_and_of_others():
    colours = Image.new("CMYK", (16, 16), (0, 200, 30, 10))
    data = saved(colours, "JPEG", quality=95)  # Pillow writes them inverted, as Adobe does
    expected = np.asarray(colours.convert("RGB"))[0, 0].astype(int)
    assert np.abs(np.asarray(decode_image(data, where="x")).astype(int) - expected).max() < 6
    marker = data.index(b"\xff\xee")
    length = int.from_bytes(data[marker + 2 : marker + 4])
    other = data[:marker] + data[marker + 2 + length :]  # the same values, not inverted
    plain = np.asarray(decode_image(other, where="x")).astype(int)
    inverted = Image.new("CMYK", (16, 16), (255, 55, 225, 245))
    assert np.abs(plain - np.asarray(inverted.convert("RGB"))[0, 0]).max() < 6


def test_lab():
    pytest.importorskip("PIL.ImageCms")
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (136, 208, 195)])
    pixel = np.asarray(decode_image(saved(lab, "TIFF"), where="x"))[0, 0].astype(int)
    assert pixel[0] > pixel[1] + 100  # a strong red in CIELAB
    assert np.abs(pixel - [255, 0, 0])[0] < 60


def test_pages_of_a_tiff_and_frames_of_a_gif():
    pages = [Image.new("L", (8 + n, 8), 50 * n + 50) for n in range(3)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert decode_image(data, where="x").getpixel((0, 0))[0] == 50
    third = decode_image(data, where="x", frame=2)
    assert (third.size, third.getpixel((0, 0))[0]) == ((10, 8), 150)
    with pytest.raises(DataError, match=r"^x: no frame 3; the image has 3 frames \(0 to 2\)"):
        decode_image(data, where="x", frame=3)
    same = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in (10, 90)]
    data = saved(same[0], "GIF", save_all=True, append_images=same[1:])
    assert decode_image(data, where="x").getpixel((0, 0)) == (10, 0, 0)
    assert decode_image(data, where="x", frame=1).getpixel((0, 0)) == (90, 0, 0)
    with pytest.raises(DataError, match=r"the image has 1 frame \(0 to 0\)"):
        decode_image(photo(), where="x", frame=1)
    kept = stored_image(data, where="x", frame=1)
    assert decode_image(kept, where="x").getpixel((0, 0)) == (90, 0, 0)
    assert stored_image(data, where="x") is data


def test_white_may_be_zero_in_deep_tiffs():
    values = np.linspace(0, 60000, 64, dtype=np.uint16).reshape(8, 8)
    tags = {262: 0}
    grey = np.asarray(
        decode_image(saved(Image.fromarray(values), "TIFF", tiffinfo=tags), where="x")
    )
    assert (grey[0, 0, 0], grey[-1, -1, 0]) == (255, 0)


def test_float_tiff_and_one_bit():
    values = np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8)
    grey = np.asarray(decode_image(saved(Image.fromarray(values), "TIFF"), where="x"))[..., 0]
    assert np.array_equal(grey, np.rint((values.astype(float) + 3) * 255 / 8))
    bits = np.eye(8, dtype=bool)
    grey = np.asarray(decode_image(saved(Image.fromarray(bits), "PNG"), where="x"))[..., 0]
    assert np.array_equal(grey, bits * 255)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 7], [200, 255]], np.uint8), [[0, 7], [200, 255]]),
        (np.array([[False, True]]), [[0, 255]]),
        (np.array([[1000, 2000, 3000]], np.uint16), [[0, 128, 255]]),
        (np.array([[-1000, 0, 1000]], np.int16), [[0, 128, 255]]),
        (np.array([[0.0, 0.5, 1.0]]), [[0, 128, 255]]),
        (np.array([[0.25, 0.5]], np.float16), [[64, 128]]),
        (np.array([[-2.0, 0.0, 2.0]], np.float32), [[0, 128, 255]]),
        (np.array([[[5], [9]]], np.uint8), [[5, 9]]),
        (np.full((1, 2), 3000, np.uint16), [[0, 0]]),
    ],
    ids=["uint8", "bool", "uint16", "int16", "share", "half", "float", "one channel", "flat"],
)
def test_grey_arrays(array, expected):
    image = open_image(array)
    assert image.mode == "RGB"
    assert np.asarray(image)[..., 1].tolist() == expected


def test_colour_arrays():
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert np.array_equal(open_image(colours), colours)
    assert np.array_equal(open_image(colours[:, ::-1]), colours[:, ::-1])  # not contiguous
    assert np.array_equal(open_image(colours.astype(np.uint16) * 257), colours)
    assert np.array_equal(open_image(colours / 255.0), colours)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 9, 9), np.uint8), r"array of shape \(3, 9, 9\), must be \(H, W\), \(H, W, 3"),
        (np.zeros(9), r"array of shape \(9,\)"),
        (np.zeros((0, 4), np.uint8), "image of 4 x 0 has no pixels"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000)), "more than 100,000,000 pixels"),
        (np.full((2, 2), np.nan), "not finite"),
        (np.full((2, 2, 3), 200.0), "colours from 200 to 200, must be from 0 to 1, or uint8"),
        (np.zeros((2, 2), complex), "pixels of type complex128"),
        (np.full((2, 2), "x"), "pixels of type <U1"),
        (np.full((2, 2), None), "pixels of type object"),
    ],
)
def test_arrays_that_are_no_images(array, message):
    with pytest.raises(DataError, match=f"^row 7: .*{message}"):
        open_image(array, where="row 7")


def test_other_things_are_no_images():
    with pytest.raises(DataError, match=r"^image: neither a file.*nor a Pillow image but list"):
        open_image([[0, 1]])
    with pytest.raises(DataError, match="only files have frames"):
        open_image(np.zeros((4, 4)), frame=1)


def test_paths_bytes_arrays_and_pillow_images_are_the_same(tmp_path):
    data = photo("PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    opened = Image.open(path)
    images = [open_image(one) for one in (path, str(path), data, opened, np.asarray(opened))]
    for image in images:
        assert np.array_equal(image, images[0])
    assert opened.format == "PNG"


def test_a_pillow_image_that_is_damaged_is_an_error():
    with pytest.raises(DataError, match=r"^row 7: image file is truncated"):
        open_image(Image.open(io.BytesIO(photo()[:-2000])), where="row 7")


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
    from biomedgpt.examples.augmentation import Augmentation

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    augment = Augmentation(32, IMAGENET, strength=strength)
    before = torch.random.get_rng_state()
    first, again, other = (augment(image, seed=seed) for seed in (5, 5, 6))
    assert first.shape == (3, 32, 32)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
