"""What inference keeps beside a checkpoint that has no place for it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from biomedgpt.checkpoints.hashes import FILES, check_hashes
from biomedgpt.checkpoints.stored import Checkpoint
from biomedgpt.errors import CheckpointError
from biomedgpt.model import BiomedGPT

CALIBRATION = "calibration.json"
"""Beside the checkpoint of a run."""
IMAGE_TOKENIZER = "image_tokenizer"
"""Folder beside a checkpoint that is looked into for one."""
_SAMPLED = 512


def fingerprint(model: BiomedGPT) -> str:
    """Return a short hash (16 hex digits) of a sample of every weight, in float32."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        flat = value.detach().flatten()
        step = max(1, len(flat) // _SAMPLED)
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(np.ascontiguousarray(flat[::step].float().cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]


def folder_of(source: Path) -> Path:
    """Return the folder that things lie in beside a checkpoint."""
    return source if source.is_dir() else source.parent


def find_tokenizer(source: Path) -> Path | None:
    """Return the folder of the image tokenizer beside a checkpoint, if there is one."""
    folder = folder_of(source) / IMAGE_TOKENIZER
    return folder if folder.is_dir() else None


def with_calibration(checkpoint: Checkpoint, source: Path) -> Checkpoint:
    """Return the checkpoint with the temperature that was stored beside it, if it has none.

    One that was fitted for other weights, such as before further training, is left out with a note.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder_of(source) / CALIBRATION
    if checkpoint.info.calibration or not path.is_file():
        return checkpoint
    fix = "remove it, or write it anew with `biomedgpt calibrate`"
    try:
        content = json.loads(path.read_bytes())
        weights = content["weights"]
        facts = {key: float(content[key]) for key in content if key not in ("weights", FILES)}
        if not 0 < facts["temperature"] < float("inf"):
            raise ValueError("temperature")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); {fix}") from error
    check_hashes(content, path, fix=fix)
    info = checkpoint.info
    if weights != fingerprint(checkpoint.model):
        note = f"{CALIBRATION} was fitted for other weights and is not used."
        info = replace(info, notes=(*info.notes, note))
    else:
        info = replace(info, calibration=facts)
    return replace(checkpoint, info=info)
