"""Slices of NIfTI volumes: which one, which way up, which shades; damaged and hostile files."""

import gzip
import sys

import numpy as np
import pytest
from imaging_samples import nifti, write

from biomedgpt.data.imaging import nifti as module
from biomedgpt.data.imaging.images import open_image
from biomedgpt.errors import ConfigError, DataError

nibabel = pytest.importorskip("nibabel")

SHAPE = (6, 7, 9)
"""Voxels to the right, to the front, to the head."""


def body() -> np.ndarray:
    """A volume whose bytes tell the place: right, front, head."""
    x, y, z = np.indices(SHAPE)
    return (x * 40 + y * 5 + z * 1).astype(np.uint8)


def expected(z: int) -> np.ndarray:
    """What a radiologist sees: rows from the front, columns from the patient's right."""
    return body()[::-1, ::-1, z].T


def turned(axes: str) -> np.ndarray:
    """The volume as stored when its axes go into the given directions."""
    order = ["RL", "AP", "SI"]
    places = [next(i for i, pair in enumerate(order) if axis in pair) for axis in axes]
    volume = body().transpose(places)
    return volume[tuple(slice(None, None, -1 if axis in "LPI" else 1) for axis in axes)]


def shown(data, frame=None) -> np.ndarray:
    return np.asarray(open_image(data, where="x", frame=frame))[..., 0]


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SAL", "ASR", "IRP"])
@pytest.mark.parametrize("compress", [False, True])
def test_slices_stand_as_radiologists_see_them(axes, compress, tmp_path):
    path = write(tmp_path / "a.nii", nifti(turned(axes), axes=axes), compress=compress)
    assert np.array_equal(shown(path), expected(SHAPE[2] // 2))
    for z in (0, 8):
        assert np.array_equal(shown(path, z), expected(z))
        assert np.array_equal(shown(path.read_bytes(), z), expected(z))
    with pytest.raises(DataError, match=r"a\.nii: no frame 9; the image has 9 frames \(0 to 8\)"):
        shown(path, 9)


def test_other_values_are_stretched_or_shown_as_the_header_says():
    values = body().astype(np.int16) * 10 - 500
    one = values[::-1, ::-1, 4].T.astype(float)
    stretched = np.rint((one - one.min()) * 255 / np.ptp(one))
    assert np.array_equal(shown(nifti(values)), stretched)
    window = nifti(values, cal_min=0, cal_max=1000)
    assert np.array_equal(shown(window), np.rint(one.clip(0, 1000) * 255 / 1000))
    scaled = nifti(body())
    # slope and intercept, where the format has them
    scaled = scaled[:112] + np.array([-2, 3], "<f4").tobytes() + scaled[120:]
    assert np.array_equal(shown(scaled), np.rint(255 - stretched))
    for dtype in (np.float32, np.float64, ">i2", np.uint32):
        assert np.array_equal(shown(nifti((values + 500).astype(dtype))), stretched)


def test_masked_voxels_are_black():
    values = body().astype(np.float32)
    values[0] = np.nan
    values[1, 0] = np.inf
    grey = shown(nifti(values))
    assert not grey[:, -1].any()
    assert grey[-1, -2] == 0
    assert grey.max() == 255
    with pytest.raises(DataError, match="x: a NIfTI slice without finite values"):
        shown(nifti(np.full(SHAPE, np.nan, np.float32)))


def test_of_several_volumes_the_first():
    both = np.stack([body(), 255 - body()], axis=-1)
    assert np.array_equal(shown(nifti(both)), expected(4))


def test_a_flat_image_is_a_slice():
    flat = body()[:, :, 4]
    assert np.array_equal(shown(nifti(flat)), expected(4))


def test_colour():
    colours = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    colours["R"], colours["B"] = body(), 255 - body()
    image = np.asarray(open_image(nifti(colours)))
    assert np.array_equal(image[..., 0], expected(4))
    assert np.array_equal(image[..., 2], 255 - expected(4))


def test_second_version_of_the_format():
    data = nibabel.Nifti2Image(body(), np.eye(4)).to_bytes()
    assert np.array_equal(shown(data), expected(4))
    assert np.array_equal(shown(gzip.compress(data)), expected(4))


def header(**fields) -> bytes:
    """A whole file with other values in its header."""
    data = nifti(body())
    made = nibabel.Nifti1Header(data[:348])
    for name, value in fields.items():
        made[name] = value
    return made.binaryblock + data[348:]


BAD = {
    "truncated": (lambda: nifti(body())[:-10], "truncated NIfTI file"),
    "only a header": (lambda: nifti(body())[:352], "truncated NIfTI file"),
    "huge": (lambda: header(dim=[3, 30000, 30000, 1, 1, 1, 1, 1]), "more than 100,000,000 pixels"),
    "long": (lambda: header(dim=[3, 5000, 5000, 5000, 1, 1, 1, 1]), "bytes; at most 4,294,967,296"),
    "negative": (lambda: header(dim=[3, -6, 7, 9, 1, 1, 1, 1]), "damaged NIfTI header"),
    "no dimensions": (lambda: header(dim=[0, 6, 7, 9, 1, 1, 1, 1]), "damaged NIfTI header"),
    "type": (lambda: header(datatype=77), "damaged NIfTI header"),
    "complex": (lambda: header(datatype=32), "NIfTI voxels of type complex64 are not read"),
    "directions": (
        lambda: header(sform_code=1, srow_x=0, srow_y=0, srow_z=0),
        "damaged NIfTI header",
    ),
    "damaged gzip": (lambda: gzip.compress(nifti(body()))[:-60], "truncated or damaged NIfTI"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line(name):
    make, message = BAD[name]
    with pytest.raises(DataError, match=f"^x: .*{message}") as caught:
        shown(make(), 8)
    assert "\n" not in str(caught.value)


def test_no_more_is_unfolded_than_the_slice_needs(tmp_path, monkeypatch):
    """A file of a few kilobytes that would unfold to gigabytes, with a header that is honest."""
    block = bytes(1 << 20)
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header())
        for _ in range(300):
            file.write(block)
    read = []
    original = gzip.GzipFile.read

    def count(self, size=-1):
        data = original(self, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", count)
    assert np.array_equal(shown(path), expected(4))
    assert sum(read) < 10_000


def test_a_header_that_says_more_than_the_file_can_hold(tmp_path):
    path = write(tmp_path / "a.nii.gz", header(dim=[3, 9000, 9000, 50, 1, 1, 1, 1]), compress=True)
    with pytest.raises(DataError, match=r"truncated NIfTI file \(a volume of 4,050,000,000 bytes"):
        shown(path)


def test_without_nibabel_the_package_is_named(monkeypatch):
    data = nifti(body())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ConfigError, match="NIfTI files need nibabel; run: pip install nibabel"):
        shown(data)


def test_gzip_of_something_else_is_no_image():
    assert not module.is_nifti(gzip.compress(b"text" * 300))
    with pytest.raises(DataError, match="x: not an image of a known kind"):
        shown(gzip.compress(b"text" * 300))
