"""Loading a checkpoint of any format, together with its vocabulary and preprocessing."""

from pathlib import Path

from biomedgpt.checkpoints.files import read_torch_file
from biomedgpt.checkpoints.native import is_native, read_native
from biomedgpt.checkpoints.runs import CHECKPOINTS, MEND, OPTIONS, parse_run, read_run
from biomedgpt.checkpoints.stored import (
    Checkpoint,
    CheckpointInfo,
    Preprocessing,
    StoredCheckpoint,
)
from biomedgpt.errors import CheckpointError

__all__ = [
    "Checkpoint",
    "CheckpointInfo",
    "Preprocessing",
    "StoredCheckpoint",
    "load_checkpoint",
    "read_checkpoint",
]


def load_checkpoint(
    source: str | Path, *, vocabulary: str | Path | None = None, ema: bool = True
) -> Checkpoint:
    """Load a model with all that belongs to it.

    Args:
        source: a folder that `biomedgpt convert` wrote, the folder of a training run, or a
            checkpoint in such a folder.
        vocabulary: folder of the vocabulary, where none lies beside the weights.
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
    path = Path(source)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder; give that of a checkpoint")
    if path.is_dir():
        if is_native(path):
            return read_native(path)
        path = find_in_run(path)
    return read_run(
        parse_run(read_torch_file(path, inert=OPTIONS, mend=MEND), path, ema=ema),
        vocabulary=vocabulary,
    )


def find_in_run(folder: Path) -> Path:
    """Return the best checkpoint of a run, or its last one; CheckpointError without any."""
    for name in CHECKPOINTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: no checkpoint in it; expected {' or '.join(CHECKPOINTS)}")
