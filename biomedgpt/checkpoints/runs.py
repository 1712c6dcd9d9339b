"""Checkpoints of our own training runs: a file that fairseq wrote, in the folder of a recipe."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.files import read_torch_file, tensors
from biomedgpt.checkpoints.native import TRAINING_ONLY
from biomedgpt.checkpoints.published import PACKAGES, average_of
from biomedgpt.checkpoints.state_dict import EMBEDDING_KEY, essential
from biomedgpt.checkpoints.stored import (
    DEFAULT_IMAGE_SIZE,
    DEFAULT_MAX_IMAGE_SIZE,
    CheckpointInfo,
    Preprocessing,
    StoredCheckpoint,
    build_model,
)
from biomedgpt.data.card import CARD_FILE, DatasetCard
from biomedgpt.data.images import HALF, IMAGENET
from biomedgpt.data.prepared import PreparedDataset
from biomedgpt.data.registry import DATASETS
from biomedgpt.errors import BiomedGPTError, CheckpointError, ConfigError, DataError
from biomedgpt.instructions.interleaved import IMAGES, ImageCodes
from biomedgpt.model import BiomedGPT, ModelConfig, preset
from biomedgpt.pretraining.config import PretrainingConfig
from biomedgpt.scoring.result import Result
from biomedgpt.tasks import TASKS, Instruction, get_task, groups
from biomedgpt.vocabulary import Vocabulary

MEND = "give a checkpoint that a recipe of this project wrote"

# Options of our models that have another name in `ModelConfig`.
_RENAMED = {
    "encoder_drop_path_rate": "encoder_drop_path",
    "decoder_drop_path_rate": "decoder_drop_path",
    "resnet_drop_path_rate": "resnet_drop_path",
    "activation_checkpointing": "checkpoint_activations",
}
# Options of our fairseq task, and what `Task.with_` calls them.
_TASK_OPTIONS = {
    "max_src_length": "max_source_words",
    "max_tgt_length": "max_target_tokens",
    "prompt_type": "prompt_type",
    "add_object": "add_object",
}
_PRETRAINING = "biomedgpt_pretraining"


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
    averaged: bool


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
    run = parse_run(read_torch_file(path, packages=PACKAGES, mend=MEND), path, ema=ema)
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
            f"{MEND}"
        ) from error
    known = {field.name for field in fields(ModelConfig)}
    options = {_RENAMED.get(name, name): value for name, value in options.items()}
    kept = {
        name: value
        for name, value in options.items()
        if name in known and name not in TRAINING_ONLY and value is not None
    }
    try:
        config = preset(size, **(kept | {"vocab_size": vocab_size}))
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{path}: options of another program ({error}); {MEND}") from error
    task_state = state.get("task_state")
    return Run(
        path=path,
        weights=weights,
        config=config,
        task=task,
        state=task_state if isinstance(task_state, dict) else {},
        averaged=bool(averages),
    )


def read_run(run: Run, *, vocabulary: str | Path | None = None) -> StoredCheckpoint:
    """Return a checkpoint of ours with what lies beside it.

    Args:
        run: content of the file.
        vocabulary: its folder; by default the one in the folder of the run.

    Raises:
        VocabularyError: the vocabulary is missing, damaged, or not the one of the training.
    """
    folder = run.path.parent
    loaded = Vocabulary.load(folder / "vocabulary" if vocabulary is None else vocabulary)
    trained = run.state.get("vocabulary")
    if trained not in (None, loaded.fingerprint):
        raise CheckpointError(
            f"{run.path}: trained with another vocabulary ({str(trained)[:12]}, not "
            f"{loaded.fingerprint[:12]}); give its folder with --vocabulary"
        )
    notes = []
    if run.averaged:
        notes.append("Weights are the moving average of the training run.")
    card, problem = _find_card(run)
    notes += problem
    task = card.task if card is not None else _task_of_recipe(folder)
    if task is None and run.task.get("_name") != _PRETRAINING:
        notes.append("Nothing beside the checkpoint says which task it was trained for.")
    preprocessing, problem = _preprocessing(run)
    notes += problem
    options = _task_options(run, task)
    constrained = task is not None and get_task(task).with_(**options).constrained
    return StoredCheckpoint(
        weights=essential(run.weights, run.config, source=str(run.path)),
        config=run.config,
        vocabulary=loaded,
        preprocessing=preprocessing,
        info=CheckpointInfo(
            name=folder.resolve().name,
            task=task,
            task_options=options,
            decoding=None if task is None else get_task(task).decoding,
            answers=tuple(card.answers) if card is not None and constrained else (),
            source=f"trained with biomedgpt, {run.path.name}"
            + (f" on {card.name}" if card is not None else ""),
            expected_score=_scores(folder),
            notes=tuple(notes),
        ),
    )


def _find_card(run: Run) -> tuple[DatasetCard | None, list[str]]:
    """Return the card of the training data: a copy in the run's folder, or where they lie."""
    if run.task.get("_name") == _PRETRAINING:
        return None, []
    trained = run.state.get("dataset_hash")
    for folder in (run.path.parent, Path(str(run.task.get("data", "")))):
        if not (folder / CARD_FILE).is_file():
            continue
        try:
            found = PreparedDataset(folder)
        except DataError:
            continue
        if trained in (None, found.hash):
            return found.card, []
    return None, [
        f"The prepared dataset of the training was not found (no {CARD_FILE} with hash {trained}), "
        "so candidate answers are not known."
    ]


def _task_of_recipe(folder: Path) -> str | None:
    """Return the task that ``run.json`` tells, if it does."""
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        recipe = facts["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if recipe in DATASETS:
        return DATASETS[recipe].task
    group = groups().get(str(recipe).removeprefix("own-"))
    return group.tasks[0] if group is not None and len(group.tasks) == 1 else None


def _task_options(run: Run, task: str | None) -> dict[str, Any]:
    if task is None:
        return {}
    known = {field.name for field in fields(TASKS[task])}
    options = {
        ours: run.task[theirs]
        for theirs, ours in _TASK_OPTIONS.items()
        if ours in known and run.task.get(theirs) is not None
    }
    if IMAGES in run.state and task == Instruction.name:
        options |= ImageCodes.parse(run.state[IMAGES], where=str(run.path)).options()
    return options | ({"constrained": False} if run.task.get("unconstrained") else {})


def _preprocessing(run: Run) -> tuple[Preprocessing, list[str]]:
    options, notes = {**run.task, **run.state}, []
    image_size = options.get("patch_image_size")
    largest = options.get("max_image_size")
    if options.get("_name") == _PRETRAINING and image_size is None:
        # Of runs before the checkpoint held these options; their bins were spread over the image.
        try:
            image_size = PretrainingConfig.load(Path(str(options["data"]))).image_size
        except (BiomedGPTError, KeyError):
            image_size = DEFAULT_IMAGE_SIZE
            notes.append(
                "The configuration of the pretraining was not found, so images are assumed to be "
                f"of {DEFAULT_IMAGE_SIZE} pixels."
            )
        largest = image_size
    imagenet = bool(options.get("imagenet_default_mean_and_std"))
    image_size = int(image_size or DEFAULT_IMAGE_SIZE)
    return Preprocessing(
        image_size=image_size,
        max_image_size=max(image_size, int(largest or DEFAULT_MAX_IMAGE_SIZE)),
        normalization=IMAGENET if imagenet else HALF,
    ), notes


def _scores(folder: Path) -> dict[str, float]:
    """Return what the run was scored with, by key of the measure."""
    path = folder / "score.json"
    try:
        result = Result.from_dict(json.loads(path.read_bytes()), where=str(path))
    except (OSError, ValueError, DataError):
        return {}
    values = {measure.key: measure.model.value for measure in result.measures}
    return {key: value for key, value in values.items() if value is not None}
