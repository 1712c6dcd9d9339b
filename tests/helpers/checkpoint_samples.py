"""Checkpoints with random weights and descriptions, in every format."""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import torch

from biomedgpt.checkpoints.description import CheckpointInfo, Description, Preprocessing, options_of
from biomedgpt.checkpoints.embedded import KEY, embed, pack
from biomedgpt.checkpoints.fairseq_files import fairseq_weights, write_fairseq
from biomedgpt.checkpoints.huggingface import write_huggingface
from biomedgpt.checkpoints.native import write_native
from biomedgpt.checkpoints.state_dict import essential
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.data.imaging.images import HALF, IMAGENET
from biomedgpt.decoding import GenerationConfig
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.tasks import PromptType, get_task
from biomedgpt.vocabulary import Vocabulary


def small_checkpoint(**info: Any) -> StoredCheckpoint:
    """A `nano` with random weights."""
    vocabulary = Vocabulary.train_sentencepiece(
        [" is there a lesion? yes no"], size=290, num_codes=16, num_bins=4
    )
    torch.manual_seed(0)
    config = preset("nano", vocab_size=len(vocabulary), image_bucket_size=8, code_image_size=64)
    model = BiomedGPT(config)
    return StoredCheckpoint(
        weights=essential(model.state_dict(), config),
        config=config,
        vocabulary=vocabulary,
        preprocessing=Preprocessing(image_size=32),
        info=CheckpointInfo(**info),
    )


def random_description(draw: random.Random, task: str, like: Description) -> Description:
    """All that can be said of a checkpoint of a task, at random, about the model of another."""
    options = {name: _random_value(draw, name, v) for name, v in options_of(get_task(task)).items()}
    constrained = bool(options["constrained"])
    answers = ["yes", "no", "\u00fcber \u2264 5 mm", 'a "quoted", one', "x" * 200]
    size = draw.randint(16, 500)
    return replace(
        like,
        preprocessing=Preprocessing(
            image_size=size,
            max_image_size=size + draw.randint(0, 500),
            normalization=draw.choice((HALF, IMAGENET)),
        ),
        info=CheckpointInfo(
            name=f"run {draw.randint(0, 99)}",
            task=task,
            task_options=options,
            decoding=draw.choice((None, _random_decoding(draw))),
            answers=tuple(draw.sample(answers, 3)) if constrained else (),
            dataset="squares",
            dataset_hash=f"{draw.getrandbits(64):016x}",
            settings={"learning_rate": draw.random(), "seed": draw.randint(0, 9), "lr": [1, 2.5]},
            licence="CC0",
            source="a test",
            expected_score={"accuracy": draw.random()},
            calibration=draw.choice(({}, {"temperature": 1.5})),
            notes=("One.", "Two."),
            doubt=draw.choice(("", "not known")),
        ),
    )


def _random_value(draw: random.Random, name: str, default: Any) -> Any:
    if name == "prompt_type":
        return draw.choice(get_args(PromptType))
    if isinstance(default, bool):
        return draw.random() < 0.5
    if isinstance(default, int):
        return draw.randint(1, 2000)
    if isinstance(default, str):
        return f"{draw.getrandbits(32):08x}"
    return default


def _random_decoding(draw: random.Random) -> GenerationConfig:
    sampling = draw.random() < 0.5
    return GenerationConfig(
        beam=draw.randint(1, 20),
        max_len=draw.randint(5, 300),
        min_len=draw.randint(0, 5),
        length_penalty=draw.uniform(0, 2),
        unnormalized=draw.random() < 0.5,
        temperature=draw.uniform(0.1, 2),
        no_repeat_ngram_size=draw.randint(0, 4),
        sampling=sampling,
        top_k=draw.randint(0, 50) if sampling else 0,
        top_p=draw.uniform(0.1, 1) if sampling else 1.0,
        seed=draw.randint(0, 9),
    )


def run_state(stored: StoredCheckpoint, **parts: Any) -> dict[str, Any]:
    """What fairseq writes in training, without a description."""
    config = asdict(stored.config)
    kept = ("image_bucket_size", "code_image_size", "max_positions", "image_scales")
    model = {"_name": "biomedgpt_nano", "size": "nano", "dropout": 0.1}
    return {
        "args": None,
        "cfg": {
            "model": model | {name: config[name] for name in kept},
            "task": {"_name": "biomedgpt", "data": "nowhere"},
        },
        "model": fairseq_weights(stored),
        "task_state": {"vocabulary": stored.vocabulary.fingerprint},
        "extra_state": {"train_iterator": {"epoch": 1}, "val_loss": 0.5},
        "optimizer_history": [{"num_updates": 7}],
    } | parts


def write_run_file(stored: StoredCheckpoint, path: Path) -> None:
    """Write the checkpoint of a run that describes itself."""
    state = run_state(stored)
    state["extra_state"][KEY] = embed(stored.description, pack(stored.vocabulary))
    torch.save(state, path)


WRITERS: Mapping[str, tuple[str, Callable[[StoredCheckpoint, Path], None]]] = {
    "native": ("native", write_native),
    "hf": ("hf", write_huggingface),
    "fairseq": ("converted.pt", write_fairseq),
    "run": ("checkpoint_best.pt", write_run_file),
}
"""By the name of the format: what the file or folder is called, and what writes it."""


def write_all(stored: StoredCheckpoint, folder: Path) -> dict[str, Path]:
    """Write a checkpoint in every format; return where, by the name of the format."""
    for name, write in WRITERS.values():
        write(stored, folder / name)
    return {kind: folder / name for kind, (name, _) in WRITERS.items()}
