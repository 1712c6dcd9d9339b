"""Phantoms as instructions that ask for text and image, in MedMax's format."""

import json
from collections import Counter

import numpy as np
import pytest
from data_command import run

from biomedgpt.data.phantom_releases.text_and_image import (
    INTRODUCTIONS,
    dialogue,
    write_phantom_interleaved,
)
from biomedgpt.data.phantoms.phantom import generate
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.errors import ConfigError
from biomedgpt.tasks.dialogue import IMAGE_MARK


def test_most_dialogues_ask_for_a_drawing_whose_description_is_true():
    kinds: Counter[str] = Counter()
    for index in range(300):
        phantom = generate("t", index, seed=1, size=48)
        first, *more = dialogue(phantom, np.random.default_rng((1, index)))
        asked, answer = first
        if IMAGE_MARK in asked:
            kinds["asks about an image"] += 1
            assert IMAGE_MARK not in answer
            assert not more
            continue
        kinds["goes on"] += len(more)
        before, after = answer.split(f" {IMAGE_MARK} ")
        assert after == phantom.findings
        wanted = next(
            before.removeprefix(start).removesuffix(end)
            for start, end in (text.split("{}") for text in INTRODUCTIONS)
            if before.startswith(start)
        )
        assert wanted in asked
        article, _, caption = wanted.partition(" ")
        assert article == ("an" if caption.startswith("axial") else "a")
        leaves_open = caption != phantom.caption
        assert phantom.caption.startswith(caption)
        kinds["leaves lesions open"] += leaves_open
    assert 50 < kinds["asks about an image"] < 100
    assert 40 < kinds["leaves lesions open"] < 100
    assert 80 < kinds["goes on"] < 150


def test_the_release_is_read_as_medmax(tmp_path, capsys):
    out = tmp_path / "out"
    sizes = ("--images", 30, 3, 6, "--image-size", 48)
    assert run("prepare", "phantoms-interleaved", "--out", out, *sizes, "--no-vocabulary") == 0
    assert f"biomedgpt vqgan encode {out / 'instructions'}" in capsys.readouterr().out
    lines = (out / "raw" / "train.jsonl").read_text().splitlines()
    assert len(lines) == 36
    assert json.loads(lines[0])["text"].endswith("<END-OF-TURN>")
    dataset = PreparedDataset(out / "instructions")
    assert not check_dataset(dataset.folder).problems
    images = {name: dataset.split(name).num_images for name in dataset.splits}
    assert images == {"train": 30, "valid": 3, "test": 6}
    split = dataset.split("train")
    answers = {text: split.column("image_in").count(text) for text in ("answer", "")}
    assert answers["answer"] > 12
    assert answers[""] > 5
    for row in range(len(split)):
        shown = split.text("image_in", row) == "answer"
        assert (IMAGE_MARK in split.text("answer", row)) == shown
        assert split.image_index[row] >= 0


def test_what_cannot_be_drawn_is_refused(tmp_path):
    for counts in ((0, 1, 1), (5, 0, 1), (5, 1, 5)):
        with pytest.raises(ConfigError, match="images; give at least 1 each"):
            write_phantom_interleaved(
                tmp_path / "out", train=counts[0], valid=counts[1], test=counts[2]
            )
    with pytest.raises(ConfigError, match="leave out --part"):
        run("prepare", "phantoms-interleaved", "--out", tmp_path / "out", "--part", "all")
    assert not (tmp_path / "out").exists()
