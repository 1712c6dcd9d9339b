"""What a checkpoint is, without loading it into a model."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.checkpoint import find_checkpoint, find_in_run, is_run
from biomedgpt.checkpoints.fairseq_files import unpack
from biomedgpt.checkpoints.files import named_classes, read_torch_file
from biomedgpt.checkpoints.huggingface import (
    from_huggingface,
    is_huggingface,
    read_description,
    read_weights,
    unknown,
)
from biomedgpt.checkpoints.native import is_native, read_native
from biomedgpt.checkpoints.published import (
    MEND,
    PACKAGES,
    Published,
    modern_weights,
    parse_published,
    purpose,
)
from biomedgpt.checkpoints.runs import parse_run, read_run
from biomedgpt.checkpoints.state_dict import (
    TIED_KEYS,
    KeyDifferences,
    Shapes,
    compare_keys,
    identify_size,
    is_derived,
    shapes_of,
)
from biomedgpt.checkpoints.stored import (
    CheckpointInfo,
    StoredCheckpoint,
    empty_model,
)
from biomedgpt.errors import BiomedGPTError, CheckpointError
from biomedgpt.files import WEIGHTS
from biomedgpt.model import PRESETS, ModelConfig

_SHOWN_OPTIONS = (
    *("arch", "patch_image_size", "max_src_length", "max_tgt_length"),
    *("prompt_type", "add_object", "ans2label_file", "unconstrained_training", "num_bins"),
    *("imagenet_default_mean_and_std", "label_smoothing", "lr", "max_epoch", "criterion"),
)


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
    problem: str | None = None
    """Why it cannot be loaded; None if it can, given the right vocabulary."""

    def to_dict(self) -> dict[str, Any]:
        """Return values of JSON."""
        return dataclasses.asdict(self)


def inspect_checkpoint(source: str | Path) -> Inspection:
    """Say what a checkpoint is.

    Args:
        source: file, folder, or name of a fetched checkpoint.

    Raises:
        CheckpointError: it is no checkpoint, or it is damaged, or hostile; the message says what a
            hostile file asks for.
    """
    path = find_checkpoint(source)
    if is_native(path):
        stored = read_native(path)
        return _of_stored(stored, path / WEIGHTS, str(path), "native")
    if is_huggingface(path):
        file, weights = read_weights(path)
        return _of_huggingface(path, file, weights)
    if path.is_dir():
        path = find_in_run(path)
    classes = named_classes(path)
    state = read_torch_file(path, packages=PACKAGES, mend=MEND)
    inert = tuple(name for name in classes if name.partition(".")[0] in PACKAGES)
    if is_run(state):
        return _of_run(state, path, inert)
    return _of_published(state, path, inert)


def _of_stored(stored: StoredCheckpoint, file: Path, path: str, kind: str) -> Inspection:
    return _found(
        stored.weights,
        stored.config,
        path=path,
        format=kind,
        bytes=file.stat().st_size,
        averaged=False,
        image_size=stored.preprocessing.image_size,
        info=stored.info,
    )


def _of_huggingface(path: Path, file: Path, weights: Mapping[str, Tensor]) -> Inspection:
    renamed = {from_huggingface(key.removeprefix("model.")): v for key, v in weights.items()}
    described = read_description(path)
    published = Published(weights=renamed, averaged=False, options={}, task=None, updates=None)
    return _of_weights(
        published,
        str(file),
        path=str(path),
        format="hf",
        bytes=file.stat().st_size,
        averaged=False,
        image_size=None if described is None else described[1].image_size,
        info=unknown(path, ()) if described is None else described[2],
    )


def _of_run(state: Mapping[str, Any], path: Path, classes: tuple[str, ...]) -> Inspection:
    run = parse_run(state, path, ema=False)
    averaged = bool(state["extra_state"].get("ema"))
    options = {name: run.task[name] for name in _SHOWN_OPTIONS if run.task.get(name) is not None}
    problem, info, preprocessing = None, CheckpointInfo(name=path.resolve().parent.name), None
    try:
        stored = read_run(run)
        info, preprocessing = stored.info, stored.preprocessing
    except BiomedGPTError as error:
        problem = str(error)
    return _found(
        run.weights,
        run.config,
        path=str(path),
        format="run",
        bytes=path.stat().st_size,
        averaged=averaged,
        updates=state["optimizer_history"][-1]["num_updates"]
        if state.get("optimizer_history")
        else None,
        image_size=None if preprocessing is None else preprocessing.image_size,
        options=options,
        info=info,
        classes=classes,
        problem=problem,
    )


def _of_published(state: Mapping[str, Any], path: Path, classes: tuple[str, ...]) -> Inspection:
    published = parse_published(state, path, ema=False)
    extra = state.get("extra_state")
    options = published.options
    described, _ = unpack(state, path)
    preprocessing, info = purpose(published, path)
    size = preprocessing.image_size if "patch_image_size" in options else None
    if described is not None:
        _, preprocessing, info = described
        size = preprocessing.image_size
    return _of_weights(
        published,
        str(path),
        path=str(path),
        format="fairseq",
        bytes=path.stat().st_size,
        averaged=isinstance(extra, dict) and bool(extra.get("ema")),
        published_task=published.task,
        updates=published.updates,
        image_size=size,
        options={name: options[name] for name in _SHOWN_OPTIONS if options.get(name) is not None},
        info=info,
        classes=classes,
    )


def _of_weights(published: Published, source: str, **known: Any) -> Inspection:
    """Bring weights up to date as far as that goes, and compare them."""
    try:
        weights, config, notes = modern_weights(published, source=source)
    except CheckpointError as error:
        size = identify_size(shapes_of(published.weights))
        nearest = None if size is None else PRESETS[size]
        return _found(published.weights, nearest, **(known | {"problem": str(error)}))
    info: CheckpointInfo = known["info"]
    known["info"] = dataclasses.replace(info, notes=tuple(dict.fromkeys((*info.notes, *notes))))
    return _found(weights, config, keys=len(published.weights), **known)


def _found(
    weights: Mapping[str, Tensor],
    config: ModelConfig | None,
    *,
    keys: int | None = None,
    **known: Any,
) -> Inspection:
    shapes = shapes_of(weights)
    differences = KeyDifferences((), (), ())
    problem = known.pop("problem", None)
    if config is not None:
        try:
            differences = compare_keys(empty_model(config, weights, known["path"]), shapes)
        except CheckpointError as error:
            problem = problem or str(error)
    wrong = [f"{len(found)} keys {kind}" for kind, found in differences._asdict().items() if found]
    counted = [
        value
        for key, value in weights.items()
        if key not in TIED_KEYS and not is_derived(key) and not _is_statistic(key)
    ]
    return Inspection(
        size=identify_size(shapes),
        nearest=None if config is None else _nearest(config, weights, shapes),
        parameters=sum(value.numel() for value in counted),
        keys=len(weights) if keys is None else keys,
        dtypes=dict(Counter(str(value.dtype).removeprefix("torch.") for value in weights.values())),
        model={} if config is None else dataclasses.asdict(config),
        problem=problem or (", ".join(wrong) or None),
        missing=differences.missing,
        unexpected=differences.unexpected,
        misshaped=differences.misshaped,
        **known,
    )


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
    counts = [f"{len(keys)} keys {kind}" for kind, keys in found._asdict().items() if keys]
    return f"{name}, with {', '.join(counts)}"


def _is_statistic(key: str) -> bool:
    return key.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
