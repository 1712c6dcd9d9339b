"""What a checkpoint is, without loading it into a model."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.checkpoint import find_checkpoint
from biomedgpt.checkpoints.description import CheckpointInfo
from biomedgpt.checkpoints.formats import find_format
from biomedgpt.checkpoints.source import Source
from biomedgpt.checkpoints.state_dict import (
    DERIVED_KEYS,
    TIED_KEYS,
    KeyDifferences,
    Shapes,
    compare_keys,
    identify_size,
    shapes_of,
)
from biomedgpt.checkpoints.stored import empty_model
from biomedgpt.errors import CheckpointError
from biomedgpt.model import PRESETS, ModelConfig

_SHOWN_OPTIONS = (
    *("arch", "patch_image_size", "max_src_length", "max_tgt_length"),
    *("prompt_type", "add_object", "ans2label_file", "unconstrained_training", "num_bins"),
    *("imagenet_default_mean_and_std", "label_smoothing", "lr", "max_epoch", "criterion"),
)
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in a file or folder."""

    path: str
    format: str
    """native, run, fairseq or hf."""
    bytes: int
    """Of the file of the weights."""
    size: str | None
    """Name of the preset that the weights belong to."""
    nearest: str | None
    """Preset of the same width, where the weights belong to none, and how they differ from it."""
    parameters: int
    """Without buffers; shared ones counted once."""
    keys: int
    dtypes: Mapping[str, int]
    """Number of keys by data type."""
    averaged: bool
    """Whether there is a moving average of the weights, besides the weights."""
    model: Mapping[str, Any]
    """Configuration of the model."""
    missing: tuple[str, ...] = ()
    """Keys that the model has and the file has not, derived and tied ones left out."""
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()
    published_task: str | None = None
    """What the program that wrote it called its task."""
    updates: int | None = None
    image_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the training, as far as the file tells."""
    info: CheckpointInfo = field(default_factory=CheckpointInfo)
    classes: tuple[str, ...] = ()
    """Classes that the file names, and that were replaced by empty ones."""
    not_finite: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Number of values that are ``nan`` and ``inf``, by the keys that have any; those of the moving
    average begin with ``average: ``."""
    problem: str | None = None
    """Why it cannot be loaded, or is of no use if it is; None if it can, given the right
    vocabulary."""


def inspect_checkpoint(source: str | Path) -> Inspection:
    """Say what a checkpoint is.

    Args:
        source: file, folder, or name of a fetched checkpoint.

    Raises:
        CheckpointError: it is no checkpoint, or it is damaged, or hostile; the message says what a
            hostile file asks for.
    """
    found = Source(find_checkpoint(source))
    kind = find_format(found)
    contents = kind.describe(found)
    config, weights, problem = contents.config, contents.weights, contents.problem
    path = str(found.path if found.file is None else found.file)
    shapes = shapes_of(weights)
    differences = KeyDifferences((), (), ())
    if config is not None:
        try:
            differences = compare_keys(empty_model(config, weights, path), shapes)
        except CheckpointError as error:
            problem = problem or str(error)
    counted = [
        value
        for key, value in weights.items()
        if key not in (*TIED_KEYS, *DERIVED_KEYS) and key.rpartition(".")[2] not in _STATISTICS
    ]
    options = contents.options
    not_finite = _not_finite(weights)
    not_finite |= {f"average: {key}": n for key, n in _not_finite(contents.average).items()}
    return Inspection(
        path=path,
        format=kind.name,
        bytes=contents.file.stat().st_size,
        size=identify_size(shapes),
        nearest=None if config is None else _nearest(config, weights, shapes),
        parameters=sum(value.numel() for value in counted),
        keys=len(weights) if contents.keys is None else contents.keys,
        dtypes=dict(Counter(str(value.dtype).removeprefix("torch.") for value in weights.values())),
        averaged=bool(contents.average),
        model={} if config is None else dataclasses.asdict(config),
        **differences._asdict(),
        published_task=contents.published_task,
        updates=contents.updates,
        image_size=None if contents.preprocessing is None else contents.preprocessing.image_size,
        options={name: options[name] for name in _SHOWN_OPTIONS if options.get(name) is not None},
        info=contents.info,
        classes=contents.classes,
        not_finite=not_finite,
        problem=problem or differences.counts() or _told(not_finite),
    )


def _not_finite(weights: Mapping[str, Tensor]) -> dict[str, Mapping[str, int]]:
    found: dict[str, Mapping[str, int]] = {}
    for key, value in weights.items():
        if key in (*TIED_KEYS, *DERIVED_KEYS) or not value.is_floating_point():
            continue
        if value.element_size() == 1:  # for which there is no such function
            value = value.float()
        if not bool(value.isfinite().all()):
            found[key] = {"nan": int(value.isnan().sum()), "inf": int(value.isinf().sum())}
    return found


def _told(not_finite: Mapping[str, Mapping[str, int]]) -> str | None:
    if not not_finite:
        return None
    return f"NaN or infinite values in {len(not_finite):,} keys, first {next(iter(not_finite))}"


def _nearest(config: ModelConfig, weights: Mapping[str, Tensor], shapes: Shapes) -> str | None:
    """Say how weights that belong to no preset differ from the one of the same width."""
    if identify_size(shapes) is not None:
        return None
    name = next((n for n, one in PRESETS.items() if one.embed_dim == config.embed_dim), None)
    if name is None:
        return None
    same = {"encoder_layers", "decoder_layers", "resnet_blocks", "ffn_dim", "heads"}
    wanted = {key: getattr(PRESETS[name], key) for key in same}
    found = compare_keys(empty_model(config.replace(**wanted), weights, name), shapes)
    return f"{name}, with {found.counts()}"
