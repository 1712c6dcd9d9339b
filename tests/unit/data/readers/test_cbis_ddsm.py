"""The reader of CBIS-DDSM, in both layouts."""

import csv
import io
import shutil
import sys

import numpy as np
import pytest
from data_samples import nothing_left
from PIL import Image
from raw_releases.all import build
from raw_releases.cbis_ddsm import (
    CROP_SIZE,
    build_dicom,
    build_jpeg,
    case_name,
    crop_pixels,
    series,
    write_dicom,
)

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import ConfigError, DataError

MASS, CALC = "cbis-ddsm-mass", "cbis-ddsm-calc"


def run(raw, out, name=MASS, **options):
    options = {"vocabulary": False} | options
    return prepare(name, raw=raw, out=out, options=PrepareOptions(**options))


def rows(out):
    dataset = PreparedDataset(out)
    splits = [dataset.split(name) for name in dataset.splits]
    return {split[n]["id"]: split[n] for split in splits for n in range(len(split))}


def change(path, row, column, value):
    """Change one value of a table; rows count from 1."""
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    lines[row][lines[0].index(column)] = value
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def test_official_split_and_validation_by_patient(tmp_path):
    raw = build(MASS, tmp_path / "raw")
    card = run(raw, tmp_path / "out")
    assert card.counts == {"train": 10, "valid": 2, "test": 6}
    assert card.answers == ["benign", "benign without callback", "malignant"]
    dataset = PreparedDataset(tmp_path / "out")
    patients = [set(dataset.split(name).column("patient")) for name in dataset.splits]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 9
    assert all("Test" in one for one in dataset.split("test").column("id"))
    differences = count_differences(card)
    assert "cbis-ddsm-mass: 12 train, the official release has 1,318" in differences
    assert "cbis-ddsm-mass: 3 test patients, the official release has 201" in differences


@pytest.mark.parametrize("name", [MASS, CALC])
def test_the_image_is_the_crop(tmp_path, name):
    raw = build(name, tmp_path / "raw")
    card = run(raw, tmp_path / "out", name)
    assert card.image_size["min"] == card.image_size["max"] == list(CROP_SIZE)
    found = rows(tmp_path / "out")
    assert len(found) == 18
    row = found[case_name(name[10:], 5)]
    assert row["answer"] == "benign without callback"
    assert row["patient"] == "P_00003"
    if name == MASS:
        assert row["image_name"] == f"jpeg/{series(405)}/1-005.jpg"
        assert row["image"] == (raw / row["image_name"]).read_bytes()
    else:
        case = case_name("calc", 5)
        assert row["image_name"] == f"CBIS-DDSM/{case}/{series(305)}/{series(405)}/1-2.dcm"


def test_16_bits_become_8_by_the_range_of_the_crop(tmp_path):
    raw = build(CALC, tmp_path / "raw")
    run(raw, tmp_path / "out", CALC)
    data = rows(tmp_path / "out")[case_name("calc", 3)]["image"]
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    assert image.mode == "L"
    values = crop_pixels(3).astype(float)
    scaled = np.rint((values - values.min()) * 255 / (values.max() - values.min()))
    assert np.array_equal(np.asarray(image), scaled)


def test_8_bits_stay_and_inverted_images_are_turned(tmp_path):
    import pydicom

    raw = build(CALC, tmp_path / "raw")
    case = case_name("calc", 4)
    path = raw / "CBIS-DDSM" / case / series(304) / series(404) / "1-2.dcm"
    pixels = np.arange(480, dtype=np.uint8).reshape(20, 24) // 2 + 10
    write_dicom(path, pixels, case=case, description="cropped images", uid=series(404))
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(path)
    run(raw, tmp_path / "out", CALC)
    image = Image.open(io.BytesIO(rows(tmp_path / "out")[case]["image"]))
    assert np.array_equal(np.asarray(image), 255 - pixels)


def test_either_kind_comes_in_either_layout(tmp_path):
    for name, builder in ((MASS, build_dicom), (CALC, build_jpeg)):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        builder(raw, name[10:])
        assert sum(run(raw, tmp_path / name / "out", name).counts.values()) == 18


def test_parts_downloaded_one_by_one_are_found(tmp_path):
    raw = build(CALC, tmp_path / "raw")
    for part in ("Training", "Test"):
        folder = raw / f"manifest-{part}" / "CBIS-DDSM"
        folder.mkdir(parents=True)
        for case in (raw / "CBIS-DDSM").glob(f"Calc-{part}_*"):
            shutil.move(case, folder)
    (raw / "CBIS-DDSM").rmdir()
    assert sum(run(raw, tmp_path / "out", CALC).counts.values()) == 18


def test_the_lists_may_name_the_files_of_the_later_release(tmp_path):
    raw = build(MASS, tmp_path / "raw")
    path = raw / "csv" / "mass_case_description_train_set.csv"
    path.write_text(path.read_text().replace("000001.dcm\n", "1-2.dcm"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert sum(run(raw, tmp_path / "out").counts.values()) == 18


BAD_ROWS = {
    "pathology": ("pathology", "UNSURE", r"row 2: pathology is 'UNSURE', must be one of BENIGN, "),
    "no pathology": ("pathology", "", r"row 2: empty pathology"),
    "patient": ("patient_id", " ", r"row 2: empty patient_id"),
    "case": ("cropped image file path", "../x/y/0.dcm", r"row 2: case '\.\.' is not of this list"),
    "case of the other list": (
        "cropped image file path",
        "Mass-Test_P_00001_LEFT_CC_1/x/y/0.dcm",
        r"row 2: case 'Mass-Test_P_00001_LEFT_CC_1' is not of this list",
    ),
    "case that is not there": (
        "cropped image file path",
        "Mass-Training_P_09999_LEFT_CC_1/x/y/0.dcm",
        r"row 2: no cropped image of Mass-Training_P_09999_LEFT_CC_1 among the 0 images",
    ),
    "same lesion twice": (
        "cropped image file path",
        f"{case_name('mass', 1)}/x/y/0.dcm",
        r"row 2: id Mass-Training_P_00001_LEFT_CC_1 was there before",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_one_error_or_skipped(tmp_path, name):
    column, value, message = BAD_ROWS[name]
    raw = build(MASS, tmp_path / "raw")
    change(raw / "csv" / "mass_case_description_train_set.csv", 2, column, value)
    out = tmp_path / "parent" / "out"
    with pytest.raises(DataError, match=rf"_train_set\.csv: {message}.*--skip-bad") as caught:
        run(raw, out)
    assert "\n" not in str(caught.value)
    assert nothing_left(tmp_path / "parent")
    card = run(raw, out, skip_bad=True)
    assert sum(card.counts.values()) == 17
    assert card.preparation["skipped"] == 1


def test_a_broken_image_is_one_error_or_skipped(tmp_path):
    raw = build(CALC, tmp_path / "raw")
    path = raw / "CBIS-DDSM" / case_name("calc", 1) / series(301) / series(401) / "1-2.dcm"
    whole = path.read_bytes()
    for content, message in ((whole[:-100], "truncated DICOM"), (b"<html>" * 50, "not a DICOM")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"row 1: .*1-2\.dcm: {message}.*--skip") as caught:
            run(raw, tmp_path / "out", CALC)
        assert "\n" not in str(caught.value)
    assert sum(run(raw, tmp_path / "out", CALC, skip_bad=True).counts.values()) == 17


def test_a_broken_jpeg_is_one_error_or_skipped(tmp_path):
    raw = build(MASS, tmp_path / "raw")
    (raw / "jpeg" / series(415) / "1-015.jpg").write_bytes(b"\xff\xd8 cut")
    with pytest.raises(DataError, match=r"_test_set\.csv: row 3.*1-015\.jpg"):
        run(raw, tmp_path / "out")
    assert sum(run(raw, tmp_path / "out", skip_bad=True).counts.values()) == 17


def test_a_mask_is_not_taken_for_a_crop(tmp_path):
    raw = build(CALC, tmp_path / "raw")
    case = case_name("calc", 6)
    for path in (raw / "CBIS-DDSM" / case).rglob("*cropped images*/1-1.dcm"):
        path.unlink()
    with pytest.raises(DataError, match=rf"no cropped image of {case} among the 1 images"):
        run(raw, tmp_path / "out", CALC)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("csv/mass_case_description_test_set.csv", r"missing 'mass_case_description_test_set\.csv"),
        ("jpeg", r"has no images: neither csv/dicom_info\.csv and jpeg/ nor CBIS-DDSM/Mass-\*"),
        ("csv/dicom_info.csv", r"has no images"),
    ],
)
def test_missing_parts_are_named(tmp_path, missing, message):
    raw = build(MASS, tmp_path / "raw")
    path = raw / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=message) as caught:
        run(raw, tmp_path / "out")
    assert str(raw) in str(caught.value)
    with pytest.raises(DataError, match=r"missing 'calc_case_description_train_set\.csv' and"):
        run(raw, tmp_path / "out", CALC)


def test_the_index_does_not_lead_out_of_the_folder(tmp_path):
    raw = build(MASS, tmp_path / "raw")
    change(raw / "csv" / "dicom_info.csv", 4, "image_path", "CBIS-DDSM/../../secret.jpg")
    with pytest.raises(DataError, match=r"dicom_info\.csv: row 4: image_path .* leads out of the"):
        run(raw, tmp_path / "out")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    raw = build(CALC, tmp_path / "raw")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ConfigError, match="DICOM files need pydicom; run: pip install pydicom"):
        run(raw, tmp_path / "out", CALC)
