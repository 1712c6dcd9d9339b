"""How fairseq reads checkpoint files: safely, with one-line errors, or their averaged weights."""

import logging
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.dataclass.utils import overwrite_args_by_name
from omegaconf import OmegaConf

from biomedgpt.errors import CheckpointError

logger = logging.getLogger(__name__)


_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class _Reading:
    """What fairseq has no way to pass along: which weights to take, and from which file."""

    ema = False
    path = "checkpoint"


def use_ema(ema: bool) -> None:
    """Let checkpoints be read with their exponential moving average as the weights."""
    _Reading.ema = ema


def last_path() -> str:
    """Return the checkpoint read last, to name it when its weights do not fit."""
    return _Reading.path


def read(path: str, arg_overrides: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
    """Read a checkpoint in place of `fairseq.checkpoint_utils.load_checkpoint_to_cpu`.

    Args:
        path: a file that fairseq-train wrote; those of OFA and BiomedGPT are such.
        arg_overrides: options to change in the stored configuration.

    Raises:
        CheckpointError: the file holds other classes than the allow-list's (nothing of it is
            executed), is damaged, is not a fairseq checkpoint, or has no averaged weights.
    """
    _Reading.path = str(path)
    try:
        state = _load(path, arg_overrides)
        weights, extra = state["model"], state["extra_state"]
    except pickle.UnpicklingError as error:
        # torch's advice is to turn the check off; that must not reach the user.
        found = _GLOBAL.search(str(error))
        what = f"it asks for {found[1]}" if found else "it is damaged, or no torch file"
        raise CheckpointError(
            f"{path}: refused, {what}; nothing was executed. Do not trust this file, and get the "
            "checkpoint again from where it was published"
        ) from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"{path}: not a fairseq checkpoint; give a file that fairseq-train wrote, or a "
            "published OFA or BiomedGPT checkpoint"
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0].partition(". ")[0]
        raise CheckpointError(
            f"{path}: damaged or truncated checkpoint ({reason}); get it again, or resume from "
            "an older one"
        ) from error
    if _Reading.ema:
        if "ema" not in extra:
            raise CheckpointError(
                f"{path}: no averaged weights in it; train with --store-ema, or leave out "
                "--ema-eval"
            )
        logger.info("using the exponential moving average of the weights in %s", path)
        state["model"] = extra["ema"]
    # With --store-ema, fairseq starts the average from weights it has already thrown away.
    extra.setdefault("ema", weights)
    return state


def _load(path: str, overrides: dict[str, Any] | None) -> dict[str, Any]:
    with Path(path).open("rb") as file:
        state = torch.load(file, map_location="cpu", weights_only=True)
    # Options of programs from before fairseq's configuration files; only their weights are of use.
    state["args"] = None
    if state.get("cfg") is not None:
        state["cfg"] = OmegaConf.create(state["cfg"], flags={"allow_objects": True})
        if overrides:
            overwrite_args_by_name(state["cfg"], overrides)
    upgraded: dict[str, Any] = checkpoint_utils._upgrade_state_dict(state)
    return upgraded


def has_average(path: str) -> bool:
    """Say whether a checkpoint file holds averaged weights."""
    ema = _Reading.ema
    use_ema(False)
    try:
        state = read(path)
    finally:
        use_ema(ema)
    return state["extra_state"]["ema"] is not state["model"]


def install() -> None:
    """Make fairseq read through `read`."""
    checkpoint_utils.load_checkpoint_to_cpu = read
