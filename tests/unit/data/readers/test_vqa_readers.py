"""SLAKE, PathVQA and the hub's Parquet copies of them and of VQA-RAD."""

import json
import pickle

import pytest
from preparing import one_bad_row, refused, run
from raw_releases.all import build
from raw_releases.drawing import encoded
from raw_releases.vqa import (
    hub_row,
    path_labels,
    slake_record,
    slake_splits,
    write_hub,
    write_parquet,
    write_pathvqa,
    write_slake,
)

from biomedgpt.data.prepare import count_differences
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.errors import DataError

HUB_COUNTS = {"train": 12, "validation": 4, "test": 6}


# SLAKE


def test_slake_keeps_the_english_questions(tmp_path):
    card = run("slake", build("slake", tmp_path / "raw"), tmp_path / "out")
    dataset = PreparedDataset(tmp_path / "out")
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    assert card.image_counts == {"train": 4, "valid": 2, "test": 3}
    row = dataset.split("train")[4]
    assert row.pop("image") == encoded(1, format="JPEG")
    assert row == {
        "id": "9004",
        "question": "Is organ 4 healthy?",
        "answer": "Yes",
        "answer_type": "CLOSED",
        "question_type": "Abnormality",
        "object": "Lung",
        "references": '[{"answer": "Yes", "confidence": 1.0}]',
        "image_name": "xmlab1/source.jpg",
    }
    assert dataset.split("test").column("id") == [str(9016 + i) for i in range(6)]
    assert "slake: 12 train, the official release has 4,918" in count_differences(card)


def test_slake_question_released_without_an_answer_is_left_out(tmp_path):
    splits = slake_splits()
    splits["train"][0] |= {"question": "Does the picture contain liver?", "answer": ""}
    (tmp_path / "raw").mkdir()
    card = run("slake", write_slake(tmp_path / "raw", splits), tmp_path / "out")
    assert card.counts["train"] == 11
    assert "the one question released without an answer left out" in card.cleaning
    raw = write_hub(tmp_path / "hub", HUB_COUNTS)
    known = hub_row(0, question="Does the picture contain liver?", answer="")
    write_parquet(raw / "data" / "train-00002.parquet", [known, hub_row(1)])
    card = run("slake", raw, tmp_path / "from_hub")
    ids = PreparedDataset(tmp_path / "from_hub").split("train").column("id")
    assert (card.counts["train"], ids[-1], card.preparation["skipped"]) == (13, "train-14", 0)


def test_slake_validation_file_has_two_names(tmp_path):
    splits = slake_splits()
    splits["validation"] = splits.pop("validate")
    (tmp_path / "raw").mkdir()
    card = run("slake", write_slake(tmp_path / "raw", splits), tmp_path / "out")
    assert card.counts["valid"] == 4


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"answer": " "}, r"train\.json: row 2 \(qid 9001\): empty answer"),
        ({"question": None}, r"row 2 \(qid 9001\): empty question"),
        ({"answer_type": "MAYBE"}, "answer_type is 'MAYBE', must be one of OPEN, CLOSED"),
        ({"img_name": "xmlab99/source.jpg"}, r"cannot read image .*xmlab99"),
        ({"img_name": "../../secret.jpg"}, r"img_name '../../secret.jpg' leads out of imgs/"),
        ({"img_name": "/etc/secret.jpg"}, r"leads out of imgs/"),
        ({"qid": 9000}, "id 9000 was there before"),
    ],
)
def test_slake_bad_rows(tmp_path, changes, match):
    splits = {name: [slake_record(i + 10 * n) for i in range(4)] for n, name in enumerate(
        ("train", "validate", "test"))}  # fmt: skip
    splits["train"][1] |= changes
    (tmp_path / "raw").mkdir()
    one_bad_row("slake", write_slake(tmp_path / "raw", splits), tmp_path, match)


def test_slake_row_without_a_key_and_broken_image(tmp_path):
    splits = {name: [slake_record(i + 10 * n) for i in range(4)] for n, name in enumerate(
        ("train", "validate", "test"))}  # fmt: skip
    del splits["train"][2]["q_lang"]
    (tmp_path / "raw").mkdir()
    raw = write_slake(tmp_path / "raw", splits)
    one_bad_row("slake", raw, tmp_path, r"train\.json: row 3: lacks q_lang")
    splits["train"][2]["q_lang"] = "en"
    (raw / "train.json").write_text(json.dumps(splits["train"]), encoding="utf-8-sig")
    (raw / "imgs" / "xmlab1" / "source.jpg").write_bytes(encoded(1, format="JPEG")[:-200])
    one_bad_row("slake", raw, tmp_path / "second", r"row 4 \(qid 9003\): source\.jpg: damaged")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (
            "train.json",
            '[{"qid": 1, "image_name": "a.jpg"}]',
            r"train\.json: not a list of .*SLAKE",
        ),
        ("train.json", '{"qid": 1}\n{"qid": 2}', r"train\.json: not readable as JSON"),
        ("test.json", "[]", r"test\.json: not a list of questions"),
        ("test.json", None, r"missing 'test\.json'"),
        ("validate.json", None, r"missing 'validate\.json'"),
    ],
)
def test_slake_folder_of_another_kind(tmp_path, name, content, match):
    raw = build("slake", tmp_path / "raw")
    (raw / name).unlink()
    if content is not None:
        (raw / name).write_text(content)
    refused("slake", raw, tmp_path, match)


# PathVQA


@pytest.mark.parametrize(
    ("layout", "make"),
    [
        ("qas/{0}/{0}_qa.pkl", list),
        ("qas/{0}_vqa.pkl", path_labels),
        ("qas/{0}/{0}_vqa.pkl", path_labels),
        ("pvqa/qas/{0}/{0}_qa.pkl", list),
    ],
)
def test_pathvqa_layouts_give_the_same_rows(tmp_path, layout, make):
    raw = tmp_path / "raw"
    write_pathvqa(raw, layout=layout, make=make)
    if layout.startswith("pvqa"):
        (raw / "images").rename(raw / "pvqa" / "images")
    card = run("pathvqa", raw, tmp_path / "out")
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    assert card.answer_types["test"] == {"CLOSED": 3, "OPEN": 3}
    row = PreparedDataset(tmp_path / "out").split("train")[1]
    assert row.pop("image") == encoded(0, format="JPEG")
    assert row == {
        "id": "train-2",
        "question": "is stain 1 present?",
        "answer": "yes",
        "answer_type": "CLOSED",
        "question_type": "",
        "object": "",
        "references": '[{"answer": "yes", "confidence": 1.0}]',
        "image_name": "train_0000.jpg",
    }
    assert "pathvqa: 22 questions, the official release has 32,795" in count_differences(card)


def test_pathvqa_hostile_pickle_is_named_and_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / "pwned"), "w")

    raw = build("pathvqa", tmp_path / "raw")
    (raw / "qas" / "test" / "test_qa.pkl").write_bytes(pickle.dumps([{"answer": Hostile()}]))
    refused("pathvqa", raw, tmp_path, r"test_qa\.pkl: holds more than plain data")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (pickle.dumps({"a": 1}), r"val_qa\.pkl: not a list of questions; is this the PathVQA"),
        (pickle.dumps([]), "not a list of questions"),
        (b"not a pickle", r"val_qa\.pkl: not readable as a pickle file"),
        (None, r"missing 'qas/val/val_qa\.pkl'"),
    ],
)
def test_pathvqa_folder_of_another_kind(tmp_path, content, match):
    raw = build("pathvqa", tmp_path / "raw")
    path = raw / "qas" / "val" / "val_qa.pkl"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    refused("pathvqa", raw, tmp_path, match)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"question": "why?"}, r"train_qa\.pkl: row 2: lacks image, question and answer"),
        ("text", r"train_qa\.pkl: row 2: lacks image"),
        ({"image": "train_0000", "question": " ", "answer": "yes"}, "row 2: empty question"),
        ({"image": "../x", "question": "a?", "answer": "b"}, "'../x' is not a plain file name"),
        (
            {"image": "train_9999", "question": "a?", "answer": "b"},
            r"cannot read image .*9999\.jpg",
        ),
        ({"img_id": "train_0000", "sent": "a?", "label": {}}, "row 2: empty answer"),
    ],
)
def test_pathvqa_bad_rows(tmp_path, bad, match):
    raw = build("pathvqa", tmp_path / "raw")
    path = raw / "qas" / "train" / "train_qa.pkl"
    records = pickle.loads(path.read_bytes())
    records[1] = bad
    path.write_bytes(pickle.dumps(records))
    one_bad_row("pathvqa", raw, tmp_path, match)


def test_pathvqa_file_by_python_2_with_another_encoding(tmp_path):
    raw = build("pathvqa", tmp_path / "raw")
    path = raw / "qas" / "train" / "train_qa.pkl"
    bad_row = b"}(U\x05imageU\ntrain_0000U\x08questionU\x02a?U\x06answerU\x01\xffu"
    data = pickle.dumps(pickle.loads(path.read_bytes()), 2).removesuffix(b"e.")
    path.write_bytes(data + bad_row + b"e.")
    one_bad_row("pathvqa", raw, tmp_path, "row 13: answer is not UTF-8")


# The hub


def test_vqa_rad_from_the_hub(tmp_path):
    raw = write_hub(tmp_path / "raw", {"train": 12, "test": 6})
    card = run("vqa-rad", raw, tmp_path / "out")
    dataset = PreparedDataset(tmp_path / "out")
    assert dataset.splits == ["train", "test"]
    assert dataset.split("train").column("id") == [f"train-{i}" for i in range(1, 13)]
    assert card.image_counts == {"train": 6, "test": 3}
    assert card.answer_types["test"] == {"CLOSED": 4, "OPEN": 2}
    row = dataset.split("test")[2]
    assert row.pop("image") == encoded(7, format="JPEG")
    assert row == {
        "id": "test-3",
        "question": "is organ 14 there?",
        "answer": "organ 14",
        "answer_type": "OPEN",
        "question_type": "",
        "object": "",
        "references": '[{"answer": "organ 14", "confidence": 1.0}]',
        "image_name": "",
    }
    assert count_differences(card) == [
        "vqa-rad: 12 train, the official release has 1,793",
        "vqa-rad: 6 test, the official release has 451",
    ]


def test_vqa_rad_from_the_hub_holds_out_whole_images(tmp_path):
    raw = write_hub(tmp_path / "raw", {"train": 12, "test": 6})
    bad = hub_row(3, answer=" ")
    write_parquet(raw / "data" / "train-00002.parquet", [bad])
    options = {"valid_fraction": 0.3, "skip_bad": True}
    card = run("vqa-rad", raw, tmp_path / "out", **options)
    assert card.counts == {"train": 8, "valid": 4, "test": 6}
    assert card.preparation["skipped"] == 1
    assert card.preparation["found_counts"]["train"] == 12
    assert card.leakage["shared_between_splits"]["train/valid"]["images"] == 0
    with pytest.raises(DataError, match=r"empty answer.*--skip-bad"):
        run("vqa-rad", raw, tmp_path / "strict", valid_fraction=0.3)


@pytest.mark.parametrize("name", ["slake", "pathvqa"])
def test_three_splits_from_the_hub(tmp_path, name):
    raw = write_hub(tmp_path / "raw", HUB_COUNTS)
    card = run(name, raw, tmp_path / "out")
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    assert check_dataset(tmp_path / "out").problems == []
    assert PreparedDataset(tmp_path / "out").split("valid").column("id")[0] == "valid-1"
    if name == "pathvqa":
        assert "pathvqa: 12 train, the official release has 19,654" in count_differences(card)


@pytest.mark.parametrize("name", ["vqa-rad", "slake", "pathvqa"])
def test_hub_folder_that_is_not_whole(tmp_path, name):
    raw = write_hub(tmp_path / "raw", HUB_COUNTS)
    test = next((raw / "data").glob("test-*"))
    content = test.read_bytes()
    test.unlink()
    refused(name, raw, tmp_path, r"no test-\*\.parquet beside train-00000-of-")
    write_parquet(test, [{"img": hub_row(0)["image"], "question": "a?", "label": "b"}])
    refused(
        name,
        raw,
        tmp_path,
        r"test-.*\.parquet: no column 'image' and 'answer'; it has img, question",
    )
    test.write_bytes(content[:-100])
    refused(name, raw, tmp_path, r"test-.*\.parquet: not readable as Parquet")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"image": None}, "row 7: the image column holds no image"),
        ({"image": {"bytes": b"<html>", "path": None}}, "row 7: not an image"),
        ({"image": {"bytes": encoded(1)[:-300], "path": None}}, "row 7: damaged image"),
        ({"question": ""}, "row 7: empty question"),
        ({"answer": None}, "row 7: empty answer"),
    ],
)
def test_hub_bad_rows(tmp_path, changes, match):
    raw = write_hub(tmp_path / "raw", HUB_COUNTS)
    file = sorted((raw / "data").glob("train-*"))[1]
    write_parquet(file, [hub_row(i) for i in range(6)] + [hub_row(6, **changes), hub_row(7)])
    card = one_bad_row("slake", raw, tmp_path, rf"{file.name}: {match}")
    assert card.counts["train"] == 13
    ids = PreparedDataset(tmp_path / "lenient").split("train").column("id")
    assert ids[-2:] == ["train-12", "train-14"]  # numbers stay those of the release
