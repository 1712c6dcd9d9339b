"""Loading a checkpoint of any format, together with its vocabulary and preprocessing."""

from pathlib import Path

from biomedgpt.checkpoints.formats import find_format
from biomedgpt.checkpoints.manifest import fetched_path
from biomedgpt.checkpoints.source import Source
from biomedgpt.checkpoints.stored import Checkpoint, StoredCheckpoint
from biomedgpt.errors import CheckpointError


def load_checkpoint(
    source: str | Path, *, vocabulary: str | Path | None = None, ema: bool = True
) -> Checkpoint:
    """Load a model with all that belongs to it.

    Args:
        source: a folder that `biomedgpt convert` wrote, the folder of a training run or a
            checkpoint in it, a published OFA or BiomedGPT checkpoint, a folder of an OFA model in
            the style of transformers, or the name of a checkpoint that `biomedgpt fetch` got.
        vocabulary: folder of the vocabulary, where none comes with the weights; by default the one
            that $BIOMEDGPT_BPE_DIR names. Where one does, it must be the same.
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
    found = Source(find_checkpoint(source))
    return find_format(found).read(found, vocabulary=vocabulary, ema=ema)


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
