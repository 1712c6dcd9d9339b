"""The reader of MedMNIST files, on small ones and on a real one."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_samples import nothing_left
from PIL import Image
from raw_releases.medmnist import NAMES, arrays

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.readers import medmnist as reader
from biomedgpt.data.registry import get_spec
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import ConfigError, DataError

NAME = "pneumoniamnist"


def run(raw, out, name=NAME, **options):
    options = {"vocabulary": False} | options
    return prepare(name, raw=raw, out=out, options=PrepareOptions(**options))


def write(raw, name=NAME, file=None, **changes):
    raw.mkdir(exist_ok=True)
    np.savez_compressed(raw / (file or f"{name}.npz"), **arrays(name) | changes)
    return raw


@pytest.mark.parametrize("name", NAMES)
def test_registry_agrees_with_the_package(name):
    from medmnist import INFO

    spec, info = get_spec(name), INFO[name]
    assert [*spec.expected.values()] == [info["n_samples"][s] for s in ("train", "val", "test")]
    assert spec.licence == info["license"]
    assert all(info[key].startswith(spec.source) for key in ("url", "url_64", "url_128", "url_224"))
    assert spec.title.startswith(f"{info['python_class']}: ")
    # The published code has these very texts; white space and capitals are as they were.
    assert reader.class_names(info) == [*info["label"].values()]


def test_splits_classes_and_pixels_are_those_of_the_file(tmp_path):
    raw = write(tmp_path / "raw")
    card = run(raw, tmp_path / "out")
    dataset = PreparedDataset(tmp_path / "out")
    released = arrays(NAME)
    assert dataset.splits == ["train", "valid", "test"]
    assert card.answers == ["normal", "pneumonia"]
    row = dataset.split("valid")[3]
    assert (row["id"], row["answer"], row["image_name"]) == ("val3", "pneumonia", "val3.png")
    image = Image.open(io.BytesIO(row["image"]))
    assert (image.format, image.mode) == ("PNG", "L")
    assert np.array_equal(np.asarray(image), released["val_images"][3])
    assert "pneumoniamnist: 12 train, the official release has 4,708" in count_differences(card)


def test_colour_stays_colour(tmp_path):
    raw = write(tmp_path / "raw", "bloodmnist")
    run(raw, tmp_path / "out", "bloodmnist")
    row = PreparedDataset(tmp_path / "out").split("train")[3]
    assert row["answer"] == "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)"
    pixels = np.asarray(Image.open(io.BytesIO(row["image"])))
    assert np.array_equal(pixels, arrays("bloodmnist")["train_images"][3])


def test_size_and_checksum_are_recorded(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    write(raw, file=f"{NAME}_64.npz", **arrays(NAME, size=64))
    with pytest.raises(DataError, match=r"lacks 'pneumoniamnist\.npz'.*add --image-size 64"):
        run(raw, tmp_path / "out")
    card = run(raw, tmp_path / "out", image_size=64)
    assert card.image_size["max"] == [64, 64]
    assert card.preparation["image_size"] == 64
    assert card.preparation["md5_matches"].startswith("no, the released file has 8f4eceb4")
    from medmnist import INFO

    monkeypatch.setitem(INFO[NAME], "MD5_64", card.preparation["md5"])
    again = run(raw, tmp_path / "again", image_size=64)
    assert again.preparation["md5_matches"] == "yes"
    with pytest.raises(ConfigError, match="comes in 28, 64, 128, 224 pixels"):
        run(raw, tmp_path / "other", image_size=32)


def test_a_bad_label_is_one_error_or_skipped(tmp_path):
    labels = arrays(NAME)["train_labels"]
    labels[4] = 2
    raw = write(tmp_path / "raw", train_labels=labels)
    out = tmp_path / "parent" / "out"
    place = r"raw/pneumoniamnist\.npz: train row 5: label 2, must be 0 to 1"
    with pytest.raises(DataError, match=f"{place}.*--skip-bad"):
        run(raw, out)
    assert nothing_left(tmp_path / "parent")
    card = run(raw, out, skip_bad=True)
    assert card.counts["train"] == 11
    assert card.preparation["skipped"] == 1
    ids = PreparedDataset(out).split("train").column("id")
    assert "train4" not in ids
    assert "train5" in ids


def test_labels_may_be_flat_and_of_any_whole_type(tmp_path):
    labels = arrays(NAME)["train_labels"].reshape(-1).astype(np.int64)
    labels[0] = -1
    raw = write(tmp_path / "raw", train_labels=labels)
    with pytest.raises(DataError, match="train row 1: label -1"):
        run(raw, tmp_path / "out")
    labels[0] = 1
    write(raw, train_labels=labels)
    assert run(raw, tmp_path / "out").counts["train"] == 12


BAD_ARRAYS = {
    "another size": ("val_images", np.zeros((4, 32, 32), np.uint8), r"must be N x 28 x 28 uns"),
    "colour": ("val_images", np.zeros((4, 28, 28, 3), np.uint8), "is this file of another dataset"),
    "floats": ("test_images", np.zeros((6, 28, 28)), "type float64"),
    "one image less": ("test_images", np.zeros((5, 28, 28), np.uint8), "5 images and 6 labels"),
    "several labels": ("val_labels", np.zeros((4, 14), np.uint8), r"shape \(4, 14\)"),
    "no whole labels": ("val_labels", np.zeros((4, 1)), "must be whole numbers"),
    "objects": ("val_labels", np.array([[None]] * 4), "'val_labels' cannot be read"),
    "object images": ("val_images", np.array([[None]] * 4), "it holds pickled objects; refused"),
    "columns first": (
        "val_images",
        np.asfortranarray(np.zeros((4, 28, 28), np.uint8)),
        "stored column by column",
    ),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_of_another_form_are_refused(tmp_path, name):
    key, array, message = BAD_ARRAYS[name]
    raw = write(tmp_path / "raw", **{key: array})
    with pytest.raises(DataError, match=message) as caught:
        run(raw, tmp_path / "out", skip_bad=True)
    assert str(raw / "pneumoniamnist.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_refused(tmp_path):
    raw = write(tmp_path / "raw")
    path = raw / "pneumoniamnist.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"pneumoniamnist\.npz: array 'train_labels' cannot be rea"):
        run(raw, tmp_path / "out")
    path.write_text("<html>not here</html>")
    with pytest.raises(DataError, match=r"pneumoniamnist\.npz: array 'train_labels' cannot be rea"):
        run(raw, tmp_path / "out")
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match="no array 'train_labels'; is this a MedMNIST release"):
        run(raw, tmp_path / "out")
    changed = bytearray(whole)
    changed[5000] ^= 0xFF  # within the pixels of the training images
    path.write_bytes(changed)
    with pytest.raises(DataError, match="'train_images' cannot be read"):
        run(raw, tmp_path / "out")


def test_an_array_that_ends_early_is_refused(tmp_path):
    raw = write(tmp_path / "raw")
    path = raw / "pneumoniamnist.npz"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["test_images.npy"] = members["test_images.npy"][:-10]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match="test row 6: the file ends within this image"):
        run(raw, tmp_path / "out")


@pytest.fixture
def fetch(monkeypatch):
    """What the package's download gets, instead of the network; None stands for no network."""
    content = {"bytes": None}

    def pretend(url, root, filename, md5):
        del url, md5
        if content["bytes"] is None:
            raise OSError("no route to host")
        Path(root, filename).write_bytes(content["bytes"])

    monkeypatch.setattr("torchvision.datasets.utils.download_url", pretend)
    return content


def test_download_goes_through_the_package(tmp_path, fetch, monkeypatch):
    from medmnist import INFO

    fetch["bytes"] = (write(tmp_path / "there") / "pneumoniamnist.npz").read_bytes()
    raw = tmp_path / "new" / "raw"
    card = run(raw, tmp_path / "out", download=True)
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    assert [path.name for path in raw.iterdir()] == ["pneumoniamnist.npz"]
    with pytest.raises(ConfigError, match=r"pneumoniamnist\.npz is there and not the released"):
        run(raw, tmp_path / "again", download=True)
    monkeypatch.setitem(INFO[NAME], "MD5", card.preparation["md5"])
    fetch["bytes"] = None  # no network needed: the released file is there
    assert run(raw, tmp_path / "again", download=True).preparation["md5_matches"] == "yes"


def test_a_failed_download_says_what_to_do(tmp_path, fetch):
    raw = tmp_path / "raw"
    with pytest.raises(DataError, match=r"10519652/files/pneumoniamnist\.npz.*check the network"):
        run(raw, tmp_path / "out", download=True)
    assert list(raw.iterdir()) == []
    assert fetch["bytes"] is None


def test_the_real_pneumoniamnist(real_data, tmp_path):
    raw = real_data / "pneumoniamnist"
    if not raw.exists():
        pytest.skip(f"needs PneumoniaMNIST at {raw}")
    card = run(raw, tmp_path / "out")
    assert card.counts == {"train": 4708, "valid": 524, "test": 624}
    assert count_differences(card) == []
    assert card.majority_answer == "pneumonia"
    dataset = PreparedDataset(tmp_path / "out")
    with np.load(raw / "pneumoniamnist.npz", allow_pickle=False) as released:
        names = np.array(card.answers)
        for split, official in (("train", "train"), ("valid", "val"), ("test", "test")):
            answers = names[released[f"{official}_labels"].reshape(-1)]
            assert dataset.split(split).column("answer") == answers.tolist()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    raw = write(tmp_path / "raw")
    monkeypatch.setitem(sys.modules, "medmnist", None)
    with pytest.raises(ConfigError, match="pneumoniamnist needs medmnist; run: pip install medm"):
        run(raw, tmp_path / "out")
