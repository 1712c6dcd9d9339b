"""Code files: round trip, workers, foreign, damaged and hostile ones."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from data_samples import CODES, FACTS, encoded, files_of, vqa_row, write_sample

from biomedgpt.data.prepared.codes import CodesFile, codes_path, write_codes
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.errors import DataError


@pytest.fixture
def split(tmp_path):
    write_sample(tmp_path / "sample")
    return PreparedDataset(tmp_path / "sample").split("train")


def arrays(images=2):
    middle = np.arange(images * 4, dtype=np.int32).reshape(images, 4)
    whole = np.arange(images * 9, dtype=np.int32).reshape(images, 9) % 16
    return middle, whole


def test_codes_come_back_as_written(split):
    middle, whole = arrays()
    path = write_codes(split, CODES, middle, whole)
    assert path == split.folder / "train.codes.h5"
    codes = CodesFile(split)
    assert codes.info == CODES
    assert codes.info.num_codes == 16
    assert len(codes) == split.num_images
    for image in range(2):
        assert codes.middle(image) == middle[image].tolist()
        assert codes.whole(image) == whole[image].tolist()
    assert [int(n) for n in split.image_index] == [0, 0, 1, 1]  # rows find theirs by this
    PreparedDataset(split.folder).split("train")  # the dataset is as it was


def test_codes_of_the_middle_only(split):
    write_codes(split, replace(CODES, whole_size=0, whole_grid=0), arrays()[0])
    codes = CodesFile(split)
    assert codes.middle(1) == [4, 5, 6, 7]
    with pytest.raises(DataError, match="no codes of whole images; encode again with --whole-size"):
        codes.whole(0)


def test_a_missing_file_names_the_command(split):
    with pytest.raises(DataError, match=r"train\.codes\.h5: no such file.*`biomedgpt vqgan encode"):
        CodesFile(split)


def test_codes_of_other_images_are_refused(split, tmp_path):
    write_codes(split, CODES, *arrays())
    rows = [vqa_row(0, image=encoded((1, 2, 3))), vqa_row(1, image=encoded((4, 5, 6)))]
    write_dataset(tmp_path / "other", FACTS, {"train": rows})
    other = PreparedDataset(tmp_path / "other").split("train")
    codes_path(split).rename(codes_path(other))
    with pytest.raises(DataError, match="codes of other images than those of train"):
        CodesFile(other)


@pytest.mark.parametrize("value", [16, -1, 2**31 - 1])
def test_codes_out_of_range_are_refused(split, value):
    middle, whole = arrays()
    write_codes(split, CODES, middle, whole)
    with h5py.File(codes_path(split), "r+") as file:
        file["middle"][1, 2] = value
    message = rf"image 2: code {value} of 'middle' is out of range 0\.\.15; make it again"
    with pytest.raises(DataError, match=message):
        CodesFile(split)
    whole[0, 8] = value
    with pytest.raises(DataError, match="image 1: code"):
        write_codes(split, CODES, middle, whole)


def test_arrays_of_other_shapes_are_not_written(split):
    with pytest.raises(DataError, match="arrays of codes are"):
        write_codes(split, CODES, *arrays(images=3))
    assert files_of(split.folder) == {"dataset.json", "test.h5", "train.h5"}


def external(file):
    del file["middle"]
    file["middle"] = h5py.ExternalLink("other.h5", "/middle")


def chunked(file):
    del file["middle"]
    file.create_dataset("middle", data=arrays()[0], chunks=(1, 4))


def wrong_type(file):
    del file["middle"]
    file.create_dataset("middle", data=arrays()[0].astype(np.int64))


DAMAGE = {
    "another format": (lambda f: f.attrs.__setitem__("format", "x"), "not a file of image codes"),
    "another version": (lambda f: f.attrs.__setitem__("version", 9), "format version 9"),
    "no tokenizer": (lambda f: f.attrs.__delitem__("tokenizer"), "damaged HDF5 file"),
    "a number that is none": (lambda f: f.attrs.__setitem__("num_codes", "x"), "damaged HDF5"),
    "another grid": (lambda f: f.attrs.__setitem__("middle_grid", 3), "arrays of codes are"),
    "no array": (lambda f: f.__delitem__("whole"), "no whole"),
    "external link": (external, "link to elsewhere; refused"),
    "chunks": (chunked, "stored in chunks"),
    "64-bit codes": (wrong_type, "not an array of the expected kind"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_error(split, damage):
    change, message = DAMAGE[damage]
    write_codes(split, CODES, *arrays())
    with h5py.File(codes_path(split), "r+") as file:
        change(file)
    with pytest.raises(DataError, match=rf"train\.codes\.h5: .*{re.escape(message)}"):
        CodesFile(split)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_cut_file_is_one_error(split, kept):
    path = write_codes(split, CODES, *arrays())
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(DataError, match=r"train\.codes\.h5: "):
        CodesFile(split)


def test_a_full_disk_leaves_nothing(split, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(Exception, match="No space left"):
        write_codes(split, CODES, *arrays())
    assert not codes_path(split).exists()
    assert not any(name.startswith(".") for name in files_of(split.folder))
