"""The reader of MedNLI."""

import json

import pytest
from data_samples import nothing_left
from raw_releases.clinical_text import nli_pair, write_mednli

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError
from biomedgpt.tasks import get_task
from biomedgpt.tasks.entailment import ANSWER_OF_LABEL


def run(raw, out, **options):
    options = PrepareOptions(vocabulary=False, **options)
    return prepare("mednli", raw=raw, out=out, options=options)


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def test_splits_labels_and_cleaning(raw, tmp_path):
    write_mednli(raw)
    card = run(raw, tmp_path / "out")
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    assert card.answers == list(ANSWER_OF_LABEL.values())
    assert "mednli: 12 train, the official release has 11,232" in count_differences(card)
    row = PreparedDataset(tmp_path / "out").split("train")[0]
    assert row["id"] == "00000000-5dc9-11e8-9fbd-8c85904924ab"
    assert row["sentence1"] == "Patient 0 has a history of CAD."
    asked = get_task("entailment").instruction(row)
    assert asked.startswith('can text1 " patient 0 has a history of cad. " imply text2 " patient 0')
    train = PreparedDataset(tmp_path / "out").split("train")
    for label, answer in zip(train.column("label"), train.column("answer"), strict=True):
        assert ANSWER_OF_LABEL[label] == answer


def test_the_tree_of_physionet_is_searched(raw, tmp_path):
    folder = raw / "physionet.org/files/mednli/1.0.0"
    folder.mkdir(parents=True)
    write_mednli(folder)
    assert run(raw, tmp_path / "out").counts["test"] == 6


def test_missing_split_is_named(raw, tmp_path):
    write_mednli(raw)
    (raw / "mli_dev_v1.jsonl").unlink()
    with pytest.raises(DataError, match=r"raw lacks mli_dev_v1\.jsonl; get them from https"):
        run(raw, tmp_path / "out")


BAD_LINES = {
    "label": (json.dumps(nli_pair(1, gold_label="-")), "gold_label is '-', must be one of"),
    "empty": (json.dumps(nli_pair(1, sentence2=" ")), "empty sentence2"),
    "key": ('{"sentence1": "a", "gold_label": "neutral"}', "lacks pairID, sentence2"),
    "not text": (json.dumps(nli_pair(1, sentence1=["a"])), "sentence1 is neither text nor"),
    "broken": ('{"sentence1": "a', "not valid JSON"),
    "twice": (json.dumps(nli_pair(0)), "id 00000000-5dc9-11e8-9fbd-8c85904924ab was there before"),
    "latin-1": (json.dumps(nli_pair(1)).replace("heart", "hea\udce9rt"), "is not UTF-8"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_error_or_skipped(raw, tmp_path, name):
    bad, message = BAD_LINES[name]
    write_mednli(raw)
    lines = [json.dumps(nli_pair(0)), bad, json.dumps(nli_pair(2))]
    path = raw / "mli_train_v1.jsonl"
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", errors="surrogateescape")
    target = tmp_path / "parent" / "out"
    target.parent.mkdir()
    with pytest.raises(DataError, match=rf"mli_train_v1\.jsonl: row 2.*{message}") as caught:
        run(raw, target)
    assert "\n" not in str(caught.value)
    assert nothing_left(target.parent)
    card = run(raw, target, skip_bad=True)
    assert card.counts["train"] == 2
    assert card.preparation["skipped"] == 1
