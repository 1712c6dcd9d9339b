"""Prepared datasets: round trip, random access from workers, hostile files."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from data_samples import FACTS, encoded, nothing_left, photo, vqa_row, write_sample
from older_data import change_card, make_version_1

from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.writer import SplitWriter, write_dataset
from biomedgpt.data.rows import Skipped, hold_out
from biomedgpt.errors import ConfigError, DataError


@pytest.fixture
def sample(tmp_path):
    write_sample(tmp_path / "sample")
    return tmp_path / "sample"


def test_rows_come_back_as_written(tmp_path):
    texts = ["plain", "", "tab\tand\nline", "Größe: 3 µm, 肺"]
    rows = [vqa_row(i, image=encoded((i, 0, 0)), question=text) for i, text in enumerate(texts)]
    write_dataset(tmp_path / "out", FACTS, {"train": rows})
    split = PreparedDataset(tmp_path / "out").split("train")
    assert len(split) == 4
    for row, stored in zip(rows, split, strict=True):
        assert stored == dict(row.fields) | {"image": row.image}
    assert split.column("question") == texts
    assert split[-1] == split[3]
    with pytest.raises(IndexError):
        split[4]


def test_rows_without_images(tmp_path):
    rows = [replace(vqa_row(0), image=None), vqa_row(1)]
    card = write_dataset(tmp_path / "out", FACTS, {"train": rows})
    split = PreparedDataset(tmp_path / "out").split("train")
    assert "image" not in split[0]
    assert split[1]["image"] == encoded()
    assert card.image_counts == {"train": 1}
    write_dataset(tmp_path / "text", FACTS, {"train": rows[:1]})
    assert PreparedDataset(tmp_path / "text").split("train").image_hashes() == []


def test_an_image_is_stored_once(tmp_path):
    image = photo()
    write_dataset(tmp_path / "out", FACTS, {"train": [vqa_row(i, image=image) for i in range(20)]})
    split = PreparedDataset(tmp_path / "out").split("train")
    assert split.num_images == 1
    assert split[19]["image"] == image
    assert split.path.stat().st_size < 2 * len(image) + 24_000  # the names of arrays take most


def test_card_reports_candidates_coverage_majority_and_leakage(sample):
    card = PreparedDataset(sample).card
    assert card.counts == {"train": 4, "test": 3}
    assert card.image_counts == {"train": 2, "test": 2}
    assert card.answers == ["yes", "red", "no"]  # "blue" is a test answer only
    assert card.answer_coverage["test"]["covered"] == 2
    assert card.answer_coverage["test"]["rows"] == 3
    assert card.majority_answer == "no"
    assert card.majority_answers == {"COLOR": "red", "COUNT": "no", "PRES": "no"}
    shared = card.leakage["shared_between_splits"]["train/test"]
    assert shared == {"images": 1, "rows_on_shared_images": 1, "questions": 1}
    assert card.leakage["duplicate_questions"] == {"train": 1, "test": 0}
    assert card.image_size == {"min": [12, 8], "median": [12, 8], "max": [12, 8]}


def test_writing_twice_gives_the_same_hash(tmp_path):
    write_sample(tmp_path / "a")
    write_sample(tmp_path / "b")
    one, two = PreparedDataset(tmp_path / "a"), PreparedDataset(tmp_path / "b")
    assert one.hash == two.hash
    assert one.card == two.card
    assert len(one.hash) == 16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "row 1: empty id"),
        ({"id": "q0"}, "row 1: id q0 was there before"),
        ({"surplus": "x"}, "row 1: missing or unknown fields: surplus"),
        ({"question": "\ud800"}, "row 1: field question is not valid text"),
        ({"image": b"junk"}, "row 1: not an image"),
    ],
)
def test_a_bad_row_stops_or_is_skipped_and_listed(tmp_path, changes, message):
    rows = [vqa_row(0), vqa_row(1, **changes), vqa_row(2)]
    with pytest.raises(DataError, match=f"{message}.*--skip-bad"):
        write_dataset(tmp_path / "out", FACTS, {"train": rows})
    assert nothing_left(tmp_path)
    skipped = Skipped(allowed=True)
    card = write_dataset(tmp_path / "out", FACTS, {"train": rows}, skipped=skipped)
    assert PreparedDataset(tmp_path / "out").split("train").column("id") == ["q0", "q2"]
    assert card.preparation["skipped"] == 1
    assert message in card.preparation["skipped_rows"][0]


def test_an_interrupted_job_leaves_nothing(tmp_path):
    def rows():
        yield vqa_row(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "out", FACTS, {"train": rows()})
    assert nothing_left(tmp_path)


def test_a_split_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="split test has no usable row"):
        write_dataset(tmp_path / "out", FACTS, {"train": [vqa_row(0)], "test": []})
    skip = Skipped(allowed=True)
    rows = {"train": [vqa_row(0), vqa_row(1, id="")], "test": [vqa_row(2, id="")]}
    with pytest.raises(DataError, match=r"\(2 skipped; .*empty id\); fix"):
        write_dataset(tmp_path / "out", FACTS, rows, skipped=skip)
    assert nothing_left(tmp_path)


def test_output_is_replaced_only_when_asked_and_only_if_prepared(sample, tmp_path):
    rows = {"train": [vqa_row(0)]}
    with pytest.raises(ConfigError, match="--overwrite"):
        write_dataset(sample, FACTS, rows)
    with pytest.raises(DataError, match="no usable row"):
        write_dataset(sample, FACTS, {"train": []}, overwrite=True)
    assert len(PreparedDataset(sample).split("train")) == 4  # the old one is still there
    write_dataset(sample, FACTS, rows, overwrite=True)
    assert PreparedDataset(sample).splits == ["train"]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("text")
    with pytest.raises(ConfigError, match="not a prepared dataset"):
        write_dataset(precious, FACTS, rows, overwrite=True)
    assert (precious / "thesis.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "sample"]


def test_split_writer_leaves_no_file_after_an_error(tmp_path):
    def fail():
        with SplitWriter(tmp_path / "a.h5", task="vqa", fields=FACTS.fields) as writer:
            writer.add(vqa_row(0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert nothing_left(tmp_path)


def change_link(file, link):
    del file["images/data"]
    file["images/data"] = link


def change_offsets(file, position, value):
    file["images/offsets"][position] = value


def external_storage(file):
    size = len(file["images/data"])
    del file["images/data"]
    file.create_dataset("images/data", (size,), "u1", external=[("/etc/passwd", 0, size)])


def virtual_data(file):
    size = len(file["images/data"])
    layout = h5py.VirtualLayout((size,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (size,), "u1")
    del file["images/data"]
    file.create_virtual_dataset("images/data", layout)


def chunked(file):
    data = file["images/data"][:]
    del file["images/data"]
    file.create_dataset("images/data", data=data, compression="gzip")


HOSTILE = {
    "external link": (
        lambda f: change_link(f, h5py.ExternalLink("other.h5", "/images/data")),
        "images/data is a link",
    ),
    "soft link": (
        lambda f: change_link(f, h5py.SoftLink("/images/sha256")),
        "images/data is a link",
    ),
    "external storage": (external_storage, "in other files"),
    "virtual data": (virtual_data, "in other files"),
    "compressed": (chunked, "stored in chunks"),
    "offsets do not ascend": (lambda f: change_offsets(f, 1, 10**6), "do not ascend"),
    "negative offset": (lambda f: change_offsets(f, 0, -5), "do not span"),
    "offset beyond the end": (lambda f: change_offsets(f, 2, 10**6), "do not span"),
    "image number": (lambda f: f["row_images/data"].__setitem__(0, 9), "image_index"),
    "unknown role": (lambda f: f["row_images/data"].__setitem__(1, 2), "role that is not known"),
    "several images": (
        lambda f: f["row_images/offsets"].__setitem__(slice(1, 3), [4, 4]),
        "a row of several images",
    ),
    "too few checksums": (
        lambda f: (f.__delitem__("row_crc32"), f.create_dataset("row_crc32", (9,), "<u4")),
        "row_crc32 has",
    ),
    "field gone": (lambda f: f["fields"].__delitem__("answer"), "no fields/answer"),
    "array gone": (lambda f: f.__delitem__("images/sha256"), "no images/sha256"),
    "another version": (lambda f: f.attrs.__setitem__("version", 99), "format version 99"),
    "another format": (lambda f: f.attrs.__setitem__("format", "x"), "not a prepared dataset"),
    "no attributes": (lambda f: f.attrs.__delitem__("fields"), "damaged"),
    "group for an array": (
        lambda f: (f.__delitem__("row_crc32"), f.create_group("row_crc32")),
        "not an array of the expected kind",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_split_files_are_refused(sample, name):
    change, message = HOSTILE[name]
    shutil.copy(sample / "test.h5", sample / "other.h5")
    with h5py.File(sample / "train.h5", "r+") as file:
        change(file)
    with pytest.raises(DataError, match=message) as error:
        PreparedSplit(sample / "train.h5")
    assert "train.h5" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 4, 700, 0.5, -1])
def test_a_truncated_split_file_is_refused(sample, keep):
    path = sample / "train.h5"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match=r"train\.h5: (not an HDF5 file|damaged|truncated)"):
        PreparedSplit(path)


def test_text_that_is_not_utf8_is_refused(sample):
    make_version_1(sample)  # of later ones a checksum says it
    with h5py.File(sample / "train.h5", "r+") as file:
        file["fields/question/data"][0] = np.uint8(0xFF)
    with pytest.raises(DataError, match="row 1: field question is not UTF-8"):
        PreparedSplit(sample / "train.h5")[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.pop("answers"), "answers"),
        (lambda card: card.update(format_version=3), "format version 3.*update biomedgpt"),
        (lambda card: card.update(format_version=0), "format version 0.*prepare the dataset"),
        (lambda card: card.update(counts=[]), "counts should be a dict"),
        (lambda card: card.update(counts={"train": "4", "test": 2}), r"counts should be a dict\["),
        (lambda card: card.update(answers=["yes", 3]), r"answers should be a list\[str\]"),
        (lambda card: card.update(counts={"../../etc": 1}), "cannot name a split"),
        (lambda card: card.update(counts={"train": 5, "test": 2}), "rows, fields or task"),
        (lambda card: card.update(task="captioning"), "rows, fields or task"),
        (lambda card: card.update(hashes={}), "hashes are not those of the splits"),
    ],
)
def test_a_damaged_card_is_refused(sample, change, message):
    change_card(sample, change)
    with pytest.raises(DataError, match=message):
        PreparedDataset(sample).split("train")


def test_what_is_not_there_is_named(sample, tmp_path):
    with pytest.raises(DataError, match=r"no dataset\.json.*biomedgpt data prepare"):
        PreparedDataset(tmp_path)
    dataset = PreparedDataset(sample)
    with pytest.raises(DataError, match="no split 'dev'; it has train, test"):
        dataset.split("dev")
    with pytest.raises(DataError, match="no field 'caption'; it has id"):
        dataset.split("train").column("caption")
    (sample / "test.h5").unlink()
    with pytest.raises(DataError, match=r"test\.h5: no such file"):
        dataset.split("test")


def test_hold_out_keeps_groups_together_and_repeats_by_seed():
    rows = [vqa_row(i, image_name=f"{i % 10}.png") for i in range(50)]

    def draw(seed):
        return hold_out(rows, 0.2, seed=seed, group=lambda row: row.fields["image_name"])

    kept, held_out = draw(1)
    assert (len(kept), len(held_out)) == (40, 10)
    names = [{row.fields["image_name"] for row in part} for part in (kept, held_out)]
    assert not names[0] & names[1]
    assert draw(1) == (kept, held_out)
    assert any(draw(seed) != (kept, held_out) for seed in range(2, 6))
    assert hold_out(rows, 0.0, seed=1, group=lambda row: row.where) == (rows, [])
    with pytest.raises(ConfigError, match=r"below 1, not 1\.5"):
        hold_out(rows, 1.5, seed=1, group=lambda row: row.where)
    with pytest.raises(ConfigError, match="smaller"):
        hold_out(rows, 0.9, seed=1, group=lambda row: "one")
