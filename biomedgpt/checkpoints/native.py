"""Our own folder: weights, vocabulary, and everything that using them takes.

::

    config.json         model, task, preprocessing, decoding, answers, licence, expected score,
                        calibration; SHA-256 of the other files
    model.safetensors   weights by the published key names, without derived buffers
    vocabulary/         see `biomedgpt.vocabulary.Vocabulary.save`
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from biomedgpt.checkpoints.folders import atomic_folder
from biomedgpt.checkpoints.stored import CheckpointInfo, Preprocessing, StoredCheckpoint
from biomedgpt.data.images import Normalization
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import CheckpointError, ConfigError
from biomedgpt.files import WEIGHTS, Content, atomic_path, file_hash, read_ahead
from biomedgpt.model import ModelConfig
from biomedgpt.vocabulary import Vocabulary

CONFIG = "config.json"
VOCABULARY = "vocabulary"
FORMAT = "biomedgpt"
FORMAT_VERSION = 1
_MEND = "restore the folder, or convert it again with `biomedgpt convert`"
_KEYS = frozenset(
    {"format", "format_version", "model", "preprocessing", "files"}
    | {field.name for field in fields(CheckpointInfo)}
)

# Options of the model that every folder has, whatever version wrote it.
_SHAPE = {
    *("vocab_size", "embed_dim", "ffn_dim", "heads", "encoder_layers", "decoder_layers"),
    *("resnet_blocks", "resnet_width", "max_positions", "token_bucket_size", "image_bucket_size"),
}
# A model for use has no dropout, and how it was trained is not part of it.
TRAINING_ONLY = (
    *("dropout", "attention_dropout", "activation_dropout", "batch_norm"),
    *("encoder_drop_path", "decoder_drop_path", "resnet_drop_path", "checkpoint_activations"),
)

_TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}


def is_native(folder: Path) -> bool:
    """Say whether a folder is one of ours, by its description."""
    try:
        return bool(json.loads((folder / CONFIG).read_bytes())["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


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
        text = as_text(describe(stored) | {"files": files})
        (temporary / CONFIG).write_text(text, encoding="utf-8")


def write_info(folder: Path, info: CheckpointInfo) -> None:
    """Replace what a folder of ours says about its checkpoint; weights and hashes stay.

    Raises:
        CheckpointError: the folder is none of ours, or damaged.
        ConfigError: it cannot be written.
    """
    config = _read_config(folder / CONFIG)
    config |= _plain(info)
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(as_text(config), encoding="utf-8")


def read_native(folder: Path) -> StoredCheckpoint:
    """Read a folder that `write_native` wrote.

    Raises:
        CheckpointError: something is missing, damaged, or does not have its recorded hash.
        VocabularyError: the same of the vocabulary.
    """
    path = folder / CONFIG
    config = _read_config(path)
    weights: Content | None = None
    for name, recorded in config["files"].items():
        try:
            content = read_ahead(folder / name)
            found = file_hash(folder / name) if content is None else content.sha256
        except OSError as error:
            raise CheckpointError(f"{folder / name}: {error.strerror}; {_MEND}") from error
        if found != recorded:
            raise CheckpointError(
                f"{folder / name}: does not have the hash recorded in {CONFIG}; it was changed or "
                f"damaged, {_MEND}"
            )
        if name == WEIGHTS:
            weights = content
    model, preprocessing, info = parse_config(config, path)
    return StoredCheckpoint(
        weights=read_safetensors(folder / WEIGHTS, weights),
        in_memory=weights is not None,
        config=model,
        vocabulary=Vocabulary.load(folder / VOCABULARY),
        preprocessing=preprocessing,
        info=info,
    )


def read_safetensors(path: Path, content: Content | None = None) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped from it.

    Args:
        path: of the file.
        content: what was read of it; tensors are then in that memory.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with _damage(path):
        return safetensors.torch.load_file(path) if content is None else _tensors_in(content, path)


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


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what reading a safetensors file raises into a CheckpointError."""
    try:
        yield
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; {_MEND}") from None
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        raise CheckpointError(f"{path}: damaged ({reason}); {_MEND}") from error


def describe(stored: StoredCheckpoint) -> dict[str, Any]:
    """Return what is to be said of a checkpoint, as values of JSON; see `parse_config`."""
    normalization = stored.preprocessing.normalization
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **_plain(stored.info),
        "model": {
            name: value
            for name, value in asdict(stored.config).items()
            if name not in TRAINING_ONLY
        },
        "preprocessing": {
            "image_size": stored.preprocessing.image_size,
            "max_image_size": stored.preprocessing.max_image_size,
            "mean": normalization.mean,
            "std": normalization.std,
        },
    }


def as_text(config: Mapping[str, Any]) -> str:
    """Return JSON for people."""
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _plain(info: CheckpointInfo) -> dict[str, Any]:
    """Return values of JSON."""
    plain = {field.name: getattr(info, field.name) for field in fields(info)}
    for name in ("task_options", "expected_score", "calibration"):
        plain[name] = dict(plain[name])
    if info.decoding is not None:
        plain["decoding"] = asdict(info.decoding)
    return plain


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}); {_MEND}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not the description of a checkpoint of ours; {_MEND}")
    if config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {config.get('format_version')}, this program reads "
            f"{FORMAT_VERSION}; upgrade biomedgpt"
        )
    if config.keys() != _KEYS:
        wrong = ", ".join(sorted(config.keys() ^ _KEYS))
        raise CheckpointError(f"{path}: missing or unknown keys: {wrong}; {_MEND}")
    files = config["files"]
    if not isinstance(files, dict) or WEIGHTS not in files:
        raise CheckpointError(f"{path}: files names no {WEIGHTS}; {_MEND}")
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckpointError(f"{path}: files names {name!r}, outside the folder; {_MEND}")
    return config


def parse_config(
    config: Mapping[str, Any], path: Path
) -> tuple[ModelConfig, Preprocessing, CheckpointInfo]:
    """Return what a description says; CheckpointError when a value makes no sense."""
    try:
        options = config["model"]
        known = {field.name: field.type for field in dataclasses.fields(ModelConfig)}
        # Options that are newer than the folder have defaults that leave the model what it was.
        if unknown := options.keys() - (known.keys() - set(TRAINING_ONLY)):
            raise TypeError(f"unknown model options {', '.join(sorted(unknown))}")
        if lacking := _SHAPE - options.keys():
            raise TypeError(f"no model options {', '.join(sorted(lacking))}")
        for name, value in options.items():
            if name == "resnet_blocks":
                fits = len(value) == 3 and all(type(one) is int for one in value)
            else:
                fits = type(value) is known[name]
            if not fits:
                raise TypeError(f"model option {name} is {value!r}")
        model = ModelConfig(**(options | {"resnet_blocks": tuple(options["resnet_blocks"])}))
        pixels = config["preprocessing"]
        mean, std = ([float(one) for one in pixels[key]] for key in ("mean", "std"))
        preprocessing = Preprocessing(
            image_size=int(pixels["image_size"]),
            max_image_size=int(pixels["max_image_size"]),
            normalization=Normalization((mean[0], mean[1], mean[2]), (std[0], std[1], std[2])),
        )
        decoding = config["decoding"]
        info = CheckpointInfo(
            name=str(config["name"]),
            task=None if config["task"] is None else str(config["task"]),
            task_options=dict(config["task_options"]),
            decoding=None if decoding is None else GenerationConfig(**decoding),
            answers=tuple(str(one) for one in config["answers"]),
            licence=str(config["licence"]),
            source=str(config["source"]),
            expected_score={k: float(v) for k, v in config["expected_score"].items()},
            calibration={k: float(v) for k, v in config["calibration"].items()},
            notes=tuple(str(one) for one in config["notes"]),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); {_MEND}") from error
    return model, preprocessing, info
