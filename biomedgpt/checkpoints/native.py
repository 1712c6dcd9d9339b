"""Our own folder: weights, vocabulary, and everything that using them takes.

::

    config.json         model, task, preprocessing, decoding, answers, dataset, settings, licence,
                        expected score, calibration; SHA-256 of the other files
    model.safetensors   weights by the published key names, without derived buffers
    vocabulary/         see `biomedgpt.vocabulary.Vocabulary.save`
"""

import math
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from biomedgpt.checkpoints.description import FORMAT, CheckpointInfo, Description, as_text
from biomedgpt.checkpoints.source import CONFIG, Contents, Source, own_vocabulary, read_json
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.errors import CheckpointError
from biomedgpt.files import WEIGHTS, Content, atomic_folder, file_hash, read_ahead, write_json
from biomedgpt.vocabulary import Vocabulary

VOCABULARY = "vocabulary"
_FIX = "restore the folder, or convert it again with `biomedgpt convert`"

_TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}


class NativeFormat:
    """Folders that `write_native` wrote; see `biomedgpt.checkpoints.formats.Format`."""

    name = "native"

    def recognises(self, source: Source) -> bool:
        """Say whether a folder is one of ours, by its description."""
        return source.config.get("format") == FORMAT

    def describe(self, source: Source) -> Contents:
        """Return what is in a folder."""
        stored = read_native(source.path)
        said = vars(stored.description)
        return Contents(file=source.path / WEIGHTS, weights=stored.weights, **said)

    def read(self, source: Source, *, vocabulary: str | Path | None, ema: bool) -> StoredCheckpoint:
        """Read a folder; it has no moving average beside the weights."""
        del ema
        stored = read_native(source.path)
        own_vocabulary(stored.vocabulary, vocabulary, source.path)
        return stored


def write_native(stored: StoredCheckpoint, folder: Path, *, overwrite: bool = False) -> None:
    """Write a checkpoint as our own folder, complete or not at all.

    Raises:
        ConfigError: the folder exists and ``overwrite`` is not given, or cannot be written.
    """
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        weights = {key: value.contiguous() for key, value in stored.weights.items()}
        safetensors.torch.save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
        stored.vocabulary.save(temporary / VOCABULARY)
        files = {
            str(path.relative_to(temporary).as_posix()): file_hash(path)
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        text = as_text(stored.description.to_json() | {"files": files})
        (temporary / CONFIG).write_text(text, encoding="utf-8")


def write_info(folder: Path, info: CheckpointInfo) -> None:
    """Replace what a folder of ours says about its checkpoint; weights and hashes stay.

    Raises:
        CheckpointError: the folder is none of ours, or damaged.
        ConfigError: it cannot be written.
    """
    description, files = _read_config(folder / CONFIG)
    content = replace(description, info=info).to_json() | {"files": files}
    write_json(folder / CONFIG, content)


def read_native(folder: Path) -> StoredCheckpoint:
    """Read a folder that `write_native` wrote.

    Raises:
        CheckpointError: something is missing, damaged, or does not have its recorded hash.
        VocabularyError: the same of the vocabulary.
    """
    description, files = _read_config(folder / CONFIG)
    weights: Content | None = None
    for name, recorded in files.items():
        try:
            content = read_ahead(folder / name)
            found = file_hash(folder / name) if content is None else content.sha256
        except OSError as error:
            raise CheckpointError(f"{folder / name}: {error.strerror}; {_FIX}") from error
        if found != recorded:
            raise CheckpointError(
                f"{folder / name}: does not have the hash recorded in {CONFIG}; it was changed or "
                f"damaged, {_FIX}"
            )
        if name == WEIGHTS:
            weights = content
    return StoredCheckpoint.of(
        description,
        read_safetensors(folder / WEIGHTS, weights),
        Vocabulary.load(folder / VOCABULARY),
        in_memory=weights is not None,
    )


def read_safetensors(path: Path, content: Content | None = None) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped from it.

    Args:
        path: of the file.
        content: what was read of it; tensors are then in that memory.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        return safetensors.torch.load_file(path) if content is None else _tensors_in(content, path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; {_FIX}") from None
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        raise CheckpointError(f"{path}: damaged ({reason}); {_FIX}") from error


def _tensors_in(content: Content, path: Path) -> dict[str, Tensor]:
    found = {}
    with safetensors.safe_open(path, framework="pt") as file:
        # Tensors follow each other without gaps, which the library has checked.
        start = 8 + int.from_bytes(content.data[:8], "little")
        for name in file.offset_keys():
            part = file.get_slice(name)
            shape, dtype = part.get_shape(), _TYPES.get(part.get_dtype())
            if dtype is None:
                raise ValueError(f"{name} is of type {part.get_dtype()}")
            count = math.prod(shape)
            if count:
                flat = torch.frombuffer(content.data, dtype=dtype, count=count, offset=start)
                found[name] = flat.view(shape)
            else:
                found[name] = torch.empty(shape, dtype=dtype)
            start += count * dtype.itemsize
    return found


def _read_config(path: Path) -> tuple[Description, dict[str, str]]:
    """Return the description in a folder, and the hashes of its other files."""
    content = read_json(path, fix=_FIX)
    files = content.pop("files", None) if isinstance(content, dict) else None
    description = Description.parse(content, path, fix=_FIX)
    if not isinstance(files, dict) or WEIGHTS not in files:
        raise CheckpointError(f"{path}: files names no {WEIGHTS}; {_FIX}")
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckpointError(f"{path}: files names {name!r}, outside the folder; {_FIX}")
    return description, files
