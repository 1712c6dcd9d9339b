"""The reader of the official VQA-RAD release, on small releases and on the real one."""

import json

import pytest
from data_samples import nothing_left, photo, png_header, rad_record, write_rad_release

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import ConfigError, DataError

TEST = {"phrase_type": "test_freeform"}


def run(raw, out, **options):
    options = {"vocabulary": False} | options
    return prepare("vqa-rad", raw=raw, out=out, options=PrepareOptions(**options))


def test_splits_and_cleaning(tmp_path):
    records = [
        rad_record(0, qid="0", question=" Is the \tliver  enlarged? ", answer="Yes \tboth"),
        rad_record(1, phrase_type="para", answer=4, answer_type="OPEN", question_type="Other"),
        rad_record(2, phrase_type="test_para", answer_type="CLOSED ", question_type="PRSE"),
        rad_record(3, phrase_type="test_freeform", question_type="POS, PRES"),
    ]
    del records[3]["question_rephrase"]  # two records of the release lack it
    card = run(write_rad_release(tmp_path / "raw", records), tmp_path / "out")
    dataset = PreparedDataset(tmp_path / "out")
    assert dataset.splits == ["train", "test"]
    row = dataset.split("train")[0]
    assert row.pop("image") == photo()
    assert row == {
        "id": "0",
        "question": "Is the liver enlarged?",
        "answer": "yes both",
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "object": "chest",
        "references": '[{"answer": "yes both", "confidence": 1.0}]',
        "image_name": "synpic0.jpg",
    }
    assert dataset.split("train").column("answer") == ["yes both", "4"]
    assert dataset.split("train").column("question_type") == ["PRES", "OTHER"]
    assert dataset.split("test").column("answer_type") == ["CLOSED", "CLOSED"]
    assert dataset.split("test").column("question_type") == ["PRSE", "POS, PRES"]
    assert card.cleaning
    assert card.licence == "CC0-1.0"


def test_counts_that_differ_are_stated_both(tmp_path):
    records = [rad_record(0), rad_record(1, **TEST)]
    card = run(write_rad_release(tmp_path / "raw", records), tmp_path / "out")
    assert "vqa-rad: 2 questions, the official release has 2,248" in count_differences(card)
    assert "vqa-rad: 1 train, the official release has 1,797" in count_differences(card)


def test_validation_takes_whole_images_out_of_train(tmp_path):
    records = [rad_record(i) for i in range(8)] + [rad_record(8, **TEST)]
    raw = write_rad_release(tmp_path / "raw", records)
    card = run(raw, tmp_path / "out", valid_fraction=0.3)
    dataset = PreparedDataset(tmp_path / "out")
    assert dataset.splits == ["train", "valid", "test"]
    names = [set(dataset.split(name).column("image_name")) for name in ("train", "valid")]
    assert not names[0] & names[1]
    assert card.counts == {"train": 4, "valid": 4, "test": 1}
    assert card.preparation["found_counts"]["train"] == 8
    with pytest.raises(ConfigError, match="validation fraction"):
        run(raw, tmp_path / "other", valid_fraction=1.0)


BAD_ROWS = {
    "no answer": ({"answer": " \t"}, "empty answer"),
    "no question": ({"question": ""}, "empty question"),
    "null answer": ({"answer": None}, "answer is neither text nor a whole number"),
    "another phrase type": ({"phrase_type": "dev"}, "unknown phrase_type 'dev'"),
    "another answer type": ({"answer_type": "MAYBE"}, "unknown answer_type"),
    "duplicated qid": ({"qid": "0"}, "this qid was there before"),
    "image not there": ({"image_name": "gone.jpg"}, r"cannot read image .*gone\.jpg"),
    "image elsewhere": (
        {"image_name": "../secret.jpg"},
        r"image_name '\.\./secret\.jpg' is not a plain file name",
    ),
    "null byte": ({"image_name": "a\0b.jpg"}, r"image_name 'a\\x00b\.jpg' is not a plain file"),
    "truncated image": ({"image_name": "cut.jpg"}, r"cut\.jpg: damaged image"),
    "not an image": ({"image_name": "page.jpg"}, r"page\.jpg: not an image"),
    "bomb": ({"image_name": "bomb.jpg"}, r"bomb\.jpg: image has more than 100,000,000"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_one_error_or_skipped_and_listed(tmp_path, name):
    changes, message = BAD_ROWS[name]
    records = [rad_record(0), rad_record(1, **changes), rad_record(2), rad_record(3, **TEST)]
    raw = write_rad_release(tmp_path / "raw", records)
    images = raw / "VQA_RAD Image Folder"
    (images / "cut.jpg").write_bytes(photo()[:-2000])
    (images / "page.jpg").write_text("<html>")
    (images / "bomb.jpg").write_bytes(png_header(30_000, 30_000))
    place = rf"VQA_RAD Dataset Public\.json: row 2 \(qid {changes.get('qid', 1)}\)"
    if name == "null answer":
        place = r"VQA_RAD Dataset Public\.json: row 2"
    target = tmp_path / "out" / "vqa-rad"
    target.parent.mkdir()
    with pytest.raises(DataError, match=f"{place}: {message}.*--skip-bad") as error:
        run(raw, target)
    assert "\n" not in str(error.value)
    assert nothing_left(target.parent)
    card = run(raw, target, skip_bad=True)
    assert PreparedDataset(target).split("train").column("id") == ["0", "2"]
    assert card.preparation["skipped"] == len(card.preparation["skipped_rows"]) == 1
    assert "row 2" in card.preparation["skipped_rows"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a list of questions"),
        ('{"data": []}', "not a list of questions"),
        ('[{"qid": 1', r"not readable as JSON .* get it again from https"),
        ("[1]", "row 1: lacks qid"),
        ('[{"img_id": 1, "qid": 0}]', r"row 1: lacks answer, .*is this the VQA-RAD release\?"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, message):
    raw = write_rad_release(tmp_path / "raw", [])
    (raw / "VQA_RAD Dataset Public.json").write_text(content)
    with pytest.raises(DataError, match=message):
        run(raw, tmp_path / "out")
    with pytest.raises(DataError):  # skipping every row leaves nothing to prepare
        run(raw, tmp_path / "out", skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_all_missing_parts_are_named_at_once(tmp_path):
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(DataError, match=r"Public\.json' and 'VQA_RAD Image Folder/'.*osf\.io"):
        run(tmp_path / "nowhere", tmp_path / "out")


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    records = [rad_record(0), rad_record(1, **TEST)]
    raw = write_rad_release(tmp_path / "raw", records)
    (raw / "VQA_RAD Dataset Public.json").write_text(json.dumps(records), encoding="utf-8-sig")
    assert run(raw, tmp_path / "out").counts == {"train": 1, "test": 1}


def test_vocabulary_is_trained_on_training_texts(tmp_path):
    from biomedgpt.vocabulary import Vocabulary

    texts = ["pleural effusion", "enlarged heart", "left lung", "right lung", "free air", "stone"]
    records = [rad_record(i, question=f"Is there {t}?", answer=t) for i, t in enumerate(texts)]
    records.append(rad_record(90, question="Zebra?", answer="quagga", **TEST))
    raw = write_rad_release(tmp_path / "raw", records)
    run(raw, tmp_path / "out", vocabulary=True)
    vocabulary = Vocabulary.load(tmp_path / "out" / "vocabulary")
    assert vocabulary.num_codes == 8192
    assert vocabulary.num_bins == 1000
    ids = vocabulary.encode_text(" is there free air?")
    assert vocabulary.decode_text(ids) == " is there free air?"
    assert len(ids) < len(vocabulary.encode_text(" quagga zebra quaggas"))


def test_the_real_release(real_data, tmp_path):
    raw = real_data / "vqa_rad"
    if not raw.exists():
        pytest.skip(f"needs the VQA-RAD release at {raw}")
    card = run(raw, tmp_path / "out")
    assert card.counts == {"train": 1797, "test": 451}
    assert card.image_counts == {"train": 313, "test": 203}
    assert card.answer_types["test"] == {"CLOSED": 272, "OPEN": 179}
    assert count_differences(card) == []
    assert len(card.answers) == 433
    assert card.answer_coverage["test"]["covered"] == 336
    assert card.leakage["shared_between_splits"]["train/test"]["images"] == 202
    for name in ("train", "test"):
        split = PreparedDataset(tmp_path / "out").split(name)
        for column in split.fields:
            assert all(text == " ".join(text.split()) for text in split.column(column))
