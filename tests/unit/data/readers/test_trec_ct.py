"""The reader of the TREC 2022 Clinical Trials track."""

import re
import zipfile

import pytest
from data_samples import nothing_left
from raw_releases.clinical_text import trial_id, trial_xml, write_trec

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError


def run(raw, out, **options):
    options = PrepareOptions(vocabulary=False, **options)
    return prepare("trec-2022", raw=raw, out=out, options=options)


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    write_trec(folder)
    return folder


def rows(folder):
    dataset = PreparedDataset(folder)
    return {name: list(dataset.split(name)) for name in dataset.folds}


def extracted(raw, number):
    return raw / "ClinicalTrials.2021-04-27.part2/NCT0000xxxx" / f"{trial_id(number)}.xml"


def test_rows_are_judgments_with_the_text_of_the_trial(raw, tmp_path):
    card = run(raw, tmp_path / "out")
    folds = rows(tmp_path / "out")
    assert len(folds) == 10
    by_id = {row["id"]: row for fold in folds.values() for row in fold}
    assert len(by_id) == 36
    row = by_id["1-NCT00000002"]  # from the archive
    assert row["patient"] == "A 21-year-old man, with anaemia."
    assert row["trial"] == (
        "title: Trial of drug 2 & placebo conditions: Anaemia, Disease 2 sex: All "
        "age: 18 Years to N/A criteria: Inclusion Criteria: - Age > 18 "
        "summary: Drug 2 is compared with placebo."
    )
    answers = [by_id[f"12-{trial_id(12 + label)}"]["answer"] for label in (0, 1, 2)]
    assert answers == ["not relevant", "excluded", "eligible"]
    assert card.preparation["found_counts"] == {
        "topics": 12,
        "judgments": 36,
        "trials": 14,
        "not relevant": 12,
        "excluded": 12,
        "eligible": 12,
    }
    assert "trec-2022: 12 topics, the official release has 50" in count_differences(card)


def test_a_patient_is_in_one_fold(raw, tmp_path):
    run(raw, tmp_path / "out")
    topics = [{row["topic"] for row in fold} for fold in rows(tmp_path / "out").values()]
    assert sum(map(len, topics)) == len(set().union(*topics)) == 12
    run(raw, tmp_path / "other", seed=2)
    other = [{row["topic"] for row in fold} for fold in rows(tmp_path / "other").values()]
    assert other != topics


def test_names_of_copies_and_line_ends_are_accepted(raw, tmp_path):
    judged = raw / "qrels2022.txt"
    judged.rename(raw / "trec.nist.gov_data_trials_qrels2022.txt")
    judged = raw / "trec.nist.gov_data_trials_qrels2022.txt"
    judged.write_bytes(b"\xef\xbb\xbf" + judged.read_bytes().replace(b"\n", b"\r\n"))
    assert sum(run(raw, tmp_path / "out").counts.values()) == 36


BAD_LINES = {
    "label": ("1 0 NCT00000002 3", "label is '3', must be one of 0, 1, 2"),
    "topic": ("99 0 NCT00000002 1", "topic '99' is not among the topics"),
    "trial": ("1 0 NCT2 1", "'NCT2' is not the id of a trial"),
    "columns": ("1 NCT00000002 1", "not four values"),
    "no record": ("1 0 NCT00009999 1", "trial NCT00009999: no NCT00009999.xml in"),
    "twice": ("1 0 NCT00000001 1", "topic 1 with NCT00000001 was before"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_judgment_is_one_error_or_skipped(raw, tmp_path, name):
    bad, message = BAD_LINES[name]
    judged = raw / "qrels2022.txt"
    lines = judged.read_text().splitlines()
    lines[1] = bad
    judged.write_text("\n".join(lines))
    check_bad(raw, tmp_path, rf"qrels2022\.txt: row 2: {re.escape(message)}")


BAD_RECORDS = {
    "cut": (trial_xml(8)[:300].encode(), "not readable as XML"),
    "type": (
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><clinical_study>&b;'
        b"</clinical_study>",
        "has a document type",
    ),
    "latin-1": (trial_xml(8).replace("drug", "dr\u00fcg").encode("latin-1"), "not UTF-8 text"),
    "empty": (b"<clinical_study/>", "has no title"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_one_error_or_skipped(raw, tmp_path, name):
    content, message = BAD_RECORDS[name]
    extracted(raw, 8).write_bytes(content)
    judged = raw / "qrels2022.txt"
    judged.write_text(
        "".join(
            line + "\n"
            for line in judged.read_text().splitlines()
            if trial_id(8) not in line or line.startswith("6 ")
        )
    )
    check_bad(raw, tmp_path, rf"qrels2022\.txt: row 18: trial NCT00000008: .*xml: {message}")


def check_bad(raw, tmp_path, message):
    target = tmp_path / "parent" / "out"
    target.parent.mkdir()
    with pytest.raises(DataError, match=f"{message}.*--skip-bad") as caught:
        run(raw, target)
    assert "\n" not in str(caught.value)
    assert nothing_left(target.parent)
    card = run(raw, target, skip_bad=True)
    assert card.preparation["skipped"] == 1


def test_a_damaged_archive_is_refused(raw, tmp_path):
    path = raw / "ClinicalTrials.2021-04-27.part1.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"part1\.zip: not readable as a zip file .* get it again"):
        run(raw, tmp_path / "out")


def test_a_damaged_member_is_a_bad_record(raw, tmp_path):
    path = raw / "ClinicalTrials.2021-04-27.part1.zip"
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(f"{path.stem}/NCT0000xxxx/{trial_id(1)}.xml").header_offset
    data = bytearray(path.read_bytes())
    data[start + 200] ^= 0xFF
    path.write_bytes(data)
    check_bad(raw, tmp_path, r"row 1: trial NCT00000001: .*cannot be read \(Bad CRC")


def test_another_year_and_missing_trials_are_refused(raw, tmp_path):
    (raw / "topics2022.xml").rename(raw / "topics2021.xml")
    with pytest.raises(DataError, match=r"raw is not the release .*: no topics2022\.xml; get it"):
        run(raw, tmp_path / "out")
    (raw / "topics2021.xml").rename(raw / "topics2022.xml")
    for path in [*raw.rglob("NCT*.xml"), *raw.glob("*.zip")]:
        path.unlink()
    with pytest.raises(DataError, match="raw holds none of the judged trials"):
        run(raw, tmp_path / "out")


def test_topics_with_a_document_type_are_refused(raw, tmp_path):
    (raw / "topics2022.xml").write_text('<!DOCTYPE topics [<!ENTITY a "b">]><topics/>')
    with pytest.raises(DataError, match=r"topics2022\.xml: has a document type"):
        run(raw, tmp_path / "out")
