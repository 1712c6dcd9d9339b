"""Files as the published code wrote them, in miniature: the layouts that are in the wild."""

import argparse
import sys
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from biomedgpt.checkpoints.state_dict import TIED_KEYS, derived_buffers
from biomedgpt.model import ModelConfig

EMBEDDING = "encoder.embed_tokens.weight"
OPTIONS = {
    "arch": "ofa_tiny",
    "activation_fn": "gelu",
    "attn_scale_factor": 2,
    "no_scale_embedding": True,
    "disable_entangle": True,
    "code_image_size": 64,
    "interpolate_position": False,
    "restore_file": "/nowhere/of/the/authors/pretrained.pt",
}
TASK = {
    "_name": "vqa_gen",
    "data": "/nowhere/of/the/authors/train.tsv,/nowhere/of/the/authors/valid.tsv",
    "bpe_dir": "../../utils/BPE",
    "patch_image_size": 384,
    "max_src_length": 70,
    "max_tgt_length": 30,
    "prompt_type": "prev_output",
    "add_object": True,
    "ans2label_dict": '{"no": 0, "yes": 1}',
    "ans2label_file": None,
}


def entries(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return all that a published state dict holds: tied copies and buffers, too."""
    full = {**derived_buffers(config), **weights}
    return full | dict.fromkeys(TIED_KEYS, full[EMBEDDING])


def _state(model: Mapping[str, Tensor], **parts: Any) -> dict[str, Any]:
    return {
        "args": None,
        "cfg": None,
        "model": dict(model),
        "criterion": None,
        "optimizer_history": [
            {
                "criterion_name": "AdjustLabelSmoothedCrossEntropyCriterion",
                "optimizer_name": "FP16Optimizer",
                "lr_scheduler_state": {"best": None},
                "num_updates": 1234,
            }
        ],
        "task_state": {},
        "extra_state": {"train_iterator": {"epoch": 5}, "val_loss": 0.5},
        "last_optimizer_state": {"state": {}, "param_groups": []},
    } | parts


def with_argparse(model: Mapping[str, Tensor]) -> dict[str, Any]:
    """All options in one namespace."""
    options = {**OPTIONS, **TASK, "task": "vqa_gen"}
    return _state(model, args=argparse.Namespace(**options))


def with_dicts(model: Mapping[str, Tensor]) -> dict[str, Any]:
    """A configuration of plain dicts, the model's options in a namespace, as OFA has it."""
    config = {"model": argparse.Namespace(**OPTIONS), "task": dict(TASK), "common": {"seed": 7}}
    return _state(model, cfg=config)


def with_omegaconf(model: Mapping[str, Tensor]) -> dict[str, Any]:
    """A configuration of omegaconf's own classes."""
    from omegaconf import OmegaConf

    config = OmegaConf.create({"model": OPTIONS, "task": TASK, "lists": [1, [2.5, "x"]]})
    return _state(model, cfg=config)


def with_average(model: Mapping[str, Tensor]) -> dict[str, Any]:
    """Half precision weights that are noise, and their average in float32 and half precision."""
    noise = {
        key: torch.full_like(value, 7).half() if value.is_floating_point() else value
        for key, value in model.items()
    }
    state = with_dicts(noise)
    precise = {key: value for key, value in model.items() if value.is_floating_point()}
    state["extra_state"]["ema"] = {
        key: value.half() if value.is_floating_point() else value for key, value in model.items()
    }
    state["extra_state"]["ema_fp32_params"] = precise
    return state


def with_objects(model: Mapping[str, Tensor]) -> dict[str, Any]:
    """Objects of the published code's own modules, in the task's state and the meters."""
    meters = types.ModuleType("fairseq.logging.meters_of_then")
    config = types.ModuleType("tasks.mm_tasks.vqa_gen")
    AverageMeter = type("AverageMeter", (), {"__module__": meters.__name__})
    VqaGenConfig = type("VqaGenConfig", (), {"__module__": config.__name__})
    meters.AverageMeter, config.VqaGenConfig = AverageMeter, VqaGenConfig
    meter, task = AverageMeter(), VqaGenConfig()
    meter.sum, task.data = torch.ones(1), "/nowhere/of/the/authors"
    state = with_dicts(model)
    state["task_state"] = {"config": task}
    state["extra_state"]["metrics"] = [meter]
    packages = ("fairseq", "fairseq.logging", "tasks", "tasks.mm_tasks")
    state["modules"] = [*map(types.ModuleType, packages), meters, config]
    return state


def save(state: dict[str, Any], path: Any, *, legacy: bool = False) -> None:
    """Write a state; modules of its classes exist only while it is written."""
    modules = state.pop("modules", [])
    before = dict(sys.modules)
    for module in modules:
        sys.modules.setdefault(module.__name__, module)
    try:
        torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    finally:
        for module in modules:
            if module.__name__ not in before:
                del sys.modules[module.__name__]


def older(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of early fairseq versions, in a shorter index of positions."""
    renamed = dict(model)
    for part, norms in (
        ("encoder", ("self_attn_layer_norm", "final_layer_norm")),
        ("decoder", ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")),
    ):
        layer = f"{part}.layers.0"
        for number, name in enumerate(norms):
            for kind in ("weight", "bias"):
                renamed[f"{layer}.layer_norms.{number}.{kind}"] = renamed.pop(
                    f"{layer}.{name}.{kind}"
                )
        for kind in ("weight", "bias"):
            parts = [renamed.pop(f"{layer}.self_attn.{one}_proj.{kind}") for one in "qkv"]
            renamed[f"{layer}.self_attn.in_proj_{kind}"] = torch.cat(parts)
    for key in ("encoder.version", "decoder.version", *TIED_KEYS, "encoder.token_rp_bucket"):
        del renamed[key]
    renamed["decoder.image_position_idx"] = renamed["decoder.image_position_idx"][:-1]
    return {f"module.{key}": value for key, value in renamed.items()}
