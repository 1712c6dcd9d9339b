"""The reader of the MeQSum workbook, on small ones and on the real one."""

import pytest
from raw_releases.meqsum import NAME, records, write_workbook

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError


def run(raw, out, **options):
    options = {"vocabulary": False} | options
    return prepare("meqsum", raw=raw, out=out, options=PrepareOptions(**options))


def test_rows_are_split_in_the_order_of_the_workbook(tmp_path):
    rows = records(20)
    card = run(write_workbook(tmp_path / "raw", rows), tmp_path / "out")
    dataset = PreparedDataset(tmp_path / "out")
    assert card.counts == {"train": 16, "valid": 2, "test": 2}
    names = [dataset.split(name).column("id") for name in ("train", "valid", "test")]
    assert [one for part in names for one in part] == [row[0] for row in rows]
    assert dataset.split("train")[0] == {
        "id": "10000.txt",
        "source": "SUBJECT: drug 0 MESSAGE: who makes drug 0? Mine ran out.",
        "summary": "Who manufactures drug 0?",
    }


def test_counts_that_differ_are_stated_both(tmp_path):
    card = run(write_workbook(tmp_path / "raw", records(20)), tmp_path / "out")
    assert count_differences(card)[0] == "meqsum: 20 questions, the official release has 1,000"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({2: None}, "row 3: empty Summary"),
        ({1: " \n"}, "row 3: empty CHQ"),
        ({2: 1.5}, "row 3: Summary is neither text nor a whole number"),
        ({0: "10000.txt"}, r"row 3: File 10000\.txt was there before"),
    ],
)
def test_a_bad_row_is_one_error_or_skipped_without_moving_others(tmp_path, changes, message):
    rows = records(20)
    for place, value in changes.items():
        rows[2][place] = value
    raw = write_workbook(tmp_path / "raw", rows)
    with pytest.raises(DataError, match=rf"{NAME}: {message}; fix it.*--skip-bad"):
        run(raw, tmp_path / "out")
    card = run(raw, tmp_path / "out", skip_bad=True)
    assert card.counts == {"train": 15, "valid": 2, "test": 2}
    assert card.preparation["skipped"] == 1


def test_empty_rows_count_for_nothing(tmp_path):
    raw = write_workbook(tmp_path / "raw", [*records(10), [None] * 3, ["", "", None], [None]])
    assert run(raw, tmp_path / "out").counts == {"train": 8, "valid": 1, "test": 1}


def test_columns_may_stand_elsewhere_but_must_be_there(tmp_path):
    rows = [["", *reversed(row)] for row in records(10)]
    raw = write_workbook(tmp_path / "raw", rows, header=("note", " Summary", "CHQ", "File"))
    run(raw, tmp_path / "out")
    first = PreparedDataset(tmp_path / "out").split("train")[0]
    assert first["summary"] == "Who manufactures drug 0?"
    raw = write_workbook(tmp_path / "bad", records(10), header=("File", "Question", "Summary"))
    with pytest.raises(DataError, match="no column 'CHQ'; its first row has File, Question, Summ"):
        run(raw, tmp_path / "other")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"File,CHQ,Summary\n"])
def test_a_damaged_workbook_is_one_error(tmp_path, content):
    raw = tmp_path / "raw"
    raw.mkdir()
    with pytest.raises(DataError, match=r"raw is not the MeQSum release: missing 'MeQSum_ACL"):
        run(raw, tmp_path / "out")
    (raw / NAME).write_bytes(content)
    with pytest.raises(DataError, match="not readable as an Excel workbook") as error:
        run(raw, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_the_real_release(real_data, tmp_path):
    raw = real_data / "meqsum"
    if not raw.exists():
        pytest.skip(f"needs the MeQSum workbook at {raw}")
    card = run(raw, tmp_path / "out")
    assert card.counts == {"train": 800, "valid": 100, "test": 100}
    assert count_differences(card) == []
    test = PreparedDataset(tmp_path / "out").split("test")
    # The first test row of the tables published with BiomedGPT.
    assert test[0]["summary"] == "What causes ringing in the ear, and can aspirin affect the ear?"
