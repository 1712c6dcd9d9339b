"""The readers of MIMIC-CXR, on small releases."""

import gzip

import pytest
from raw_releases.mimic_cxr import METADATA, REPORT, SPLIT, some_studies, write_release

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.readers.mimic_cxr import report_sections
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError

SUMMARY, CAPTION = "mimic-cxr-summary", "mimic-cxr-caption"


def run(name, raw, out, **options):
    options = {"vocabulary": False} | options
    return prepare(name, raw=raw, out=out, options=PrepareOptions(**options))


def first_report(raw, studies):
    patient, study, _ = studies[0]
    return raw / "files" / f"p{patient[:2]}" / f"p{patient}" / f"s{study}.txt"


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        (
            REPORT.format(7),
            "There is no focal consolidation, case 7. The heart is of normal size.",
            "No acute cardiopulmonary process in case 7.",
        ),
        # A heading must stand at the beginning of a line, after a space.
        (
            "\n FINDINGS: Clear, see\nIMPRESSION: below. Dr. X: ok\n IMPRESSION: Normal.\n",
            "Clear, see IMPRESSION: below. Dr. X: ok",
            "Normal.",
        ),
        # The examination's name stands for the findings; an empty section counts for nothing.
        (
            "\n CHEST, TWO VIEWS: Clear.\n \n CONCLUSION: Normal.\n \n IMPRESSION: \n",
            "Clear.",
            "Normal.",
        ),
        # The last of several sections counts.
        (
            "\n FINDINGS: First.\n IMPRESSION: One.\n FINDINGS: Second.\n IMPRESSION: Two.",
            "Second.",
            "Two.",
        ),
        ("\n FINDINGS AND IMPRESSION: Clear.\n", "", "Clear."),
        ("\r\n FINDINGS:\r\n \r\n Clear.\r\n IMPRESSION: Normal.\r\n", "Clear.", "Normal."),
        ("\n CHEST RADIOGRAPH HISTORY: Cough.\n TECHNIQUE: PA.\n", "", ""),
        ("PORTABLE CHEST.  No headings at all.\n \n Clear lungs.", "", ""),
    ],
)
def test_sections_follow_the_official_parser(text, findings, impression):
    assert report_sections(text) == {"findings": findings, "impression": impression}


def test_official_splits_and_a_row_per_study(tmp_path):
    raw = write_release(tmp_path / "raw", some_studies())
    card = run(SUMMARY, raw, tmp_path / "summary")
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    assert card.preparation["found_counts"] == {"studies": 22, "images": 44}
    assert f"{SUMMARY}: 22 studies, the official release has 227,827" in count_differences(card)
    row = PreparedDataset(tmp_path / "summary").split("valid")[0]
    assert row["id"] == "s50414279"
    assert row["patient"] == "10000038"
    assert row["summary"] == "No acute cardiopulmonary process in case 12."
    card = run(CAPTION, raw, tmp_path / "caption")
    assert card.counts == card.image_counts == {"train": 12, "valid": 4, "test": 6}


@pytest.mark.parametrize(
    ("views", "chosen"),
    [(("LATERAL", "AP", "PA"), 2), (("AP", "LL", "AP"), 0), (("", "PA", "PA"), 1)],
)
def test_the_image_of_a_caption_is_frontal(tmp_path, views, chosen):
    raw = write_release(tmp_path / "raw", some_studies(), views=views)
    run(CAPTION, raw, tmp_path / "out")
    name = PreparedDataset(tmp_path / "out").split("train")[0]["image_name"]
    assert name.startswith(f"0000{chosen:04x}-")


def test_studies_without_what_the_task_needs_are_left_out(tmp_path):
    studies = some_studies()
    raw = write_release(tmp_path / "raw", studies)
    report = first_report(raw, studies)
    report.write_text(REPORT.replace("IMPRESSION", "RECOMMENDATION"))
    assert run(SUMMARY, raw, tmp_path / "one").counts["train"] == 11
    assert run(CAPTION, raw, tmp_path / "two").counts["train"] == 12
    report.write_text(REPORT.replace("FINDINGS", "WET READ"))
    assert run(CAPTION, raw, tmp_path / "three").counts["train"] == 11
    table = gzip.decompress((raw / METADATA).read_bytes()).replace(b",PA,", b",LATERAL,", 1)
    (raw / METADATA).unlink()
    (raw / METADATA.removesuffix(".gz")).write_bytes(table)
    report.write_text(REPORT)
    card = run(CAPTION, raw, tmp_path / "four")
    assert card.counts["train"] == 11
    assert card.preparation["skipped"] == 0


def test_parts_may_lie_in_folders_of_their_own(tmp_path):
    raw = write_release(tmp_path / "raw", some_studies())
    (raw / "mimic-cxr-jpg" / "files").mkdir(parents=True)
    (raw / "files").rename(raw / "mimic-cxr-jpg" / "files").joinpath("p10")
    for table in (SPLIT, METADATA):
        (raw / table).rename(raw / "mimic-cxr-jpg" / table)
    for report in (raw / "mimic-cxr-jpg").rglob("s*.txt"):
        place = raw / "mimic-cxr-reports" / report.relative_to(raw / "mimic-cxr-jpg")
        place.parent.mkdir(parents=True, exist_ok=True)
        report.rename(place)
    assert run(CAPTION, raw, tmp_path / "out").counts == {"train": 12, "valid": 4, "test": 6}


BAD_ROWS = {
    "split": (b",train", b",dev", r"row 1: split is 'dev', must be one of train, validate, test"),
    "study": (b",50414267,", b",../x,", r"row 1: study_id '\.\./x' is not a number"),
    "patient": (b",10000032,", b",,", "row 1: empty subject_id"),
    "report": (b",10000032,", b",10000099,", r"row 1: no report .*p10000099/s50414267\.txt"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_of_the_split_table_is_one_error_or_skipped(tmp_path, name):
    old, new, message = BAD_ROWS[name]
    raw = write_release(tmp_path / "raw", some_studies(), views=("PA",))
    table = gzip.decompress((raw / SPLIT).read_bytes()).replace(old, new, 1)
    (raw / SPLIT).write_bytes(gzip.compress(table))
    with pytest.raises(DataError, match=rf"split\.csv\.gz: {message}.*--skip-bad") as error:
        run(SUMMARY, raw, tmp_path / "out")
    assert "\n" not in str(error.value)
    card = run(SUMMARY, raw, tmp_path / "out", skip_bad=True)
    assert card.counts == {"train": 11, "valid": 4, "test": 6}
    assert card.preparation["skipped"] == 1


def test_a_study_in_two_splits_is_an_error(tmp_path):
    raw = write_release(tmp_path / "raw", some_studies())
    table = gzip.decompress((raw / SPLIT).read_bytes()).replace(b",train", b",test", 1)
    (raw / SPLIT).write_bytes(gzip.compress(table))
    with pytest.raises(DataError, match="row 2: study 50414267 is in split train here and in spl"):
        run(SUMMARY, raw, tmp_path / "out")


def test_reports_and_images_that_cannot_be_read_are_bad_rows(tmp_path):
    studies = some_studies()
    raw = write_release(tmp_path / "raw", studies)
    report = first_report(raw, studies)
    report.write_bytes(report.read_bytes() + b"39\xb0")
    with pytest.raises(DataError, match=r"s50414267\.txt: not utf-8 text .*--skip-bad"):
        run(SUMMARY, raw, tmp_path / "out")
    report.write_text(REPORT)
    image = next(report.with_suffix("").glob("00000000-*.jpg"))
    image.unlink()
    with pytest.raises(DataError, match=r"s50414267\.txt: cannot read image .*--skip-bad"):
        run(CAPTION, raw, tmp_path / "out")
    assert run(CAPTION, raw, tmp_path / "out", skip_bad=True).counts["train"] == 11


def test_missing_parts_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty is not the MIMIC-CXR release: missing 'files/'"):
        run(SUMMARY, tmp_path / "empty", tmp_path / "out")
    raw = write_release(tmp_path / "raw", some_studies())
    (raw / METADATA).unlink()
    assert run(SUMMARY, raw, tmp_path / "out").counts["train"] == 12
    with pytest.raises(DataError, match=r"missing 'mimic-cxr-2\.0\.0-metadata\.csv' \(or"):
        run(CAPTION, raw, tmp_path / "other")
