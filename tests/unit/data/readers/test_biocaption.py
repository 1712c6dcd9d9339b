"""The readers of IU X-ray and PEIR Gross, in the layouts of bioCaption and of Open-i."""

import json

import pytest
from raw_releases.all import build
from raw_releases.captions import iu_rows, write_image, write_lists

from biomedgpt.data.prepare import prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
  <uId id="CXR{number}"/>
  <MedlineCitation Owner="Open-i" Status="supplied by publisher"><Article><Abstract>
    <AbstractText Label="COMPARISON">None.</AbstractText>
    <AbstractText Label="INDICATION"/>
    <AbstractText Label="FINDINGS">{findings}</AbstractText>
    <AbstractText Label="IMPRESSION">{impression}</AbstractText>
  </Abstract></Article></MedlineCitation>
  {images}
</eCitation>
"""


def run(name, raw, out, **options):
    options = {"vocabulary": False} | options
    return prepare(name, raw=raw, out=out, options=PrepareOptions(**options))


def write_open_i(folder, count=20, **changes):
    """Reports with two images each, as Open-i hands them out; ``changes`` are for report 3."""
    reports = folder / "NLMCXR_reports" / "ecgen-radiology"
    reports.mkdir(parents=True)
    for number in range(1, count + 1):
        names = [f"CXR{number}_IM-{number:04d}-{view}001" for view in (1, 2)]
        parts = {
            "findings": f"The heart is {number} cm\nwide.",
            "impression": f"Normal chest {number}.",
            "images": "".join(
                f'<parentImage id="{n}"><caption>PA</caption></parentImage>' for n in names
            ),
        }
        parts |= changes if number == 3 else {}
        (reports / f"{number}.xml").write_text(REPORT.format(number=number, **parts))
        for position, name in enumerate(names):
            write_image(folder / "NLMCXR_png" / f"{name}.png", 2 * number + position, grey=True)
    return folder


def columns(folder, name):
    dataset = PreparedDataset(folder)
    return {split: dataset.split(split).column(name) for split in dataset.splits}


def test_several_lines_of_an_image_are_several_references(tmp_path):
    build("peir-gross", tmp_path / "raw")
    run("peir-gross", tmp_path / "raw", tmp_path / "out")
    row = PreparedDataset(tmp_path / "out").split("train")[2]
    assert row["caption"] == "KIDNEY: Cut surface, case 2"
    assert [one["answer"] for one in json.loads(row["references"])] == [
        "KIDNEY: Cut surface, case 2",
        "Another description",
    ]


def test_peir_gross_validates_on_the_last_fifth_of_the_training_list(tmp_path):
    build("peir-gross", tmp_path / "raw")
    card = run("peir-gross", tmp_path / "raw", tmp_path / "out")
    assert card.counts == {"train": 12, "valid": 3, "test": 6}
    ids = columns(tmp_path / "out", "id")
    assert [name for part in ids.values() for name in part] == [f"{n:08d}" for n in range(21)]


def test_quotation_marks_and_tabs_belong_to_the_caption(tmp_path):
    rows = [(f"{n}.jpg", f'"Cut" surface {n}\tof "kidney') for n in range(6)]
    lists = {"train_images.tsv": rows[:5], "test_images.tsv": rows[5:]}
    write_lists(tmp_path / "raw", "peir_gross", lists)
    run("peir-gross", tmp_path / "raw", tmp_path / "out")
    assert columns(tmp_path / "out", "caption")["test"] == ['"Cut" surface 5 of "kidney']


def test_iu_xray_holds_out_whole_reports(tmp_path):
    build("iu-xray", tmp_path / "raw")
    card = run("iu-xray", tmp_path / "raw", tmp_path / "out", valid_fraction=0.3)
    assert card.counts == {"train": 10, "valid": 6, "test": 6}
    ids = columns(tmp_path / "out", "id")
    reports = {split: {name.split("_")[0] for name in part} for split, part in ids.items()}
    assert not reports["train"] & reports["valid"]
    assert reports["test"] == {"CXR9", "CXR10", "CXR11"}
    run("iu-xray", tmp_path / "raw", tmp_path / "whole", valid_fraction=0.0)
    assert PreparedDataset(tmp_path / "whole").splits == ["train", "test"]


def test_open_i_reports_become_impression_and_findings(tmp_path):
    raw = write_open_i(tmp_path / "raw")
    card = run("iu-xray", raw, tmp_path / "out", seed=3)
    assert card.preparation["layout"] == "Open-i"
    assert card.counts == {"train": 28, "valid": 4, "test": 8}
    dataset = PreparedDataset(tmp_path / "out")
    rows = {row["id"]: row for name in dataset.splits for row in dataset.split(name)}
    assert rows["CXR7_IM-0007-2001"]["caption"] == "Normal chest 7. The heart is 7 cm wide."
    # The test set is bioCaption's, whatever the seed.
    other = run("iu-xray", raw, tmp_path / "other", seed=4)
    assert other.hashes["test"] == card.hashes["test"]
    assert other.hashes["valid"] != card.hashes["valid"]


@pytest.mark.parametrize("changes", [{"images": ""}, {"findings": " "}, {"impression": ""}])
def test_open_i_reports_that_lack_a_part_are_left_out(tmp_path, changes):
    raw = write_open_i(tmp_path / "raw", **changes)
    card = run("iu-xray", raw, tmp_path / "out")
    assert sum(card.counts.values()) == 38
    assert card.preparation["skipped"] == 0


@pytest.mark.parametrize("images", ["iu_xray_images", "."])
def test_open_i_archives_may_be_extracted_into_one_folder(tmp_path, images):
    raw = write_open_i(tmp_path / "raw")
    (raw / "NLMCXR_reports" / "ecgen-radiology").rename(raw / "ecgen-radiology")
    (raw / images).mkdir(exist_ok=True)
    for path in (raw / "NLMCXR_png").iterdir():
        path.rename(raw / images / path.name)
    assert sum(run("iu-xray", raw, tmp_path / "out").counts.values()) == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"findings": "a < b"}, r"3\.xml: not readable as XML"),
        ({"images": '<parentImage id="../../x"/>'}, r"3\.xml: '\.\./\.\./x' is not a plain file"),
        ({"images": '<parentImage id="CXR3_gone"/>'}, r"3\.xml: image CXR3_gone: cannot read im"),
    ],
)
def test_a_bad_open_i_report_is_one_error_or_skipped(tmp_path, changes, message):
    raw = write_open_i(tmp_path / "raw", **changes)
    with pytest.raises(DataError, match=rf"{message}.*--skip-bad") as error:
        run("iu-xray", raw, tmp_path / "out")
    assert "\n" not in str(error.value)
    card = run("iu-xray", raw, tmp_path / "out", skip_bad=True)
    assert sum(card.counts.values()) == 38
    assert card.preparation["skipped"] == 1


BAD_LINES = {
    "no tab": ("CXR3_a.png caption", "no tab between file name and caption"),
    "no caption": ("CXR3_IM-0003-1001.png\t", "empty caption"),
    "no image": ("CXR3_gone.png\tNormal.", r"cannot read image .*CXR3_gone\.png"),
    "elsewhere": ("a/b.png\tNormal.", r"'a/b\.png' is not a plain file name"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_error_or_skipped(tmp_path, name):
    line, message = BAD_LINES[name]
    lists = {"train_images.tsv": iu_rows(range(1, 9)), "test_images.tsv": iu_rows((9,))}
    write_lists(tmp_path / "raw", "iu_xray", lists)
    path = tmp_path / "raw" / "train_images.tsv"
    lines = path.read_text().splitlines()
    lines[4] = line
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    with pytest.raises(DataError, match=rf"train_images\.tsv: row 5: {message}.*--skip-bad"):
        run("iu-xray", tmp_path / "raw", tmp_path / "out")
    card = run("iu-xray", tmp_path / "raw", tmp_path / "out", skip_bad=True, valid_fraction=0.0)
    assert card.counts == {"train": 15, "test": 2}
    assert card.preparation["skipped"] == 1


def test_missing_parts_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("iu-xray", "peir-gross"):
        folder = f"{name.replace('-', '_')}_images/"
        with pytest.raises(DataError, match=rf"missing '{folder}' and 'train_images\.tsv' and"):
            run(name, tmp_path / "empty", tmp_path / "out")
    (tmp_path / "reports" / "ecgen-radiology").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no NLMCXR_png/CXR\*\.png; get both .* https://openi"):
        run("iu-xray", tmp_path / "reports", tmp_path / "out")
