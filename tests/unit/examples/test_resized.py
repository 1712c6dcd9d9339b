"""Images that are kept for the next question."""

import pickle

import numpy as np
import pytest
from data_samples import encoded, photo

from biomedgpt.data.imaging.images import HALF, decode_image, normalize, preprocess
from biomedgpt.errors import DataError
from biomedgpt.examples import resized
from biomedgpt.examples.resized import ResizedImages


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The images that were decoded, in order."""
    seen: list[bytes] = []

    def record(data: bytes, *, where: str):
        seen.append(data)
        return decode_image(data, where=where)

    monkeypatch.setattr(resized, "decode_image", record)
    return seen


def test_same_pixels_and_decoded_once(decoded: list[bytes]) -> None:
    images, data = ResizedImages(32), photo()
    expected = preprocess(decode_image(data, where=""), 32)
    for _ in range(2):
        found = normalize(images(data, where="row 1"), HALF)
        np.testing.assert_array_equal(found, expected)
        found[:] = 0  # what was kept must not change with it
    assert decoded == [data]


def test_longest_unused_goes_first(decoded: list[bytes]) -> None:
    images = ResizedImages(8, most_bytes=2 * 3 * 8 * 8)
    a, b, c = (encoded((value, 0, 0)) for value in (1, 2, 3))
    for data in (a, b, a, c, a, b):
        images(data, where="")
    assert decoded == [a, b, c, b]


def test_nothing_kept_where_nothing_fits(decoded: list[bytes]) -> None:
    images = ResizedImages(64, most_bytes=100)
    for _ in range(2):
        images(encoded(), where="")
    assert len(decoded) == 2


def test_travels_without_its_pixels() -> None:
    images = ResizedImages(64)
    images(photo(), where="")
    assert len(pickle.dumps(images)) < 1000


def test_damaged_image_is_named_each_time() -> None:
    images = ResizedImages(32)
    for row in (1, 2):
        with pytest.raises(DataError, match=f"row {row}"):
            images(photo()[:2000], where=f"row {row}")
