"""Any format to any format, weights bit by bit."""

import dataclasses
from pathlib import Path
from typing import Literal

from biomedgpt.checkpoints.checkpoint import read_checkpoint
from biomedgpt.checkpoints.fairseq_files import write_fairseq
from biomedgpt.checkpoints.huggingface import huggingface_config, write_huggingface
from biomedgpt.checkpoints.native import write_native
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.errors import ConfigError
from biomedgpt.files import tidy

TargetFormat = Literal["native", "fairseq", "hf"]


def convert(
    source: str | Path,
    target: str | Path,
    to: TargetFormat,
    *,
    vocabulary: str | Path | None = None,
    ema: bool = True,
    licence: str | None = None,
    overwrite: bool = False,
) -> StoredCheckpoint:
    """Write a checkpoint in another format; return what was written.

    Args:
        source: see `biomedgpt.checkpoints.checkpoint.load_checkpoint`.
        target: folder to write; a file for ``fairseq``.
        to: the format.
        vocabulary: folder of the vocabulary, where none comes with the weights.
        ema: take the exponential moving average of the weights where there is one.
        licence: of the weights, if it is another than the source says.
        overwrite: replace what is at ``target``.

    Raises:
        CheckpointError: the source cannot be read, or weights are missing or of another shape.
        ConfigError: the target exists and ``overwrite`` is not given, or cannot be written.
    """
    target = Path(target)
    if target.exists() and not overwrite:
        tidy(target)
        raise ConfigError(f"{target} exists; give --overwrite to replace it, or another name")
    if to == "fairseq" and (target.is_dir() or target.suffix != ".pt"):
        raise ConfigError(f"{target}: files of fairseq are called NAME.pt; give such a name")
    stored = read_checkpoint(source, vocabulary=vocabulary, ema=ema)
    info = stored.info
    if licence is not None:
        info = dataclasses.replace(info, licence=licence)
    if to == "hf" and huggingface_config(stored.config)["resnet_type"] is None:
        note = "The code of OFA for transformers has no such ResNet; biomedgpt alone reads this."
        info = dataclasses.replace(info, notes=tuple(dict.fromkeys((*info.notes, note))))
    if to != "native" and stored.config.image_scales != 1:
        note = "The published code encodes images at one size; biomedgpt alone uses the others."
        info = dataclasses.replace(info, notes=tuple(dict.fromkeys((*info.notes, note))))
    stored = dataclasses.replace(stored, info=info)
    stored.check(source=str(source))
    match to:
        case "native":
            write_native(stored, target, overwrite=overwrite)
        case "fairseq":
            write_fairseq(stored, target)
        case "hf":
            write_huggingface(stored, target, overwrite=overwrite)
    return stored
