"""How fairseq reads checkpoint files: safely, with one-line errors, or their averaged weights."""

import logging
import pickle
from typing import Any

from fairseq import checkpoint_utils

from biomedgpt.errors import CheckpointError

logger = logging.getLogger(__name__)

_read = checkpoint_utils.load_checkpoint_to_cpu


class _Choice:
    """Which weights `read` hands to fairseq, which has no way to ask for the averaged ones."""

    ema = False


def use_ema(ema: bool) -> None:
    """Let the next checkpoint be read with its exponential moving average as the weights."""
    _Choice.ema = ema


def read(path: str, arg_overrides: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Read a checkpoint as fairseq does.

    Raises:
        CheckpointError: the file holds other classes than the allow-list's (nothing of it is
            executed), is damaged, is not a fairseq checkpoint, or has no averaged weights.
    """
    try:
        state: dict[str, Any] = _read(path, arg_overrides, **options)
    except pickle.UnpicklingError as error:
        # torch's advice is to turn the check off; that must not reach the user.
        found = str(error).partition("Unsupported global: GLOBAL ")[2].split(" ")[0]
        what = f"it would call {found}" if found else "it is damaged, or no torch file"
        raise CheckpointError(
            f"{path}: refused, {what}; nothing was executed. Get the checkpoint from its "
            "publisher again, and do not trust this file"
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        reason = (str(error).splitlines() or ["end of file"])[0]
        raise CheckpointError(f"{path}: damaged or truncated checkpoint ({reason})") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a fairseq checkpoint (no {error}); give a file that fairseq-train wrote, "
            "or a published OFA or BiomedGPT checkpoint"
        ) from error
    if _Choice.ema:
        if "ema" not in state["extra_state"]:
            raise CheckpointError(
                f"{path}: no averaged weights in it; train with --store-ema, or leave out "
                "--ema-eval"
            )
        logger.info("using the exponential moving average of the weights in %s", path)
        state["model"] = state["extra_state"]["ema"]
    return state


def install() -> None:
    """Make fairseq read through `read`."""
    checkpoint_utils.load_checkpoint_to_cpu = read
