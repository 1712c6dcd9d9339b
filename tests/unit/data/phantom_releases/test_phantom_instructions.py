"""Phantoms as dialogues in BioMed-VITAL's format, with kinds of questions held out."""

import json
from collections import Counter

import numpy as np
import pytest
from data_command import run

from biomedgpt.data.phantom_releases.dialogues import (
    RAW_FILE,
    ask_everything,
    question_kinds,
    write_phantom_instructions,
)
from biomedgpt.data.phantoms.phantom import generate
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.errors import ConfigError


@pytest.fixture(scope="module")
def asked():
    found = []
    for index in range(1500):
        phantom = generate("t", index, seed=1, size=48)
        found += ask_everything(phantom, np.random.default_rng((1, index)))
    return found


def test_every_kind_is_asked_and_no_question_gives_its_answer_away(asked):
    assert {one.name for one in asked} == set(question_kinds())
    answers: dict[str, Counter[str]] = {}
    for one in asked:
        answers.setdefault(one.name, Counter())[one.answer] += 1
    for name, found in answers.items():
        even = 1 / len(found)
        # Three standard deviations and a little, of as many questions as there are.
        slack = 0.05 + 1.5 / found.total() ** 0.5
        assert all(abs(n / found.total() - even) < slack for n in found.values()), (name, found)


def test_choices_list_all_options(asked):
    for one in asked:
        if one.form == "choice":
            assert one.answer in one.options
            assert one.whole.startswith(f"{one.text} options: a) {one.options[0]} b) ")
        else:
            assert not one.options
        if one.form == "yes-no":
            assert one.answer in ("yes", "no")
            assert one.text.endswith("answer yes or no.")


def test_a_release_is_written_and_read_and_what_is_held_out_is_asked_nowhere_else(tmp_path, capsys):
    out = tmp_path / "out"
    sizes = ("--images", 40, 3, 20, "--image-size", 48)
    hold = ("--hold-out", "POS", "COUNT/choice")
    assert run("prepare", "phantoms-instructions", "--out", out, *sizes, *hold) == 0
    printed = capsys.readouterr().out
    assert "rows by modality: ct " in printed
    records = json.loads((out / "raw" / RAW_FILE).read_text())
    assert len(records) == len(list((out / "raw" / "images").iterdir())) == 40
    assert all(4 <= len(record["conversations"]) <= 10 for record in records)
    texts = [turn["value"] for record in records for turn in record["conversations"]]
    assert not any(
        "side?" in text.lower() or "How many lesions are there? options:" in text for text in texts
    )
    dataset = PreparedDataset(out / "instructions")
    assert dataset.card.image_counts == {"train": 34, "valid": 3, "test": 3}
    assert dataset.card.name == "biomed-vital"
    assert (out / "instructions" / "vocabulary").is_dir()
    held = PreparedDataset(out / "held-out").split("test")
    assert set(held.column("question_type")) == {
        "POS/open",
        "POS/yes-no",
        "POS/choice",
        "COUNT/choice",
    }
    for folder in ("instructions", "held-out"):
        assert check_dataset(out / folder).problems == []


def test_the_same_seed_gives_the_same(tmp_path):
    cards = [
        write_phantom_instructions(
            tmp_path / name, train=6, valid=1, test=2, size=48, hold_out=["ABN"], vocabulary=False
        )
        for name in ("a", "b")
    ]
    assert {f: c.hashes for f, c in cards[0].items()} == {f: c.hashes for f, c in cards[1].items()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hold-out", "COLOUR"), "--hold-out COLOUR: must be one of ABN, "),
        (("--raw", "."), "are generated: leave out --raw"),
        (("--images", 0, 0, 1), "0, 0 and 1 images"),
        (("--images", 4, 2, 1), "too few to hold 2 out"),
    ],
)
def test_options_that_make_no_sense_are_one_line(tmp_path, words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        run("prepare", "phantoms-instructions", "--out", tmp_path / "out", *words)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="vqa-rad holds no questions out"):
        run("prepare", "vqa-rad", "--raw", ".", "--out", tmp_path / "out", "--hold-out", "POS")
