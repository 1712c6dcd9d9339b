"""Loading a checkpoint of any format, together with its vocabulary and preprocessing."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.fairseq_files import unpack
from biomedgpt.checkpoints.files import read_torch_file
from biomedgpt.checkpoints.huggingface import is_huggingface, read_huggingface
from biomedgpt.checkpoints.manifest import fetched_path
from biomedgpt.checkpoints.native import is_native, read_native
from biomedgpt.checkpoints.published import MEND, PACKAGES, convert_published, parse_published
from biomedgpt.checkpoints.stored import (
    Checkpoint,
    CheckpointInfo,
    Preprocessing,
    StoredCheckpoint,
)
from biomedgpt.errors import CheckpointError, VocabularyError
from biomedgpt.vocabulary import BPE_VARIABLE, Vocabulary

__all__ = [
    "Checkpoint",
    "CheckpointInfo",
    "Preprocessing",
    "StoredCheckpoint",
    "load_checkpoint",
    "read_checkpoint",
]


CHECKPOINTS = ("checkpoint_best.pt", "checkpoint_last.pt")
"""Of a run, in the order of preference."""


def load_checkpoint(
    source: str | Path, *, vocabulary: str | Path | None = None, ema: bool = True
) -> Checkpoint:
    """Load a model with all that belongs to it.

    Args:
        source: a folder that `biomedgpt convert` wrote, the folder of a training run or a
            checkpoint in it, a published OFA or BiomedGPT checkpoint, a folder of an OFA model in
            the style of transformers, or the name of a checkpoint that `biomedgpt fetch` got.
        vocabulary: folder of the vocabulary, where none comes with the weights; by default the one
            that $BIOMEDGPT_BPE_DIR names.
        ema: take the exponential moving average of the weights where there is one.

    Raises:
        CheckpointError: nothing there can be loaded, or it is damaged or hostile.
        VocabularyError: the vocabulary is missing, damaged or another one.
    """
    stored = read_checkpoint(source, vocabulary=vocabulary, ema=ema)
    return stored.build(source=str(source))


def read_checkpoint(
    source: str | Path, *, vocabulary: str | Path | None = None, ema: bool = True
) -> StoredCheckpoint:
    """Read a checkpoint without building its model; see `load_checkpoint`."""
    path = find_checkpoint(source)
    if is_native(path):
        return read_native(path)
    if is_huggingface(path):
        return read_huggingface(path, vocabulary=vocabulary)
    if path.is_dir():
        path = find_in_run(path)
    state = read_torch_file(path, packages=PACKAGES, mend=MEND)
    if is_run(state):
        # Imported here: it reads datasets, and h5py takes as long to import as a model to answer.
        from biomedgpt.checkpoints.runs import parse_run, read_run

        return read_run(parse_run(state, path, ema=ema), vocabulary=vocabulary)
    description, packed = unpack(state, path)
    published = parse_published(state, path, ema=ema)
    stored = convert_published(
        published, path, packed or Vocabulary.load(find_vocabulary(path, vocabulary))
    )
    if description is None:
        return stored
    config, preprocessing, info = description
    return dataclasses.replace(stored, config=config, preprocessing=preprocessing, info=info)


def find_checkpoint(source: str | Path) -> Path:
    """Return the file or folder that a path, or the name of a fetched checkpoint, stands for.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(source)
    if path.exists():
        return path
    found = fetched_path(str(source))
    if found is None:
        raise CheckpointError(
            f"{source}: no such file or folder; give that of a checkpoint, or a name of "
            "`biomedgpt fetch --list`"
        )
    return found


def is_run(state: Mapping[str, Any]) -> bool:
    """Say whether the content of a file is that of a checkpoint of one of our runs."""
    try:
        return str(state["cfg"]["model"]["_name"]).startswith("biomedgpt")
    except (KeyError, TypeError, AttributeError):
        return False


def find_in_run(folder: Path) -> Path:
    """Return the best checkpoint of a run, or its last one; CheckpointError without any."""
    for name in CHECKPOINTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: no checkpoint in it; expected {' or '.join(CHECKPOINTS)}")


def find_vocabulary(path: Path, given: str | Path | None) -> Path:
    """Return the folder of the vocabulary of a checkpoint that has none in it.

    Raises:
        VocabularyError: none was given, and none lies beside it.
    """
    if given is not None:
        return Path(given)
    for folder in (path.parent / "vocabulary", path.parent):
        if (folder / "vocabulary.json").is_file() or (folder / "dict.txt").is_file():
            return folder
    if os.environ.get(BPE_VARIABLE):
        return Path(os.environ[BPE_VARIABLE])
    raise VocabularyError(
        f"{path}: published checkpoints come without their vocabulary; give its folder "
        f"(encoder.json, vocab.bpe, dict.txt) with --vocabulary DIR or ${BPE_VARIABLE}"
    )
