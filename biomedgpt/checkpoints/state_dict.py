"""Strict loading of reference state dicts, with a diagnosis when they do not fit."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from biomedgpt.errors import CheckpointError
from biomedgpt.model.config import PRESETS, ModelConfig
from biomedgpt.model.positions import code_positions, image_buckets, token_buckets

EMBEDDING_KEY = "encoder.embed_tokens.weight"
TIED_KEYS = ("decoder.embed_tokens.weight", "decoder.output_projection.weight")
"""Keys that hold the same tensor as `EMBEDDING_KEY`."""

CODE_POSITIONS = "decoder.image_position_idx"
IMAGE_BUFFERS = ("encoder.image_rp_bucket", "decoder.image_rp_bucket", CODE_POSITIONS)
"""Derived buffers that depend on the grid of image patches."""
DERIVED_KEYS = (
    *("encoder.version", "encoder.token_rp_bucket"),
    *("decoder.version", "decoder.token_rp_bucket"),
    *IMAGE_BUFFERS,
)
"""All entries that follow from the configuration."""
_SHOWN = 5


def derived_buffers(config: ModelConfig) -> dict[str, Tensor]:
    """Return the buffers that reference files hold but that follow from the configuration."""
    cpu = torch.device("cpu")
    size = config.image_bucket_size
    token = token_buckets(1024, config.token_bucket_size, device=cpu)
    image = image_buckets(torch.arange(size**2 + 1), size)
    buffers = {}
    for part in ("encoder", "decoder"):
        buffers[f"{part}.version"] = torch.tensor([3.0])
        buffers[f"{part}.token_rp_bucket"] = token
        buffers[f"{part}.image_rp_bucket"] = image
    buffers[CODE_POSITIONS] = code_positions(1026, config.code_image_size // 8, size, device=cpu)
    return buffers


Shapes = Mapping[str, Sequence[int]]


def shapes_of(state_dict: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each entry."""
    return {key: tuple(value.shape) for key, value in state_dict.items()}


def identify_size(shapes: Shapes) -> str | None:
    """Return the name of the preset that a state dict's shapes belong to, or None."""
    embedding = shapes.get(EMBEDDING_KEY)
    if embedding is None or len(embedding) != 2:
        return None
    found = (
        embedding[1],
        count_layers(shapes, "encoder.layers"),
        count_layers(shapes, "decoder.layers"),
        count_layers(shapes, "encoder.embed_images.layer3"),
    )
    return _name_of(found)


def _signature(config: ModelConfig) -> tuple[int, int, int, int]:
    blocks = config.resnet_blocks[2]
    return config.embed_dim, config.encoder_layers, config.decoder_layers, blocks


def _name_of(signature: tuple[int, int, int, int]) -> str | None:
    return next((n for n, config in PRESETS.items() if _signature(config) == signature), None)


def count_layers(keys: Iterable[str], prefix: str) -> int:
    """Return how many layers have a key that begins so."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for key in keys if (match := pattern.match(key))})


def check_keys(model: nn.Module, shapes: Shapes, *, source: str = "checkpoint") -> None:
    """Compare the keys and shapes of weights with those of a model.

    Derived buffers and tied copies of the embedding may be there or not.

    Raises:
        CheckpointError: keys are missing, unexpected or of another shape (all kinds are listed);
            if the weights are those of another size, the message names it.
    """
    config = model.config
    assert isinstance(config, ModelConfig)
    kinds = ("missing", "unexpected", "of another shape")
    problems = [
        f"{len(keys)} {kind}: {_shorten(keys)}"
        for kind, keys in zip(kinds, compare_keys(model, shapes), strict=True)
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{source} does not fit the model{_diagnose(shapes, config)}; "
            f"keys {'; '.join(problems)}"
        )


class KeyDifferences(NamedTuple):
    """How weights differ from what a model has."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]
    """Each with both shapes."""

    def counts(self) -> str:
        """Say how many there are of each kind; empty where there is none."""
        return ", ".join(f"{len(keys)} keys {how}" for how, keys in self._asdict().items() if keys)


def compare_keys(model: nn.Module, shapes: Shapes) -> KeyDifferences:
    """Compare keys and shapes as `check_keys` does."""
    wanted = shapes_of(model.state_dict())
    optional = {*TIED_KEYS, *DERIVED_KEYS}
    return KeyDifferences(
        missing=tuple(key for key in wanted if key not in shapes and key not in optional),
        unexpected=tuple(key for key in shapes if key not in wanted and key not in optional),
        misshaped=tuple(
            f"{key} is {tuple(shapes[key])}, not {shape}"
            for key, shape in wanted.items()
            if key in shapes and tuple(shapes[key]) != shape
        ),
    )


def load_reference_state_dict(
    model: nn.Module,
    state_dict: Mapping[str, Tensor],
    *,
    source: str = "checkpoint",
    assign: bool = False,
) -> None:
    """Load weights with the published key names into a model, exactly.

    Buffers that follow from the configuration (``*_rp_bucket``, ``image_position_idx``) are
    compared with it and left out; ``version`` is ignored. Tied copies of the embedding may be
    absent but not different.

    Args:
        model: a `biomedgpt.model.BiomedGPT`, or a module with its parameters and `config`.
        state_dict: the weights, by reference key.
        source: how to call the weights in an error.
        assign: make the given tensors the parameters of the model, which may be on the meta device,
            instead of copying their values. Its embeddings have to be tied again then.

    Raises:
        CheckpointError: see `check_keys`; or a tied or derived entry has other values.
    """
    config = model.config
    assert isinstance(config, ModelConfig)
    check_keys(model, shapes_of(state_dict), source=source)
    weights = essential(state_dict, config, source=source)
    weights.update(dict.fromkeys(TIED_KEYS, weights[EMBEDDING_KEY]))
    model.load_state_dict(weights, strict=True, assign=assign)


def essential(
    state_dict: Mapping[str, Tensor], config: ModelConfig, *, source: str = "checkpoint"
) -> dict[str, Tensor]:
    """Return weights without derived buffers and tied copies of the embedding.

    Raises:
        CheckpointError: one of these has other values than it should.
    """
    for key in TIED_KEYS:
        if key in state_dict and not torch.equal(state_dict[key], state_dict[EMBEDDING_KEY]):
            raise CheckpointError(f"{source}: {key} differs from {EMBEDDING_KEY}, its tied copy")
    weights = without_derived(state_dict, config, source=source)
    return {key: value for key, value in weights.items() if key not in TIED_KEYS}


def without_derived(
    state_dict: Mapping[str, Tensor],
    config: ModelConfig,
    *,
    source: str,
    keys: Collection[str] = DERIVED_KEYS,
) -> dict[str, Tensor]:
    """Return weights without derived buffers, or without some of them.

    Raises:
        CheckpointError: one of them has other values than it should.
    """
    given = [key for key in keys if key in state_dict and not key.endswith(".version")]
    expected = derived_buffers(config) if given else {}
    for key in given:
        found, value = state_dict[key].cpu(), expected[key]
        if key == CODE_POSITIONS and found.dim() == 1 and len(found):  # shorter in some versions
            found, value = found[: len(value)], value[: len(found)]
        if not torch.equal(found.to(value.dtype), value):
            raise CheckpointError(f"{source}: {key} belongs to another position scheme")
    return {key: value for key, value in state_dict.items() if key not in keys}


def _diagnose(shapes: Shapes, config: ModelConfig) -> str:
    found = identify_size(shapes)
    asked = _name_of(_signature(config)) or "another size"
    if found is not None and found != asked:
        return f": these are {found} weights; you asked for {asked}"
    embedding = shapes.get(EMBEDDING_KEY)
    if embedding is not None and len(embedding) == 2 and embedding[0] != config.vocab_size:
        return (
            f": its vocabulary has {embedding[0]} entries, the model's {config.vocab_size}"
            " (give the vocabulary that the weights were trained with)"
        )
    return ""


def _shorten(keys: Sequence[str]) -> str:
    rest = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
