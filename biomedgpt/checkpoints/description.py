"""What a checkpoint says about itself, the same in every format, as values of JSON.

Our own folder has it in ``config.json``, a folder for transformers in ``biomedgpt.json``, a file of
fairseq and one of a training run within the file (`biomedgpt.checkpoints.embedded`).
"""

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from biomedgpt.data.imaging.images import HALF, IMAGENET, Normalization
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import CheckpointError, ConfigError
from biomedgpt.model import ModelConfig
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.tasks import Task, get_task

FORMAT = "biomedgpt"
FORMAT_VERSION = 2
DEFAULT_IMAGE_SIZE = PretrainingConfig.image_size
"""Pixels of the images that the released models were pretrained with."""
DEFAULT_MAX_IMAGE_SIZE = PretrainingConfig.max_image_size
"""Pixels that their location bins stand for."""
TRAINING_ONLY = (
    *("dropout", "attention_dropout", "activation_dropout", "batch_norm"),
    *("encoder_drop_path", "decoder_drop_path", "resnet_drop_path", "checkpoint_activations"),
)
"""Options of `ModelConfig` that a model for use has not: how it was trained is no part of it."""

# Options of the model that every description has, whatever version wrote it.
_SHAPE = {
    *("vocab_size", "embed_dim", "ffn_dim", "heads", "encoder_layers", "decoder_layers"),
    *("resnet_blocks", "resnet_width", "max_positions", "token_bucket_size", "image_bucket_size"),
}
_SINCE_VERSION_2: Mapping[str, Any] = {
    "dataset": "",
    "dataset_hash": "",
    "settings": {},
    "doubt": "",
}
"""Keys that version 1 had not, and what they are for its checkpoints."""
AVERAGED = "Weights are the moving average of the training run."
"""Note of a checkpoint that is read with its average, as all are unless asked otherwise."""
_LARGEST_IMAGE = 65_535  # pixels along one side; beyond it a file is up to something


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image becomes pixels of the model's input."""

    image_size: int = DEFAULT_IMAGE_SIZE
    """Pixels along one side of the square that images are resized to."""
    max_image_size: int = DEFAULT_MAX_IMAGE_SIZE
    """Pixels that all location bins together stand for, along one side; an image of `image_size`
    uses the first ``image_size / max_image_size`` of them."""
    normalization: Normalization = HALF

    @classmethod
    def trained_with(
        cls, image_size: int | None, *, max_image_size: int | None = None, imagenet: bool = False
    ) -> Self:
        """Return what options of a training mean; those that are None have their defaults."""
        size = image_size or DEFAULT_IMAGE_SIZE
        return cls(
            image_size=size,
            max_image_size=max(size, max_image_size or DEFAULT_MAX_IMAGE_SIZE),
            normalization=IMAGENET if imagenet else HALF,
        )

    def reach(self, size: tuple[int, int]) -> tuple[float, float]:
        """Return what all location bins stand for, in pixels of an image of (width, height)."""
        share = self.image_size / self.max_image_size
        return size[0] / share, size[1] / share


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """What is known about a checkpoint; everything may be unknown."""

    name: str = ""
    task: str | None = None
    """A name of `biomedgpt.tasks.TASKS`; None for a pretrained model, or where nothing says it."""
    task_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the task that it was trained with, as `biomedgpt.tasks.Task.with_` takes them."""
    decoding: GenerationConfig | None = None
    """How answers are generated; None for the task's default."""
    answers: tuple[str, ...] = ()
    """Candidate answers, or classes."""
    dataset: str = ""
    """Name of the prepared dataset it was trained on."""
    dataset_hash: str = ""
    """Its hash, see `biomedgpt.data.prepared.dataset.PreparedDataset`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the training run, see `biomedgpt.checkpoints.settings`."""
    licence: str = ""
    """Of the weights."""
    source: str = ""
    """Where it comes from."""
    expected_score: Mapping[str, float] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)
    """Such as ``temperature`` and expected calibration error ``ece``."""
    notes: tuple[str, ...] = ()
    """What was left out, filled in or assumed when it was read, one sentence each."""
    doubt: str = ""
    """Why answers may be of another kind than those it was trained to give; every result carries it
    as a warning. Empty where nothing is wrong."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """All that using weights takes, but for the vocabulary."""

    config: ModelConfig
    preprocessing: Preprocessing
    info: CheckpointInfo

    def to_json(self) -> dict[str, Any]:
        """Return values of JSON; see `parse`."""
        model, preprocessing = asdict(self.config), asdict(self.preprocessing)
        normalization = preprocessing.pop("normalization")
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **asdict(self.info),
            "model": {name: model[name] for name in model if name not in TRAINING_ONLY},
            "preprocessing": preprocessing | normalization,
        }

    @classmethod
    def parse(cls, content: object, where: str | Path, *, fix: str) -> Self:
        """Return what values of JSON say.

        Args:
            content: what `to_json` returned, in this version or an earlier one.
            where: file that they are from, for messages.
            fix: what to do about a damaged one, for messages.

        Raises:
            CheckpointError: keys are missing or unknown, a value makes no sense, a newer program
                wrote it, or this program does not know the task.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(f"{where}: not the description of a checkpoint of ours; {fix}")
        version = content.get("format_version")
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise CheckpointError(
                f"{where}: format version {version!r}, this program reads 1 to {FORMAT_VERSION}; "
                "upgrade biomedgpt"
            )
        keys = {"format", "format_version", "model", "preprocessing"}
        keys |= {one.name for one in fields(CheckpointInfo)}
        if version == 1:
            keys -= _SINCE_VERSION_2.keys()
        if content.keys() != keys:
            wrong = ", ".join(sorted(map(str, content.keys() ^ keys)))
            raise CheckpointError(f"{where}: missing or unknown keys: {wrong}; {fix}")
        content = {**_SINCE_VERSION_2, **content}
        try:
            config = _config(content["model"])
            preprocessing = _preprocessing(content["preprocessing"])
            info = _info(content)
            if info.task is not None:
                options = _options(known_task(info.task, where), info.task_options)
                info = replace(info, task_options=options)
            return cls(config=config, preprocessing=preprocessing, info=info)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ConfigError) as error:
            raise CheckpointError(f"{where}: damaged ({error}); {fix}") from error


def as_text(content: Mapping[str, Any]) -> str:
    """Return JSON for people."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def options_of(task: Task) -> dict[str, Any]:
    """Return all options of a task with their values."""
    return {one.name: getattr(task, one.name) for one in fields(task)}


def known_task(name: str, where: str | Path) -> Task:
    """Return a task by the name that a checkpoint has for it.

    Raises:
        CheckpointError: there is none of that name in this program.
    """
    try:
        return get_task(name)
    except ConfigError as error:
        raise CheckpointError(
            f"{where}: trained for the task {name!r}, which this program does not know; name "
            "the file that registers it in $BIOMEDGPT_TASKS, or upgrade biomedgpt"
        ) from error


def _config(content: Any) -> ModelConfig:
    known = {one.name: one.type for one in fields(ModelConfig)}
    # Options that are newer than the description have defaults that leave the model what it was.
    if unknown := content.keys() - (known.keys() - set(TRAINING_ONLY)):
        raise TypeError(f"unknown model options {', '.join(sorted(unknown))}")
    if lacking := _SHAPE - content.keys():
        raise TypeError(f"no model options {', '.join(sorted(lacking))}")
    if zero := [one for one in _SHAPE if type(content[one]) is int and content[one] < 1]:
        raise ValueError(f"model option {min(zero)} is {content[min(zero)]}")
    for name, value in content.items():
        if name == "resnet_blocks":
            fits = len(value) == 3 and all(type(one) is int for one in value)
        else:
            fits = type(value) is known[name]
        if not fits:
            raise TypeError(f"model option {name} is {reprlib.repr(value)}")
    return ModelConfig(**(content | {"resnet_blocks": tuple(content["resnet_blocks"])}))


def _preprocessing(content: Any) -> Preprocessing:
    _check_keys(content, {"image_size", "max_image_size", "mean", "std"}, "preprocessing")
    for name in ("image_size", "max_image_size"):
        if type(content[name]) is not int or not 0 < content[name] <= _LARGEST_IMAGE:
            raise TypeError(f"{name} is {reprlib.repr(content[name])}")
    triples = []
    for name in ("mean", "std"):
        value = content[name]
        if not isinstance(value, list | tuple) or len(value) != 3 or not all(map(_number, value)):
            raise TypeError(f"{name} is {reprlib.repr(value)}")
        if not all(map(math.isfinite, value)) or (name == "std" and min(value) <= 0):
            raise ValueError(f"{name} is {reprlib.repr(value)}")
        triples.append((float(value[0]), float(value[1]), float(value[2])))
    return Preprocessing(
        image_size=content["image_size"],
        max_image_size=content["max_image_size"],
        normalization=Normalization(*triples),
    )


def _info(content: Mapping[str, Any]) -> CheckpointInfo:
    values: dict[str, Any] = {}
    for one in fields(CheckpointInfo):
        value = content[one.name]
        match one.name:
            case "task":
                fits = value is None or isinstance(value, str)
            case "decoding":
                fits, value = True, None if value is None else _decoding(value)
            case "answers" | "notes":
                fits = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
                value = tuple(value) if fits else value
            case "task_options" | "settings":
                fits = isinstance(value, dict) and all(isinstance(key, str) for key in value)
            case "expected_score" | "calibration":
                fits = isinstance(value, dict) and all(map(_number, value.values()))
                value = {str(k): float(v) for k, v in value.items()} if fits else value
            case _:
                fits = isinstance(value, str)
        if one.name == "answers" and fits:
            fits = all(map(str.strip, value)) and len(set(value)) == len(value)
        if one.name == "calibration" and fits:
            fits = value.get("temperature", 1.0) > 0 and all(map(math.isfinite, value.values()))
        if not fits:
            raise TypeError(f"{one.name} is {reprlib.repr(value)}")
        values[one.name] = value
    return CheckpointInfo(**values)


def _decoding(content: Any) -> GenerationConfig:
    defaults = asdict(GenerationConfig())
    _check_keys(content, defaults.keys(), "decoding")
    for name, value in content.items():
        if not _like(value, defaults[name]):
            raise TypeError(f"{name} is {reprlib.repr(value)}")
    return GenerationConfig(**content)


def _options(task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a task; TypeError or ConfigError where it does not take them."""
    known = options_of(task)
    if unknown := given.keys() - known.keys():
        raise TypeError(f"task {task.name} has no options {', '.join(sorted(unknown))}")
    options = {}
    for name, value in given.items():
        default = known[name]
        if not _like(value, default):
            raise TypeError(f"option {name} of task {task.name} is {reprlib.repr(value)}")
        # JSON has no tuples.
        listed = isinstance(default, tuple) and isinstance(value, list)
        options[name] = tuple(value) if listed else value
    task.with_(**options)
    return options


def _check_keys(content: Any, expected: Any, what: str) -> None:
    if not isinstance(content, dict):
        raise TypeError(f"{what} is {reprlib.repr(content)}")
    if unknown := content.keys() - expected:
        raise TypeError(f"{what} has unknown keys {', '.join(sorted(map(str, unknown)))}")


def _like(value: object, default: object) -> bool:
    """Say whether a value is of the type of a number, text or truth value that it stands for."""
    if isinstance(default, float):
        return _number(value)
    return not isinstance(default, bool | int | str) or type(value) is type(default)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
