"""The file of a training run answers alone as it does in its run."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT
from fairseq_data import make_dataset
from omegaconf import OmegaConf

import biomedgpt
from biomedgpt.checkpoints.checkpoint import read_checkpoint
from biomedgpt.checkpoints.description import options_of
from biomedgpt.checkpoints.embedded import KEY
from biomedgpt.checkpoints.inspection import inspect_checkpoint
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.cli.main import main
from biomedgpt.data.imaging.images import HALF, IMAGENET
from biomedgpt.data.phantom_releases.text_and_image import write_phantom_interleaved
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.examples.segments import IMAGES, ImageCodes
from biomedgpt.inference import Predictor

QUESTIONS = ("is the square red?", "what is the colour of the square?")


def train(data: Path, save: Path) -> None:
    """Two updates with options that no default would guess."""
    command = [
        *(sys.executable, "-m", "fairseq_cli.train", str(data), "--cpu", "--save-dir", str(save)),
        *("--user-dir", str(ROOT / "fairseq_ext"), "--task", "biomedgpt"),
        *("--arch", "biomedgpt_nano", "--criterion", "adjust_label_smoothed_cross_entropy"),
        *("--label-smoothing", "0.1", "--patch-image-size", "48", "--batch-size", "4"),
        *("--optimizer", "adam", "--lr", "2e-3", "--max-update", "2", "--update-freq", "2"),
        *("--max-src-length", "9", "--prompt-type", "src", "--imagenet-default-mean-and-std"),
        *("--store-ema", "--ema-decay", "0.9", "--seed", "5", "--disable-validation"),
        *("--max-positions", "64", "--num-workers", "0", "--log-format", "json"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def answers(model: Predictor, image: Image.Image) -> list[dict[str, Any]]:
    found = []
    for question in QUESTIONS:
        result = model.answer(image, question)
        assert not isinstance(result, list)
        found.append(result.to_dict())
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What a run says in its place, and the file alone, the run and its data moved away."""
    folder = tmp_path_factory.mktemp("demo")
    data, run = make_dataset(folder / "data"), folder / "run"
    train(data, run)
    shutil.copytree(data / "vocabulary", run / "vocabulary")
    shutil.copy(data / "dataset.json", run)
    prepared = PreparedDataset(data)
    image = Image.new("RGB", (60, 40), (30, 200, 40))
    image.save(folder.parent / "x.png")
    found = SimpleNamespace(
        image=image,
        answers=answers(biomedgpt.load(run, device="cpu"), image),
        stored=read_checkpoint(run),
        inspection=asdict(inspect_checkpoint(run)),
        card=prepared.card,
        hash=prepared.hash,
        picture=folder.parent / "x.png",
        # As a program of before would have written it, in its place.
        older=older_answers(run, folder / "older", image),
    )
    alone = tmp_path_factory.mktemp("alone")
    shutil.copy(run / "checkpoint_last.pt", alone / "model.pt")
    shutil.move(folder, folder.with_name("away"))
    return SimpleNamespace(**vars(found), file=alone / "model.pt", run=folder.parent / "away/run")


def older_answers(run: Path, copy: Path, image: Image.Image) -> SimpleNamespace:
    shutil.copytree(run, copy)
    path = copy / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    del state["extra_state"][KEY]
    torch.save(state, path)
    return SimpleNamespace(
        stored=read_checkpoint(copy), answers=answers(biomedgpt.load(copy, device="cpu"), image)
    )


def test_the_file_alone_answers_as_the_run_did(trained: SimpleNamespace) -> None:
    model = biomedgpt.load(trained.file, device="cpu")
    assert answers(model, trained.image) == trained.answers
    assert trained.answers[0]["text"] in trained.card.answers
    stored = read_checkpoint(trained.file)
    assert stored.description == trained.stored.description
    assert stored.vocabulary.fingerprint == trained.stored.vocabulary.fingerprint


def test_the_file_says_what_the_run_was(trained: SimpleNamespace) -> None:
    stored: StoredCheckpoint = read_checkpoint(trained.file)
    info, pixels = stored.info, stored.preprocessing
    assert (info.name, info.task, info.answers) == ("run", "vqa", tuple(trained.card.answers))
    assert (info.dataset, info.dataset_hash) == ("squares", trained.hash)
    assert info.task_options == {
        "prompt_type": "src",
        "constrained": True,
        "max_source_words": 9,
        "max_target_tokens": 40,
        "max_source_tokens": 1024,
        "add_object": False,
        "max_object_words": 30,
    }
    assert (pixels.image_size, pixels.normalization) == (48, IMAGENET)
    assert stored.config.max_positions == 64
    settings = {
        "learning_rate": 2e-3,
        "max_updates": 2,
        "updates": 2,
        "batch_size": 4,
        "update_freq": 2,
        "devices": 1,
        "precision": "float32",
        "seed": 5,
        "label_smoothing": 0.1,
        "ema_decay": 0.9,
    }
    assert settings.items() <= info.settings.items()
    assert not any("/" in str(value) for value in info.settings.values())


def test_predict_and_inspect_know_the_file_alone(
    trained: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "--checkpoint", str(trained.file), "--image", str(trained.picture)]
    assert main([*command, "--text", QUESTIONS[0], "--device", "cpu", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == trained.answers[0]
    assert shown.err == ""
    assert main(["inspect", str(trained.file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = json.loads(json.dumps(trained.inspection))
    assert found == expected | {"path": str(trained.file)}
    assert main(["inspect", str(trained.file)]) == 0
    text = capsys.readouterr().out
    for part in (f"squares (hash {trained.hash})", "learning_rate = 0.002", "prompt_type = src"):
        assert part in text, part


def test_a_file_of_before_says_the_same_where_its_data_are(trained: SimpleNamespace) -> None:
    older, stored = trained.older, trained.stored
    assert older.answers == trained.answers
    assert (older.stored.config, older.stored.preprocessing) == (
        *(stored.config, stored.preprocessing),
    )
    names = ("task", "decoding", "answers", "dataset", "dataset_hash", "settings", "doubt")
    for name in names:
        assert getattr(older.stored.info, name) == getattr(stored.info, name), name
    assert older.stored.info.notes[-1].endswith("was used: vocabulary, dataset.json.")


def test_a_file_of_before_without_its_data_warns(
    trained: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(trained.file, weights_only=True)
    del state["extra_state"][KEY]
    torch.save(state, tmp_path / "model.pt")
    vocabulary = trained.run / "vocabulary"
    command = ["predict", "--checkpoint", str(tmp_path / "model.pt"), "--device", "cpu"]
    command += ["--vocabulary", str(vocabulary), "--image", str(trained.picture)]
    assert main([*command, "--text", QUESTIONS[0]]) == 1
    errors = capsys.readouterr().err
    assert errors.count("note: ") == 3
    assert errors.endswith(
        "error: the checkpoint was trained for no single task; say what to do, --task\n"
    )
    model = biomedgpt.load(tmp_path / "model.pt", vocabulary=vocabulary, device="cpu")
    result = model.answer(trained.image, QUESTIONS[0])
    assert not isinstance(result, list)
    assert "its data were not found" in result.warnings[0]


def test_stock_fairseq_opens_the_file(trained: SimpleNamespace) -> None:
    code = """
import json, sys, torch
from fairseq import checkpoint_utils
state = checkpoint_utils.load_checkpoint_to_cpu(sys.argv[1])
whole = torch.load(sys.argv[1], weights_only=True)
print(json.dumps([list(state), list(state["extra_state"]), list(whole), state["cfg"].task._name]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(trained.file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    keys, extra, whole, task = json.loads(done.stdout.splitlines()[-1])
    published = ["args", "cfg", "model", "criterion", "optimizer_history", "task_state"]
    assert set(keys) == set(whole) == {*published, "extra_state", "last_optimizer_state"}
    assert {"train_iterator", "val_loss", "ema", KEY} <= set(extra)
    assert task == "biomedgpt"


# Whatever a task is trained with


def write_file(task: Any, path: Path) -> None:
    """Write a checkpoint of a task as its run would."""
    from fairseq_ext import checkpoints

    options = {"_name": "biomedgpt_nano", "size": "nano", "image_bucket_size": 8}
    model = task.build_model(OmegaConf.create(options))
    state = {
        "cfg": {"model": options, "task": {}, "checkpoint": {"save_dir": str(path.parent)}},
        "model": model.state_dict(),
        "task_state": task.state_dict(),
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    checkpoints.write(state, str(path))
    assert KEY not in state["extra_state"]


def random_options(draw: random.Random) -> dict[str, Any]:
    options: dict[str, Sequence[Any]] = {
        "patch_image_size": (None, 32, 64),
        "max_src_length": (None, 5, 100),
        "max_tgt_length": (None, 7),
        "prompt_type": (None, "none", "prev_output", "src"),
        "add_object": (None, False, True),
        "unconstrained": (None, False, True),
        "imagenet_default_mean_and_std": (None, False, True),
    }
    return {name: draw.choice(values) for name, values in options.items()}


@pytest.mark.parametrize("seed", range(6))
def test_options_of_a_training_are_those_of_its_file(
    trained: SimpleNamespace, tmp_path: Path, seed: int
) -> None:
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    options = random_options(random.Random(seed))
    data = trained.run.parent / "data"
    task = BiomedGPTTask(OmegaConf.structured(BiomedGPTTaskConfig(data=str(data), **options)))
    write_file(task, tmp_path / "x.pt")
    found = read_checkpoint(tmp_path / "x.pt")
    assert found.info.task_options == options_of(task.definition)
    assert found.info.decoding == task.definition.decoding
    assert found.info.answers == (() if options["unconstrained"] else tuple(trained.card.answers))
    imagenet = bool(options["imagenet_default_mean_and_std"])
    assert found.preprocessing.image_size == (options["patch_image_size"] or 256)
    assert found.preprocessing.normalization == (IMAGENET if imagenet else HALF)


def test_images_in_answers_are_options_too(tmp_path: Path) -> None:
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    write_phantom_interleaved(tmp_path / "data", train=3, valid=1, test=1, size=48)
    data = tmp_path / "data" / "instructions"
    task = BiomedGPTTask(BiomedGPTTaskConfig(data=str(data), patch_image_size=32))
    images = ImageCodes(image_grid=2, image_codes=4, image_tokenizer="abc")
    task.load_state_dict(task.state_dict() | {IMAGES: images.options()})
    write_file(task, tmp_path / "x.pt")
    found = read_checkpoint(tmp_path / "x.pt").info
    assert (found.task, found.answers) == ("instruction", ())
    assert images.options().items() <= found.task_options.items()


def test_a_pretrained_model_says_what_it_has_seen(trained: SimpleNamespace, tmp_path: Path) -> None:
    from fairseq_ext.pretraining import PretrainingTask, PretrainingTaskConfig

    data = trained.run.parent / "data"
    config = tmp_path / "pretraining.toml"
    config.write_text(f'image_size = 64\nmax_image_size = 128\n[streams.vqa]\ndata = "{data}"\n')
    options = PretrainingTaskConfig(data=str(config), vocabulary=str(data / "vocabulary"))
    write_file(PretrainingTask(OmegaConf.structured(options)), tmp_path / "x.pt")
    config.unlink()
    found = read_checkpoint(tmp_path / "x.pt")
    info, pixels = found.info, found.preprocessing
    assert (info.task, info.answers, info.notes, info.doubt) == (None, (), (), "")
    assert (info.dataset, len(info.dataset_hash)) == ("squares", 16)
    assert (pixels.image_size, pixels.max_image_size) == (64, 128)
