"""Folders in the style of transformers: ``config.json``, vocabulary and weights of an OFA model.

The names are those of OFA's branch of transformers (``OFAConfig``, ``OFAModel``, ``OFATokenizer``),
whose folders are published as OFA-Sys/OFA-tiny to -huge, and BiomedGPT's as PanaceaAI. The text
vocabulary is ``vocab.json`` and ``merges.txt`` as for BART, with ids in the order of ``dict.txt``;
image codes and location bins follow it and are in no file.

What such a folder has no place for (task, preprocessing, answers, licence, hashes) is in
``biomedgpt.json`` beside it, and the vocabulary in our own form, since not every one is a GPT-2
BPE.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.bart_vocabulary import MERGES, VOCAB, read_bart, write_bart
from biomedgpt.checkpoints.description import (
    FORMAT,
    CheckpointInfo,
    Description,
    Preprocessing,
    as_text,
)
from biomedgpt.checkpoints.hashes import check_hashes, with_hashes, without_hashes
from biomedgpt.checkpoints.native import VOCABULARY
from biomedgpt.checkpoints.option_names import RESNETS, of_both_parts
from biomedgpt.checkpoints.published import LICENCE, PublishedFile, modern_contents, modern_weights
from biomedgpt.checkpoints.safetensors_file import read_safetensors
from biomedgpt.checkpoints.source import CONFIG, Contents, Source, own_vocabulary, read_json
from biomedgpt.checkpoints.state_dict import (
    CODE_POSITIONS,
    EMBEDDING_KEY,
    TIED_KEYS,
    derived_buffers,
)
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.checkpoints.torch_file import read_torch_file, tensors, write_torch_file
from biomedgpt.errors import CheckpointError
from biomedgpt.files import WEIGHTS, atomic_folder, file_hash, read_ahead
from biomedgpt.model import ModelConfig
from biomedgpt.vocabulary import Vocabulary

DESCRIPTION = "biomedgpt.json"
BIN = "pytorch_model.bin"
_FIX = "get the folder again from where it was published"

# What a part of a key is called here and there. Order matters in neither direction, since whole
# names between dots are compared.
_ENCODER = {"attn_ln": "self_attn_mid_layer_norm", "ffn_layernorm": "ffn_layer_norm"}
_DECODER = {
    "self_attn_ln": "self_attn_mid_layer_norm",
    "cross_attn_ln": "cross_attn_mid_layer_norm",
    "encoder_attn": "cross_attn",
    "encoder_attn_layer_norm": "cross_attn_layer_norm",
    "ffn_layernorm": "ffn_layer_norm",
}
_NAMES = {"encoder": _ENCODER, "decoder": _DECODER}
_LAYER = re.compile(r"(encoder|decoder)(\.layers\.\d+\.)([^.]+)(.*)")

_FIXED: Mapping[str, Any] = {
    "activation_function": "gelu",
    "scale_embedding": False,
    "normformer": True,
    "entangle_position_embedding": False,
    "add_type_embedding": True,
    "layernorm_embedding": True,
    "patch_layernorm_embedding": True,
    "code_layernorm_embedding": True,
    "encoder_normalize_before": True,
    "decoder_normalize_before": True,
    "share_decoder_input_output_embed": True,
    "attn_scale_factor": 2.0,
}
"""Options that change the function of the model, with the only value there is code for here."""
_POSITIONS = 1025
"""Entries of the index of code positions there; one less than in the published fairseq code."""


class HuggingFaceFormat:
    """Folders of an OFA model; see `biomedgpt.checkpoints.formats.Format`."""

    name = "hf"

    def recognises(self, source: Source) -> bool:
        """Say whether a folder holds an OFA model in the style of transformers."""
        config = source.config
        if config.get("format") == FORMAT:
            return False
        return config.get("model_type") == "ofa" or "OFA" in str(config.get("architectures"))

    def describe(self, source: Source) -> Contents:
        """Return what is in a folder."""
        described = _read_description(source.path)
        published, file = _published(source.path, {})
        found = Contents(file=file, weights=published.weights, info=_unknown(source.path, ()))
        return modern_contents(found, published, described)

    def read(self, source: Source, *, vocabulary: str | Path | None, ema: bool) -> StoredCheckpoint:
        """Read a folder; it has no moving average beside the weights."""
        del ema
        folder = source.path
        options = _read_json(folder / CONFIG)
        for name, wanted in _FIXED.items():
            if options.get(name, wanted) != wanted:
                raise CheckpointError(
                    f"{folder / CONFIG}: {name} is {options[name]!r}, and this program has only "
                    f"{wanted!r}"
                )
        published, path = _published(folder, options)
        if EMBEDDING_KEY not in published.weights:
            raise CheckpointError(f"{path}: no OFA model in it (no {EMBEDDING_KEY}); {_FIX}")
        modern, config, notes = modern_weights(published, source=str(path))
        loaded = _read_vocabulary(folder, config, vocabulary)
        described = _read_description(folder)
        if described is None:
            described = Description(
                config=config, preprocessing=Preprocessing(), info=_unknown(folder, notes)
            )
        return StoredCheckpoint.of(described, modern, loaded)


def to_huggingface(key: str) -> str:
    """Return the name that a weight has there."""
    return _rename(key, _NAMES)


def from_huggingface(key: str) -> str:
    """Return the published name of a weight that is called ``key`` there."""
    return _rename(key, _REVERSED)


_REVERSED = {
    part: {theirs: ours for ours, theirs in names.items()} for part, names in _NAMES.items()
}


def _rename(key: str, names: Mapping[str, Mapping[str, str]]) -> str:
    if found := _LAYER.fullmatch(key):
        part, layer, module, rest = found.groups()
        return f"{part}{layer}{names[part].get(module, module)}{rest}"
    return key


# Reading


def _published(folder: Path, options: dict[str, Any]) -> tuple[PublishedFile, Path]:
    """Return the weights in a folder by the published names, and their file."""
    path, weights = read_weights(folder)
    renamed = {from_huggingface(key.removeprefix("model.")): v for key, v in weights.items()}
    return PublishedFile(weights=renamed, options=options), path


def _unknown(folder: Path, notes: Iterable[str]) -> CheckpointInfo:
    """Return what is to be said of a folder that says nothing itself."""
    return CheckpointInfo(
        name=folder.resolve().name,
        licence=LICENCE,
        source="published folder in the style of transformers",
        notes=tuple(notes),
    )


def _read_description(folder: Path) -> Description | None:
    """Return what we wrote into a folder; None if somebody else wrote it."""
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    content = _read_json(path)
    description = Description.parse(without_hashes(content), path, fix=_FIX)
    check_hashes(content, path, fix=_FIX)
    return description


def read_weights(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """Return the file of the weights and what it holds, by the names there."""
    if (folder / WEIGHTS).is_file():
        path = folder / WEIGHTS
        return path, read_safetensors(path, read_ahead(path), fix=_FIX)
    path = folder / BIN
    if not path.is_file():
        raise CheckpointError(f"{folder}: no weights here; expected {WEIGHTS} or {BIN}")
    return path, tensors(read_torch_file(path, fix=_FIX), where=str(path))


def _read_vocabulary(folder: Path, config: ModelConfig, given: str | Path | None) -> Vocabulary:
    if (folder / VOCABULARY).is_dir():
        return own_vocabulary(Vocabulary.load(folder / VOCABULARY), given, folder)
    if given is not None:
        return Vocabulary.load(given)
    return read_bart(folder / VOCAB, folder / MERGES, entries=config.vocab_size)


def _read_json(path: Path) -> dict[str, Any]:
    content = read_json(path, fix=_FIX)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object; {_FIX}")
    return content


# Writing


def write_huggingface(stored: StoredCheckpoint, folder: Path, *, overwrite: bool = False) -> None:
    """Write a checkpoint as a folder in the style of transformers, complete or not at all.

    Raises:
        ConfigError: the folder exists and ``overwrite`` is not given, or cannot be written.
    """
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        write_torch_file(huggingface_weights(stored), temporary / BIN)
        config = as_text(huggingface_config(stored.config))
        (temporary / CONFIG).write_text(config, encoding="utf-8")
        stored.vocabulary.save(temporary / VOCABULARY)
        write_bart(stored.vocabulary, temporary / VOCABULARY, temporary)
        # The weights have checksums of their own, and so has the folder of the vocabulary.
        beside = [temporary / name for name in (CONFIG, VOCAB, MERGES)]
        files = {path.name: file_hash(path) for path in beside if path.is_file()}
        path = temporary / DESCRIPTION
        text = as_text(with_hashes(stored.description.to_json(), path, files))
        path.write_text(text, encoding="utf-8")


def huggingface_weights(stored: StoredCheckpoint) -> dict[str, Tensor]:
    """Return all entries of ``pytorch_model.bin``: weights, tied copies and derived buffers."""
    entries = {to_huggingface(key): value for key, value in stored.weights.items()}
    entries.update(dict.fromkeys(TIED_KEYS, stored.weights[EMBEDDING_KEY]))
    for key, value in derived_buffers(stored.config).items():
        if key == CODE_POSITIONS:
            entries[key] = value[:_POSITIONS].clone()
        elif not key.endswith(".version"):
            entries[key] = value
    return entries


def huggingface_config(config: ModelConfig) -> dict[str, Any]:
    """Return the content of ``config.json``; ResNets that have no name there are None."""
    return {
        "architectures": ["OFAModel"],
        "model_type": "ofa",
        "is_encoder_decoder": True,
        "vocab_size": config.vocab_size,
        "d_model": config.embed_dim,
        "max_position_embeddings": config.max_positions,
        **of_both_parts(
            config,
            ffn_dim=config.ffn_dim,
            attention_heads=config.heads,
            layerdrop=0.0,
            drop_path_rate=0.0,
        ),
        "resnet_type": RESNETS.get(config.resnet_blocks) if config.resnet_width == 64 else None,
        "resnet_drop_path_rate": 0.0,
        "resnet_model_path": None,
        "token_bucket_size": config.token_bucket_size,
        "image_bucket_size": config.image_bucket_size,
        "code_image_size": config.code_image_size,
        **_FIXED,
        "dropout": 0.1,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "classifier_dropout": 0.0,
        "init_std": 0.02,
        "use_cache": True,
        "bos_token_id": 0,
        "pad_token_id": config.pad,
        "eos_token_id": 2,
        "decoder_start_token_id": 0,
        "forced_eos_token_id": 2,
        "torch_dtype": "float32",
    }
