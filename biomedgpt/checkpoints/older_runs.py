"""Files of training runs from before they described themselves: what lies beside them tells.

That is ``vocabulary/``, ``dataset.json`` and ``run.json`` in the folder of the run, and the
prepared dataset where it lay in training.
"""

import json
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.description import (
    DEFAULT_IMAGE_SIZE,
    CheckpointInfo,
    Description,
    Preprocessing,
    known_task,
    options_of,
)
from biomedgpt.checkpoints.option_names import TASK_OPTIONS
from biomedgpt.checkpoints.runs import Run
from biomedgpt.checkpoints.source import check_fingerprint
from biomedgpt.data.prepared.card import CARD_FILE, DatasetCard
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.registry import DATASETS
from biomedgpt.errors import BiomedGPTError, DataError
from biomedgpt.examples.segments import IMAGES, ImageCodes
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.tasks import Instruction, groups
from biomedgpt.vocabulary import Vocabulary

_PRETRAINING = "biomedgpt_pretraining"
_RUN = "run.json"
_VOCABULARY = "vocabulary"
_DOUBT = (
    "what the checkpoint was trained to answer is not known, since it is older and its data were "
    "not found; answers may be of another kind"
)


def read_older_run(
    run: Run, *, vocabulary: str | Path | None = None
) -> tuple[Description, Vocabulary]:
    """Return what is known about a run, and its vocabulary.

    Args:
        run: content of the file.
        vocabulary: its folder; by default the one in the folder of the run.

    Raises:
        CheckpointError: the vocabulary is not the one of the training, or this program does not
            know the task.
        VocabularyError: the vocabulary is missing or damaged.
    """
    folder = run.path.parent
    loaded = Vocabulary.load(folder / _VOCABULARY if vocabulary is None else vocabulary)
    check_fingerprint(loaded, run.state.get("vocabulary"), run.path)
    used = [_VOCABULARY] if vocabulary is None else []
    notes = []
    card: DatasetCard | None = None
    task: str | None = None
    pretraining = run.task.get("_name") == _PRETRAINING
    found = None if pretraining else _find_card(run)
    if found is not None:
        card, file = found
        task = card.task
        used.append(CARD_FILE if file == folder / CARD_FILE else str(file))
    elif not pretraining:
        trained = run.state.get("dataset_hash")
        notes.append(
            f"The prepared dataset of the training was not found (no {CARD_FILE} with hash "
            f"{trained}), so candidate answers are not known."
        )
        task = _task_of_recipe(folder)
        if task is None:
            notes.append("Nothing beside the checkpoint says which task it was trained for.")
        else:
            used.append(_RUN)
    preprocessing, problem = _preprocessing(run)
    notes += problem
    options = _task_options(run, task)
    definition = None if task is None else known_task(task, run.path).with_(**options)
    constrained = definition is not None and definition.constrained
    unknown = task is None or (constrained and card is None)
    notes.append(
        "The file of the run was of an earlier version, which does not describe itself; what lay "
        f"beside it was used: {', '.join(used) or 'nothing'}."
    )
    info = CheckpointInfo(
        name=folder.resolve().name,
        task=task,
        task_options=options,
        decoding=None if definition is None else definition.decoding,
        answers=tuple(card.answers) if card is not None and constrained else (),
        dataset="" if card is None else card.name,
        dataset_hash=str(run.state.get("dataset_hash") or ""),
        settings=run.settings,
        source=f"trained with biomedgpt, {run.path.name}"
        + (f" on {card.name}" if card is not None else ""),
        notes=tuple(notes),
        doubt=_DOUBT if unknown and not pretraining else "",
    )
    return Description(config=run.config, preprocessing=preprocessing, info=info), loaded


def _find_card(run: Run) -> tuple[DatasetCard, Path] | None:
    """Return the card of the training data and its file.

    It is a copy in the run's folder, or where the data lay in training.
    """
    trained = run.state.get("dataset_hash")
    for folder in (run.path.parent, Path(str(run.task.get("data", "")))):
        if not (folder / CARD_FILE).is_file():
            continue
        try:
            found = PreparedDataset(folder)
        except DataError:
            continue
        if trained in (None, found.hash):
            return found.card, folder / CARD_FILE
    return None


def _task_of_recipe(folder: Path) -> str | None:
    """Return the task that ``run.json`` tells, if it does."""
    try:
        facts = json.loads((folder / _RUN).read_text(encoding="utf-8"))
        recipe = facts["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(recipe, str):
        return None
    if recipe in DATASETS:
        return DATASETS[recipe].task
    group = groups().get(str(recipe).removeprefix("own-"))
    return group.tasks[0] if group is not None and len(group.tasks) == 1 else None


def _task_options(run: Run, task: str | None) -> dict[str, Any]:
    if task is None:
        return {}
    known = options_of(known_task(task, run.path))
    options = {
        ours: run.task[theirs]
        for theirs, ours in TASK_OPTIONS.items()
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
    return Preprocessing.trained_with(
        None if image_size is None else int(image_size),
        max_image_size=None if largest is None else int(largest),
        imagenet=bool(options.get("imagenet_default_mean_and_std")),
    ), notes
