"""The reader of the chest X-rays of Shenzhen and Montgomery County."""

import shutil
from collections import Counter

import pytest
from data_samples import nothing_left
from raw_releases.all import build

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError

SPLITS = ("train", "valid", "test")


def run(raw, out, name="sz-cxr", **options):
    options = {"vocabulary": False} | options
    return prepare(name, raw=raw, out=out, options=PrepareOptions(**options))


def members(out):
    dataset = PreparedDataset(out)
    return {name: dataset.split(name).column("id") for name in dataset.splits}


def test_the_split_is_stratified_and_seeded(tmp_path):
    raw = build("sz-cxr", tmp_path / "raw")
    card = run(raw, tmp_path / "out")
    assert card.counts == {"train": 14, "valid": 4, "test": 6}
    dataset = PreparedDataset(tmp_path / "out")
    for name, half in zip(SPLITS, (7, 2, 3), strict=True):
        answers = Counter(dataset.split(name).column("answer"))
        assert answers == {"normal": half, "tuberculosis": half}
    assert card.answers == ["normal", "tuberculosis"]
    assert card.preparation["test_fraction"] == 0.2
    run(raw, tmp_path / "other", seed=2)
    assert members(tmp_path / "other") != members(tmp_path / "out")
    assert "sz-cxr: 24 images, the official release has 662" in count_differences(card)


def test_the_test_split_does_not_depend_on_the_share_for_validation(tmp_path):
    raw = build("sz-cxr", tmp_path / "raw")
    run(raw, tmp_path / "out")
    card = run(raw, tmp_path / "none", valid_fraction=0.0)
    assert list(card.counts) == ["train", "test"]
    assert members(tmp_path / "none")["test"] == members(tmp_path / "out")["test"]


def test_label_and_name_are_those_of_the_file(tmp_path):
    raw = build("sz-cxr", tmp_path / "raw")
    run(raw, tmp_path / "out")
    split = PreparedDataset(tmp_path / "out").split("train")
    for number in range(len(split)):
        row = split[number]
        assert row["image_name"] == f"{row['id']}.png"
        assert row["answer"] == {"0": "normal", "1": "tuberculosis"}[row["id"][-1]]
        file = raw / "ChinaSet_AllFiles" / "CXR_png" / row["image_name"]
        assert row["image"] == file.read_bytes()


@pytest.mark.parametrize("seed", range(1, 9))
def test_images_of_a_patient_stay_together(tmp_path, seed):
    raw = build("mc-cxr", tmp_path / "raw")
    run(raw, tmp_path / "out", "mc-cxr", seed=seed)
    same = {"MCUCXR_0162_1", "MCUCXR_0166_1", "MCUCXR_0170_1"}
    assert any(same <= set(ids) for ids in members(tmp_path / "out").values())


@pytest.mark.parametrize("place", [".", "set", "Montgomery/MontgomerySet"])
def test_the_image_folder_is_found_where_downloads_put_it(tmp_path, place):
    build("mc-cxr", tmp_path / "built")
    (tmp_path / "raw" / place).mkdir(parents=True, exist_ok=True)
    source = tmp_path / "built" / "MontgomerySet" / "CXR_png"
    shutil.copytree(source, tmp_path / "raw" / place / "CXR_png")
    card = run(tmp_path / "raw", tmp_path / "out", "mc-cxr")
    assert sum(card.counts.values()) == 24


def test_both_releases_in_one_folder_are_told_apart(tmp_path):
    raw = build("sz-cxr", tmp_path / "raw")
    other = build("mc-cxr", tmp_path / "other")
    for path in (other / "MontgomerySet" / "CXR_png").glob("*.png"):
        shutil.copy(path, raw / "ChinaSet_AllFiles" / "CXR_png")
    for name in ("sz-cxr", "mc-cxr"):
        assert sum(run(raw, tmp_path / name, name).counts.values()) == 24


@pytest.mark.parametrize("name", ["CHNCXR_0400_2.png", "CHNCXR_0400.png", "unnamed.png"])
def test_an_image_without_a_label_is_one_error_or_skipped(tmp_path, name):
    raw = build("sz-cxr", tmp_path / "raw")
    images = raw / "ChinaSet_AllFiles" / "CXR_png"
    shutil.copy(images / "CHNCXR_0001_0.png", images / name)
    out = tmp_path / "parent" / "out"
    with pytest.raises(DataError, match=rf"{name}: no label in the name.*--skip-bad"):
        run(raw, out)
    assert nothing_left(tmp_path / "parent")
    card = run(raw, out, skip_bad=True)
    assert sum(card.counts.values()) == 24
    assert card.preparation["skipped"] == 1


def test_a_broken_image_is_one_error_or_skipped(tmp_path):
    raw = build("sz-cxr", tmp_path / "raw")
    (raw / "ChinaSet_AllFiles" / "CXR_png" / "CHNCXR_0330_1.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"CHNCXR_0330_1\.png"):
        run(raw, tmp_path / "out")
    card = run(raw, tmp_path / "out", skip_bad=True)
    assert sum(card.counts.values()) == 23


def test_the_other_set_is_refused(tmp_path):
    raw = build("mc-cxr", tmp_path / "raw")
    with pytest.raises(DataError, match=r"not the sz-cxr release: no CXR_png/CHNCXR_\*\.png") as e:
        run(raw, tmp_path / "out")
    assert "\n" not in str(e.value)
