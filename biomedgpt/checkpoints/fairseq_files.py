"""Writing a checkpoint in the layout of fairseq, as the published ones are.

The published code loads such a file with ``--restore-file``, our recipes with ``--checkpoint``.
The options of the model are in it as a namespace of argparse. What fairseq has no place for
(vocabulary, task, preprocessing, answers, licence) is in it as `biomedgpt.checkpoints.embedded`
says.
"""

import argparse
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.embedded import KEY, embed, pack
from biomedgpt.checkpoints.option_names import RESNETS, of_both_parts
from biomedgpt.checkpoints.state_dict import (
    EMBEDDING_KEY,
    TIED_KEYS,
    derived_buffers,
    identify_size,
    shapes_of,
)
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.checkpoints.torch_file import write_torch_file
from biomedgpt.files import atomic_path
from biomedgpt.model.config import OFA_NAMES

_SWITCHES = (
    *("share_all_embeddings", "layernorm_embedding", "patch_layernorm_embedding"),
    *("code_layernorm_embedding", "add_type_embedding", "no_scale_embedding", "disable_entangle"),
    *("scale_attn", "scale_fc", "scale_heads"),
)
"""Options of the published code that are on in all its models."""


def write_fairseq(stored: StoredCheckpoint, path: Path) -> None:
    """Write a checkpoint as a file of fairseq, complete or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    state = {
        "args": argparse.Namespace(**_options(stored)),
        "cfg": None,
        "model": fairseq_weights(stored),
        "criterion": None,
        "optimizer_history": [
            {
                "criterion_name": "AdjustLabelSmoothedCrossEntropyCriterion",
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {"best": None},
                "num_updates": 0,
            }
        ],
        "task_state": {},
        "extra_state": {"train_iterator": {"epoch": 1}, "val_loss": None},
        "last_optimizer_state": None,
        KEY: embed(stored.description, pack(stored.vocabulary)),
    }
    with atomic_path(path) as temporary:
        write_torch_file(state, temporary)


def fairseq_weights(stored: StoredCheckpoint) -> dict[str, Tensor]:
    """Return all entries of a published state dict: weights, tied copies and derived buffers."""
    embedding = stored.weights[EMBEDDING_KEY]
    buffers = {
        # Floating-point buffers have the data type of the weights.
        key: value.to(embedding.dtype) if value.is_floating_point() else value
        for key, value in derived_buffers(stored.config).items()
    }
    return {**buffers, **stored.weights, **dict.fromkeys(TIED_KEYS, embedding)}


def _options(stored: StoredCheckpoint) -> dict[str, Any]:
    """Return options of the model under the names of the published code."""
    config = stored.config
    size = identify_size(shapes_of(stored.weights)) or "base"
    return {
        **of_both_parts(
            config,
            embed_dim=config.embed_dim,
            ffn_embed_dim=config.ffn_dim,
            attention_heads=config.heads,
            normalize_before=True,
        ),
        "arch": f"ofa_{OFA_NAMES.get(size, size)}",
        "activation_fn": "gelu",
        "attn_scale_factor": 2,
        **dict.fromkeys(_SWITCHES, True),
        "resnet_type": RESNETS.get(config.resnet_blocks, "resnet50"),
        "max_source_positions": config.max_positions,
        "max_target_positions": config.max_positions,
        "token_bucket_size": config.token_bucket_size,
        "image_bucket_size": config.image_bucket_size,
        "code_image_size": config.code_image_size,
        "orig_patch_image_size": config.orig_patch_image_size,
        "interpolate_position": config.interpolate_position,
        "patch_image_size": stored.preprocessing.image_size,
    }
