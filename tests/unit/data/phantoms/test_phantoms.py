import io
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biomedgpt.data.phantoms.phantom import Phantom, generate
from biomedgpt.data.phantoms.phantom_dataset import write_phantoms
from biomedgpt.data.phantoms.scene import sample_scene
from biomedgpt.data.phantoms.wording import ask
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError
from biomedgpt.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [generate("train", i, seed=3, size=64) for i in range(900)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "out"
    write_phantoms(out, train=40, valid=5, test=8, size=64, seed=3, num_codes=16)
    return out


def test_a_phantom_depends_on_its_arguments_only() -> None:
    first = generate("train", 7, seed=3)
    generate("valid", 1, seed=9)
    again = generate("train", 7, seed=3)
    assert first.image.shape == (96, 96)
    assert np.array_equal(first.image, again.image)
    assert first.questions == again.questions
    for split, index, seed in [("test", 7, 3), ("train", 8, 3), ("train", 7, 4)]:
        assert not np.array_equal(first.image, generate(split, index, seed=seed).image)


def test_the_scene_is_the_same_at_every_size() -> None:
    for index in range(20):
        small, large = (generate("train", index, seed=3, size=size) for size in (96, 192))
        assert large.image.shape == (192, 192)
        assert (small.questions, small.findings) == (large.questions, large.findings)
        boxes = [np.array([lesion.box for lesion in p.lesions]) for p in (small, large)]
        assert np.allclose(boxes[0] * 2, boxes[1])
        # Halved, the large picture is the small one but for noise.
        halved = large.image.reshape(96, 2, 96, 2).mean(axis=(1, 3))
        assert np.abs(halved - small.image).mean() < 12


def test_all_texts_tell_the_same_story(phantoms: list[Phantom]) -> None:
    for p in phantoms:
        sides = {lesion.side for lesion in p.lesions}
        kinds = {lesion.kind for lesion in p.lesions}
        assert len(p.lesions) <= 3
        assert len(kinds) == (1 if p.lesions else 0)
        assert p.label == (kinds.pop() if p.lesions else "normal")
        side = "both" if len(sides) == 2 else next(iter(sides), "")
        truth = {
            "ORGAN": p.view,
            "MODALITY": p.modality,
            "POS": side,
            "COUNT": str(len(p.lesions)),
            "ABN": p.label,
        }
        for question in p.questions:
            if question.question_type == "PRES":
                said_ill = (question.answer == "yes") != ("normal" in question.text)
                assert said_ill == bool(p.lesions)
                assert question.answer_type == "CLOSED"
            else:
                assert question.answer == truth[question.question_type]
                assert question.answer_type == "OPEN"
        assert p.view in p.caption
        assert p.view in p.impression
        assert p.findings.count("there is a ") == len(p.lesions)
        assert ("no lesion" in p.findings) == (not p.lesions)
        if p.lesions:
            assert p.label in p.caption
            assert p.label in p.impression
            assert f"{side} side" in p.caption


def test_boxes_hold_their_lesions(phantoms: list[Phantom]) -> None:
    middle = 32
    for p in phantoms:
        for lesion in p.lesions:
            x0, y0, x1, y1 = lesion.box
            assert 0 <= x0 < x1 <= 64
            assert 0 <= y0 < y1 <= 64
            assert 0.08 <= (x1 - x0) / 64 <= 0.18
            assert (x1 <= middle) if lesion.side == "left" else (x0 >= middle)
        boxes = [lesion.box for lesion in p.lesions]
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                apart = np.hypot(*(np.add(a[:2], a[2:]) - np.add(b[:2], b[2:]))) / 2
                assert apart > (a[2] - a[0] + b[2] - b[0]) / 2  # circles do not touch


def test_kinds_differ_in_what_is_in_the_box(phantoms: list[Phantom]) -> None:
    """A nodule is bright in the middle and a cyst dark; a calcification is brightest."""
    centre: dict[str, list[float]] = defaultdict(list)
    peak: dict[str, list[float]] = defaultdict(list)
    for p in phantoms:
        for lesion in p.lesions:
            x0, y0, x1, y1 = (round(value) for value in lesion.box)
            patch = p.image[y0:y1, x0:x1].astype(float)
            third = len(patch) // 3
            centre[lesion.kind].append(patch[third:-third, third:-third].mean())
            peak[lesion.kind].append(np.percentile(patch, 95))
    assert np.percentile(centre["cyst"], 98) < np.percentile(centre["nodule"], 2)
    assert np.median(peak["calcification"]) > np.median(peak["nodule"]) + 20
    assert np.median(peak["nodule"]) > np.median(peak["cyst"])


def test_text_alone_answers_less_than_half() -> None:
    """The best any model can do that never looks: the commonest answer to each exact question."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[str, set[str]] = defaultdict(set)
    rng = np.random.default_rng(5)
    for _ in range(10_000):
        for question in ask(sample_scene(rng), rng):
            answers[question.text][question.answer] += 1
            kinds[question.question_type].add(question.text)
    assert kinds.keys() == {"ORGAN", "MODALITY", "PRES", "POS", "COUNT", "ABN"}
    assert all(len(texts) >= 2 for texts in kinds.values())
    best = sum(max(counts.values()) for counts in answers.values())
    assert best / sum(counts.total() for counts in answers.values()) <= 0.45
    for counts in answers.values():
        assert max(counts.values()) < 1.3 * min(counts.values())


def test_prepared_dataset_holds_the_phantoms(prepared: Path) -> None:
    dataset = PreparedDataset(prepared)
    assert dataset.card.task == "vqa"
    assert dataset.card.image_counts == {"train": 40, "valid": 5, "test": 8}
    assert dataset.card.image_size["max"] == [64, 64]
    assert set(dataset.card.leakage["shared_between_splits"]) == {
        "train/valid",
        "train/test",
        "valid/test",
    }
    for shared in dataset.card.leakage["shared_between_splits"].values():
        assert set(shared.values()) == {0}
    split = dataset.split("test")
    row = split[0]
    phantom = generate("test", 0, seed=3, size=64)
    question = phantom.questions[0]
    assert (row["id"], row["question"], row["answer"]) == (
        "test-00000-0",
        question.text,
        question.answer,
    )
    assert json.loads(row["references"]) == [{"answer": question.answer, "confidence": 1.0}]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["image"]))), phantom.image)
    assert len(set(split.column("id"))) == len(split)


def test_its_vocabulary_fits_its_texts(prepared: Path) -> None:
    vocabulary = Vocabulary.load(prepared / "vocabulary")
    assert (vocabulary.num_codes, vocabulary.num_bins) == (16, 1000)
    split = PreparedDataset(prepared).split("test")
    for question in split.column("question"):
        ids = vocabulary.encode_text(f" {question}")
        assert len(ids) <= 2 * len(question.split())
        assert vocabulary.decode_text(ids) == f" {question}"


def test_writing_twice_gives_the_same_files(prepared: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "b", train=40, valid=5, test=8, size=64, seed=3, num_codes=16)
    first, second = (PreparedDataset(folder) for folder in (prepared, tmp_path / "b"))
    assert first.card.hashes == second.card.hashes
    pair = [Vocabulary.load(folder / "vocabulary") for folder in (prepared, tmp_path / "b")]
    assert pair[0].fingerprint == pair[1].fingerprint


def test_bad_arguments_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 phantoms for valid"):
        write_phantoms(tmp_path / "x", train=1, valid=0, test=1)
    with pytest.raises(ConfigError, match="100000 pixels are too large; ask for 4096"):
        generate("train", 0, seed=1, size=100_000)
    with pytest.raises(ConfigError, match="32 pixels are too small"):
        write_phantoms(tmp_path / "x", size=32)
    with pytest.raises(ConfigError, match="must not be negative"):
        generate("train", -1, seed=0)
    assert list(tmp_path.iterdir()) == []
