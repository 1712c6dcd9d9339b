"""How a run was trained: of the options that fairseq writes into its files, those worth knowing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.torch_file import plain

# Name here, group and option of fairseq. Values that mean "no limit" or "not used" are left out.
_OPTIONS = (
    ("learning_rate", "optimization", "lr"),
    ("max_epochs", "optimization", "max_epoch"),
    ("max_updates", "optimization", "max_update"),
    ("batch_size", "dataset", "batch_size"),
    ("max_tokens", "dataset", "max_tokens"),
    ("update_freq", "optimization", "update_freq"),
    ("devices", "distributed_training", "distributed_world_size"),
    ("seed", "common", "seed"),
    ("optimizer", "optimizer", "_name"),
    ("weight_decay", "optimizer", "weight_decay"),
    ("clip_norm", "optimization", "clip_norm"),
    ("lr_scheduler", "lr_scheduler", "_name"),
    ("warmup_updates", "lr_scheduler", "warmup_updates"),
    ("label_smoothing", "criterion", "label_smoothing"),
    ("dropout", "model", "dropout"),
    ("encoder_drop_path", "model", "encoder_drop_path_rate"),
    ("decoder_drop_path", "model", "decoder_drop_path_rate"),
    ("batch_norm", "model", "batch_norm"),
    ("augment", "task", "augment"),
    ("balance", "task", "balance"),
    ("noise_ratio", "task", "noise_ratio"),
    ("fold", "task", "fold"),
)
_UNLIMITED = ("max_epochs", "max_updates", "clip_norm")


def settings_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run as plain values, without paths of the machine it ran on.

    Args:
        state: content of a checkpoint that fairseq writes. Options that it lacks, or that have
            another form, are left out.
    """
    config = plain(state.get("cfg"))
    groups = config if isinstance(config, dict) else {}

    def option(group: str, name: str) -> Any:
        values = groups.get(group)
        return values.get(name) if isinstance(values, dict) else None

    settings: dict[str, Any] = {}
    for name, group, of_fairseq in _OPTIONS:
        value = option(group, of_fairseq)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is not None and not (name in _UNLIMITED and value == 0):
            settings[name] = value
    if (updates := updates_of(state)) is not None:
        settings["updates"] = updates
    if "common" in groups:
        kinds = [kind for kind in ("bf16", "amp", "fp16") if option("common", kind)]
        settings["precision"] = kinds[0] if kinds else "float32"
    if option("ema", "store_ema"):
        settings["ema_decay"] = option("ema", "ema_decay")
    if start := option("checkpoint", "finetune_from_model"):
        settings["started_from"] = Path(str(start)).name
    return settings


def updates_of(state: Mapping[str, Any]) -> int | None:
    """Return how many updates the weights of a file have seen, None where it does not say."""
    history = plain(state.get("optimizer_history"))
    last = history[-1] if isinstance(history, list) and history else None
    updates = last.get("num_updates") if isinstance(last, dict) else None
    return updates if isinstance(updates, int) else None
