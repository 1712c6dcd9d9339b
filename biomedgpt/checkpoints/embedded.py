"""A description and a vocabulary within a torch file, under one key that fairseq leaves alone.

``convert --to fairseq`` puts it beside fairseq's own keys, a training run into ``extra_state``.
Both are plain values: a text in JSON, and the files of the vocabulary as bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biomedgpt.checkpoints.description import Description, as_text
from biomedgpt.checkpoints.torch_file import tensors
from biomedgpt.errors import CheckpointError, VocabularyError
from biomedgpt.files import scratch_folder
from biomedgpt.vocabulary import Vocabulary

KEY = "biomedgpt"


def embed(description: Description, vocabulary: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what belongs under `KEY`.

    Args:
        description: of the checkpoint.
        vocabulary: what `pack` made of its vocabulary.
    """
    return {"description": as_text(description.to_json()), "vocabulary": dict(vocabulary)}


def pack(vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Return the files of a vocabulary as bytes."""
    return {
        name: torch.frombuffer(bytearray(content), dtype=torch.uint8)
        for name, content in sorted(vocabulary.files().items())
    }


def unpack(
    state: Mapping[str, Any], path: Path, *, fix: str
) -> tuple[Description, Vocabulary] | None:
    """Return what `embed` put into a file; None if another program wrote it.

    Args:
        state: what has `KEY`, if the file has it.
        path: of the file, for messages.
        fix: what to do about a damaged one, for messages.

    Raises:
        CheckpointError: it is damaged; see also `Description.parse`.
        VocabularyError: the vocabulary is.
    """
    ours = state.get(KEY)
    if ours is None:
        return None
    if not isinstance(ours, dict) or ours.keys() != {"description", "vocabulary"}:
        raise CheckpointError(f"{path}: damaged ({KEY}); {fix}")
    try:
        content = json.loads(ours["description"])
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); {fix}") from error
    description = Description.parse(content, path, fix=fix)
    return description, _unpacked(ours["vocabulary"], path, fix)


def _unpacked(packed: object, path: Path, fix: str) -> Vocabulary:
    files = tensors(packed, where=f"{path}: vocabulary")
    with scratch_folder() as folder:
        for name, content in files.items():
            plain = isinstance(name, str) and Path(name).name == name and name != ".."
            if not plain or content.dtype != torch.uint8:
                raise CheckpointError(f"{path}: damaged (vocabulary file {name!r}); {fix}")
            try:
                (folder / name).write_bytes(content.numpy().tobytes())
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{path}: damaged (vocabulary: {error}); {fix}") from error
        try:
            return Vocabulary.load(folder)
        except VocabularyError as error:
            # The folder is gone when somebody reads this.
            message = str(error).replace(str(folder), f"{path}: vocabulary")
            raise VocabularyError(message) from error
