"""Checkpoints of our own training runs: files that fairseq wrote.

Since they describe themselves (`biomedgpt.checkpoints.embedded`, in ``extra_state``), nothing
beside the file has a say in what it is and answers. Those of earlier versions do not: see
`biomedgpt.checkpoints.older_runs`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.description import AVERAGED, TRAINING_ONLY, CheckpointInfo
from biomedgpt.checkpoints.embedded import unpack
from biomedgpt.checkpoints.published import average_of, is_run
from biomedgpt.checkpoints.settings import settings_of
from biomedgpt.checkpoints.source import Contents, Source, own_vocabulary
from biomedgpt.checkpoints.state_dict import EMBEDDING_KEY, essential
from biomedgpt.checkpoints.stored import StoredCheckpoint, build_model
from biomedgpt.checkpoints.torch_file import PACKAGES, read_torch_file, tensors
from biomedgpt.errors import BiomedGPTError, CheckpointError, ConfigError, DataError
from biomedgpt.model import BiomedGPT, ModelConfig, preset

FIX = "give a checkpoint that a recipe of this project wrote"
_FIX_EMBEDDED = "take another checkpoint of the run"


class RunFormat:
    """Files of a training run, alone or in its folder.

    See `biomedgpt.checkpoints.formats.Format`.
    """

    name = "run"

    def recognises(self, source: Source) -> bool:
        """Say whether it is a file of one of our runs, or a folder with one."""
        return source.file is not None and is_run(source.state)

    def describe(self, source: Source) -> Contents:
        """Return what is in a file."""
        state, path = source.state, source.torch_file
        run = parse_run(state, path, ema=False)
        found = Contents(
            file=path,
            weights=run.weights,
            config=run.config,
            info=CheckpointInfo(name=path.resolve().parent.name),
            average=average_of(state["extra_state"], where=str(path)) or {},
            updates=run.settings.get("updates"),
            options=run.task,
            classes=source.classes,
        )
        try:
            stored = read_run(run)
        except BiomedGPTError as error:
            return replace(found, problem=str(error))
        return replace(found, **vars(stored.description))

    def read(self, source: Source, *, vocabulary: str | Path | None, ema: bool) -> StoredCheckpoint:
        """Read a file with its vocabulary."""
        run = parse_run(source.state, source.torch_file, ema=ema)
        return read_run(run, vocabulary=vocabulary)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a checkpoint file of ours holds."""

    path: Path
    weights: dict[str, Tensor]
    config: ModelConfig
    task: Mapping[str, Any]
    """Options of the fairseq task."""
    state: Mapping[str, Any]
    """What the fairseq task stored: fingerprint of the vocabulary, hash of the dataset."""
    settings: Mapping[str, Any]
    """How it was trained, see `biomedgpt.checkpoints.settings`."""
    extra: Mapping[str, Any]
    """What fairseq calls the extra state; files of earlier versions have no description there."""
    averaged: bool
    """Whether `weights` are the moving average."""


def load_run(
    path: str | Path, *, ema: bool = True, code_image_size: int | None = None
) -> BiomedGPT:
    """Load the model of one of our own training runs, in evaluation mode.

    `biomedgpt.checkpoints.checkpoint.load_checkpoint` gives what belongs to it as well.

    Args:
        path: a checkpoint that a recipe wrote (``checkpoint_best.pt``).
        ema: take the exponential moving average of the weights where there is one.
        code_image_size: see `ModelConfig`; no weights depend on it. The run's own by default.

    Raises:
        CheckpointError: the file cannot be used; see `read_torch_file`.
    """
    path = Path(path)
    run = parse_run(read_torch_file(path, packages=PACKAGES, fix=FIX), path, ema=ema)
    config = run.config
    if code_image_size is not None:
        config = config.replace(code_image_size=code_image_size)
    return build_model(config, run.weights, source=str(path))


def parse_run(state: Mapping[str, Any], path: Path, *, ema: bool = True) -> Run:
    """Return what a checkpoint file of ours holds.

    Args:
        state: content of the file.
        path: of the file, for messages.
        ema: take the exponential moving average of the weights where there is one.

    Raises:
        CheckpointError: it is none of ours, or has options that this program does not know.
    """
    try:
        options = dict(state["cfg"]["model"])
        extra = state["extra_state"]
        averages = average_of(extra, where=str(path)) if ema else None
        weights = averages or tensors(state["model"], where=f"{path}: model")
        size, vocab_size = options["size"], len(weights[EMBEDDING_KEY])
        task = dict(state["cfg"].get("task") or {})
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: no options of a biomedgpt model in it, as published checkpoints have none; "
            f"{FIX}"
        ) from error
    known = {field.name for field in fields(ModelConfig)} - set(TRAINING_ONLY)
    kept = {n: value for n, value in options.items() if n in known and value is not None}
    try:
        config = preset(size, **(kept | {"vocab_size": vocab_size}))
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{path}: options of another program ({error}); {FIX}") from error
    task_state = state.get("task_state")
    return Run(
        path=path,
        weights=weights,
        config=config,
        task=task,
        state=task_state if isinstance(task_state, dict) else {},
        settings=settings_of(state),
        extra=extra,
        averaged=bool(averages),
    )


def read_run(run: Run, *, vocabulary: str | Path | None = None) -> StoredCheckpoint:
    """Return a checkpoint of ours.

    Args:
        run: content of the file.
        vocabulary: its folder; by default the vocabulary in the file.

    Raises:
        CheckpointError: weights are missing, what the file says is damaged, or the vocabulary is
            not the one of the training.
        VocabularyError: the vocabulary is missing or damaged.
    """
    embedded = unpack(run.extra, run.path, fix=_FIX_EMBEDDED)
    if embedded is None:
        # Imported here: it reads datasets, and h5py takes as long to import as a model to answer.
        from biomedgpt.checkpoints.older_runs import read_older_run

        description, loaded = read_older_run(run, vocabulary=vocabulary)
    else:
        description, loaded = embedded
        own_vocabulary(loaded, vocabulary, run.path)
    info = description.info
    info = replace(
        info,
        expected_score=info.expected_score or _scores(run.path.parent, info.dataset_hash),
        notes=(*([AVERAGED] if run.averaged else []), *info.notes),
    )
    weights = essential(run.weights, description.config, source=str(run.path))
    return StoredCheckpoint.of(replace(description, info=info), weights, loaded)


def _scores(folder: Path, dataset_hash: str) -> dict[str, float]:
    """Return what the run was scored with, by key of the measure; of its own dataset only."""
    path = folder / "score.json"
    if not path.is_file():
        return {}
    # Imported here: scoring takes longer to import than a small model to answer.
    from biomedgpt.scoring.score_file import Score

    try:
        result = Score.from_dict(json.loads(path.read_bytes()), where=str(path))
    except (OSError, ValueError, DataError):
        return {}
    if result.dataset_hash != dataset_hash:
        return {}
    values = {measure.key: measure.model.value for measure in result.measures}
    return {key: value for key, value in values.items() if value is not None}
