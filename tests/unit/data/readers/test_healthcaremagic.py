"""The reader of the HealthCareMagic dialogues, on small files."""

import pytest
from raw_releases.healthcaremagic import record, write_files

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.readers import healthcaremagic
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError


def run(raw, out, **options):
    options = {"vocabulary": False} | options
    return prepare("healthcaremagic", raw=raw, out=out, options=PrepareOptions(**options))


def rows_of(folder):
    dataset = PreparedDataset(folder)
    return {
        split: {row["id"]: row for row in map(dataset.split(split).__getitem__, range(count))}
        for split, count in dataset.card.counts.items()
    }


def test_summary_is_the_description_and_source_the_whole_dialogue(tmp_path):
    raw = write_files(tmp_path / "raw", [record(n) for n in range(1, 11)])
    card = run(raw, tmp_path / "out")
    assert card.counts == {"train": 8, "valid": 1, "test": 1}
    rows = {key: row for part in rows_of(tmp_path / "out").values() for key, row in part.items()}
    assert rows["healthcaremagic_dialogue_1-3"] == {
        "id": "healthcaremagic_dialogue_1-3",
        "source": "Patient: Hi doctor, I have finding 3. Is it bad? Doctor: Hi. Finding 3 is "
        "harmless.",
        "summary": "What does finding 3 mean?",
    }


def test_only_the_mark_of_a_question_is_taken_from_a_description(tmp_path):
    texts = ["Q.Is QT long?", "QT prolongation. What now", "q and a", "Q . Why? Q."]
    records = [record(n, description=text) for n, text in enumerate(texts)]
    run(write_files(tmp_path / "raw", records * 3), tmp_path / "out")
    rows = {key: row for part in rows_of(tmp_path / "out").values() for key, row in part.items()}
    summaries = [rows[f"healthcaremagic_dialogue_1-{n}"]["summary"] for n in range(1, 5)]
    assert summaries == ["Is QT long?", "QT prolongation. What now", "q and a", "Why? Q."]


def test_split_depends_on_the_seed_alone(tmp_path):
    raw = write_files(tmp_path / "raw", [record(n) for n in range(9)], [record(n) for n in (5, 6)])
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        run(raw, tmp_path / name, seed=seed)
    one, same, other = (rows_of(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert one["test"].keys() != other["test"].keys()
    assert sum(map(len, one.values())) == sum(map(len, other.values())) == 11
    assert (
        sum(key.startswith("healthcaremagic_dialogue_2-") for part in one.values() for key in part)
        == 2
    )


def test_a_whole_release_gets_the_sizes_of_the_reference():
    splits = healthcaremagic._draw(226_405, seed=1)
    assert [splits.count(number) for number in range(3)] == [181_122, 22_641, 22_642]
    assert splits[:1000].count(0) < 1000
    splits = healthcaremagic._draw(100_000, seed=1)
    assert [splits.count(number) for number in range(3)] == [80_000, 10_000, 10_000]


def test_files_are_taken_in_the_order_of_their_numbers_and_may_lie_one_folder_deeper(tmp_path):
    raw = write_files(tmp_path / "raw" / "English", *[[record(n)] for n in range(12)])
    card = run(raw.parent, tmp_path / "out")
    assert card.counts == {"train": 9, "valid": 1, "test": 2}
    assert "healthcaremagic: 9 train, the official release has 181,122" in count_differences(card)
    names = [path.name for path in healthcaremagic._find_files(raw.parent)]
    assert names[1].endswith("_2.txt")
    assert names[9].endswith("_10.txt")


BAD_RECORDS = {
    "no description": ({"description": "Q. "}, r"empty description"),
    "no dialogue": ({"dialogue": "\n"}, "empty dialogue"),
    "another encoding": ({"dialogue": "a fever of 39\udcb0"}, r"is not UTF-8 \(byte 0xb0\)"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_one_error_or_skipped(tmp_path, name):
    changes, message = BAD_RECORDS[name]
    records = [record(n) for n in range(1, 11)]
    records[3] = record(4, **changes)
    raw = write_files(tmp_path / "raw", records)
    with pytest.raises(
        DataError, match=rf"dialogue_1\.txt: record 4 \(id=4\):? {message}.*--skip-bad"
    ) as error:
        run(raw, tmp_path / "out")
    assert "\n" not in str(error.value)
    card = run(raw, tmp_path / "out", skip_bad=True)
    assert sum(card.counts.values()) == 9
    assert card.preparation["skipped"] == 1


@pytest.mark.parametrize("heading", ["Description", "Dialogue"])
def test_a_record_without_a_section_is_bad(tmp_path, heading):
    records = [record(n) for n in range(1, 11)]
    records[9] = records[9].replace(heading, "Advertisement")
    with pytest.raises(DataError, match=rf"record 10 \(id=10\): no line '{heading}'"):
        run(write_files(tmp_path / "raw", records), tmp_path / "out")


@pytest.mark.parametrize("text", ["", "not a record\nid=1\n", "{}"])
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    raw = write_files(tmp_path / "raw", [text])
    with pytest.raises(DataError, match=r"dialogue_1\.txt: does not begin with a record"):
        run(raw, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no file 'healthcaremagic\*\.txt'; get the English"):
        run(tmp_path / "empty", tmp_path / "out")
