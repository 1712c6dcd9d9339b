"""What a checkpoint says about itself: the same in every format, whole or refused."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_samples import (
    random_description,
    run_state,
    small_checkpoint,
    write_all,
    write_run_file,
)

from biomedgpt.checkpoints.checkpoint import load_checkpoint, read_checkpoint
from biomedgpt.checkpoints.convert import TargetFormat, convert
from biomedgpt.checkpoints.description import CheckpointInfo, Description
from biomedgpt.checkpoints.embedded import KEY, embed, pack
from biomedgpt.checkpoints.formats import FORMATS, find_format
from biomedgpt.checkpoints.inspection import inspect_checkpoint
from biomedgpt.checkpoints.native import write_info, write_native
from biomedgpt.checkpoints.source import Source
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.cli.main import main
from biomedgpt.errors import BiomedGPTError, CheckpointError
from biomedgpt.tasks import TASKS
from biomedgpt.vocabulary import Vocabulary

COMBINATIONS = 50
"""Of random options per task."""


@pytest.fixture(scope="module")
def stored() -> StoredCheckpoint:
    return small_checkpoint(name="a model", task="vqa", answers=("yes", "no"))


def changed(stored: StoredCheckpoint, description: Description) -> StoredCheckpoint:
    return replace(stored, preprocessing=description.preprocessing, info=description.info)


@pytest.mark.parametrize("task", TASKS)
def test_whatever_is_said_is_read_again(stored: StoredCheckpoint, task: str) -> None:
    for seed in range(COMBINATIONS):
        description = random_description(random.Random(seed), task, stored.description)
        content = json.loads(json.dumps(description.to_json()))
        assert Description.parse(content, "x", fix="") == description, seed


@pytest.mark.parametrize("task", TASKS)
def test_all_formats_say_the_same(tmp_path: Path, stored: StoredCheckpoint, task: str) -> None:
    description = random_description(random.Random(len(task)), task, stored.description)
    for kind, path in write_all(changed(stored, description), tmp_path).items():
        found = read_checkpoint(path)
        assert found.description == description, kind
        assert found.vocabulary.fingerprint == stored.vocabulary.fingerprint
        inspected = inspect_checkpoint(path)
        assert (inspected.format, inspected.problem) == (kind, None)
        assert inspected.info == description.info
        assert inspected.image_size == description.preprocessing.image_size


def test_a_run_file_is_converted_with_all_it_says(tmp_path: Path, stored: StoredCheckpoint) -> None:
    description = random_description(random.Random(3), "vqa", stored.description)
    source = tmp_path / "checkpoint_best.pt"
    write_run_file(changed(stored, description), source)
    steps: tuple[tuple[str, TargetFormat], ...] = (
        ("a", "native"),
        ("b.pt", "fairseq"),
        ("c", "hf"),
    )
    for name, to in steps:
        convert(source, tmp_path / name, to)
        source = tmp_path / name
        found = read_checkpoint(source).description
        # That other programs cannot use a model of this size is noted on the way.
        notes = found.info.notes[: len(description.info.notes)]
        assert replace(found, info=replace(found.info, notes=notes)) == description


def test_each_source_is_of_one_format(tmp_path: Path, stored: StoredCheckpoint) -> None:
    (tmp_path / "vocabulary").mkdir()
    stored.vocabulary.save(tmp_path / "vocabulary")
    places = list(write_all(stored, tmp_path).items())
    torch.save(run_state(stored), tmp_path / "older.pt")
    torch.save(dict(stored.weights), tmp_path / "bare.pt")
    places += [("run", tmp_path / "older.pt"), ("fairseq", tmp_path / "bare.pt")]
    places += [("run", tmp_path)]
    for kind, path in places:
        assert [one.name for one in FORMATS if one.recognises(Source(path))] == [kind], path
    with pytest.raises(CheckpointError, match="no checkpoint in it"):
        find_format(Source(tmp_path / "vocabulary"))


# Damage

KEYS = sorted(small_checkpoint().description.to_json())
WRONG: tuple[Any, ...] = (None, 3, "x", ["x"], {"x": "x"}, True)


def fits(key: str, value: Any) -> bool:
    """Say whether a value may stand for a key."""
    texts = ("name", "dataset", "dataset_hash", "licence", "source", "doubt")
    return {
        "task": value is None,
        "decoding": value is None,
        "answers": value == ["x"],
        "notes": value == ["x"],
        "settings": value == {"x": "x"},
        **dict.fromkeys(texts, value == "x"),
    }.get(key, False)


@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_value_is_refused_in_one_line(stored: StoredCheckpoint, key: str) -> None:
    content = json.loads(json.dumps(stored.description.to_json()))
    for value in WRONG:
        if fits(key, value):
            Description.parse(content | {key: value}, "x.pt", fix="fix it")
            continue
        with pytest.raises(CheckpointError, match=r"^x\.pt: ") as caught:
            Description.parse(content | {key: value}, "x.pt", fix="fix it")
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(("; fix it", "upgrade biomedgpt", "task first"))
    del content[key]
    with pytest.raises(CheckpointError, match=r"^x\.pt: "):
        Description.parse(content, "x.pt", fix="fix it")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("preprocessing", {"image_size": 0}, "image_size is 0"),
        ("preprocessing", {"max_image_size": 10**9}, "max_image_size is"),
        ("preprocessing", {"mean": [1, 2]}, "mean is"),
        ("preprocessing", {"more": 1}, "unknown keys more"),
        ("decoding", {"beam": 0}, "beam must be"),
        ("decoding", {"sampling": "yes"}, "sampling is 'yes'"),
        ("decoding", {"more": 1}, "unknown keys more"),
        ("task_options", {"more": 1}, "vqa has no options more"),
        ("task_options", {"max_source_words": "many"}, "max_source_words of task vqa is 'many'"),
        ("task_options", {"max_source_words": 0}, "must be at least 1"),
        ("task_options", {"prompt_type": "all"}, "prompt type 'all' is unknown"),
        ("calibration", {"temperature": "hot"}, "calibration is"),
        ("model", {"heads": "4"}, "model option heads is '4'"),
        ("model", {"heads": 0}, "model option heads is 0"),
        ("model", {"token_bucket_size": 0}, "model option token_bucket_size is 0"),
        ("preprocessing", {"std": [0.5, 0.0, 0.5]}, "std is"),
        ("preprocessing", {"mean": [0.5, float("inf"), 0.5]}, "mean is"),
        ("decoding", {"temperature": float("nan")}, "temperature must be a number"),
        ("calibration", {"temperature": 0.0}, "calibration is"),
        ("calibration", {"temperature": -1.0}, "calibration is"),
    ],
)
def test_a_wrong_value_within_is_refused(
    stored: StoredCheckpoint, part: str, change: dict[str, Any], message: str
) -> None:
    content = json.loads(json.dumps(stored.description.to_json()))
    content["decoding"] = {"beam": 5}
    content[part] |= change
    with pytest.raises(CheckpointError, match=message):
        Description.parse(content, "x", fix="")


@pytest.mark.parametrize("answers", [["a", "a"], [""], ["a", " "]])
def test_answers_that_cannot_be_told_apart_are_refused(
    stored: StoredCheckpoint, answers: list[str]
) -> None:
    content = json.loads(json.dumps(stored.description.to_json())) | {"answers": answers}
    with pytest.raises(CheckpointError, match="answers is"):
        Description.parse(content, "x", fix="")


@pytest.mark.parametrize("key", [*KEYS, "the text", "the vocabulary", "both"])
def test_a_run_file_with_a_damaged_description_is_refused(
    tmp_path: Path, stored: StoredCheckpoint, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than read as one of an earlier version, by what lies beside it."""
    stored.vocabulary.save(tmp_path / "vocabulary")
    ours: Any = embed(stored.description, pack(stored.vocabulary))
    match key:
        case "the text":
            ours["description"] = ours["description"][:-9]
        case "the vocabulary":
            ours["vocabulary"]["vocabulary.json"][5] ^= 1
        case "both":
            ours = [ours]
        case _:
            content = json.loads(ours["description"])
            ours["description"] = json.dumps(content | {key: -1})
    state = run_state(stored)
    state["extra_state"][KEY] = ours
    path = tmp_path / "checkpoint_best.pt"
    torch.save(state, path)
    with pytest.raises(BiomedGPTError) as caught:
        load_checkpoint(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert main(["inspect", str(path)]) == 1
    assert str(caught.value) in capsys.readouterr().out


# Versions


def test_a_folder_of_version_1_is_read_and_becomes_version_2(
    tmp_path: Path, stored: StoredCheckpoint
) -> None:
    write_native(stored, tmp_path / "out")
    path = tmp_path / "out" / "config.json"
    content = json.loads(path.read_text())
    assert content["format_version"] == 2
    for key in ("dataset", "dataset_hash", "settings", "doubt"):
        del content[key]
    del content["files"]["config.json"]
    path.write_text(json.dumps(content | {"format_version": 1}))
    info = read_checkpoint(tmp_path / "out").info
    assert info == stored.info
    assert (info.dataset, info.dataset_hash, info.settings) == ("", "", {})
    write_info(tmp_path / "out", replace(info, calibration={"temperature": 2.0}))
    assert json.loads(path.read_text())["format_version"] == 2
    assert read_checkpoint(tmp_path / "out").info.calibration == {"temperature": 2.0}


def test_a_newer_version_asks_for_an_upgrade(stored: StoredCheckpoint) -> None:
    content = stored.description.to_json() | {"format_version": 3, "new": 1}
    with pytest.raises(CheckpointError, match=r"format version 3.*upgrade biomedgpt"):
        Description.parse(content, "x", fix="")


def test_a_task_that_this_program_does_not_know_is_named(
    tmp_path: Path, stored: StoredCheckpoint
) -> None:
    """Of a newer program, or one that a user has added on another machine."""
    other = replace(stored, info=CheckpointInfo(task="bone_age", task_options={"unit": "months"}))
    for path in write_all(other, tmp_path).values():
        with pytest.raises(CheckpointError, match="trained for the task 'bone_age', which") as info:
            load_checkpoint(path)
        assert "\n" not in str(info.value)


# Files of runs


def test_nothing_beside_a_file_has_a_say(tmp_path: Path, stored: StoredCheckpoint) -> None:
    path = tmp_path / "checkpoint_best.pt"
    write_run_file(stored, path)
    other = Vocabulary.train_sentencepiece([" a b"], size=280, num_codes=9)
    other.save(tmp_path / "vocabulary")
    for name in ("dataset.json", "run.json"):
        (tmp_path / name).write_text("{")
    (tmp_path / "run.json").write_text('{"recipe": "mednli"}')
    for source in (tmp_path, path):
        found = load_checkpoint(source)
        assert found.info == stored.info
        assert found.vocabulary.fingerprint == stored.vocabulary.fingerprint


@pytest.mark.parametrize("kind", ["native", "hf", "fairseq", "run"])
def test_a_vocabulary_that_is_given_must_be_its_own(
    tmp_path: Path, stored: StoredCheckpoint, kind: str
) -> None:
    path = write_all(stored, tmp_path)[kind]
    stored.vocabulary.save(tmp_path / "same")
    load_checkpoint(path, vocabulary=tmp_path / "same")
    Vocabulary.train_sentencepiece([" a b"], size=280, num_codes=9).save(tmp_path / "other")
    with pytest.raises(CheckpointError, match="trained with another vocabulary"):
        load_checkpoint(path, vocabulary=tmp_path / "other")


def test_a_file_of_an_earlier_version_says_what_was_used(
    tmp_path: Path, stored: StoredCheckpoint
) -> None:
    stored.vocabulary.save(tmp_path / "vocabulary")
    (tmp_path / "run.json").write_text('{"recipe": "vqa-rad"}')
    torch.save(run_state(stored), tmp_path / "checkpoint_last.pt")
    info = load_checkpoint(tmp_path).info
    assert info.task == "vqa"
    assert info.notes[-1].endswith("what lay beside it was used: vocabulary, run.json.")
    assert info.settings == {"dropout": 0.1, "updates": 7}
    assert inspect_checkpoint(tmp_path).info == info
