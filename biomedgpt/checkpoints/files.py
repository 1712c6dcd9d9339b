"""Reading torch files of unknown origin: tensors and plain values, and nothing is executed.

torch's restricted reader (``weights_only``) makes tensors, containers and numbers. Beside these a
file may name classes of the program that wrote it; those listed by the caller become `Inert`
objects, which keep no state and run no code, and any other is refused.
"""

import pickle
import re
import warnings
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biomedgpt.checkpoints.state_dict import EMBEDDING_KEY, load_reference_state_dict
from biomedgpt.errors import CheckpointError, ConfigError
from biomedgpt.model import BiomedGPT, ModelConfig, preset

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_PLACE_IN_TORCH = re.compile(r"^\[enforce fail at [^]]*\]\s*\.?\s*")
_NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")

_OPTIONS = ("argparse.Namespace",)
"""Classes in which older programs, OFA among them, kept their options."""

# Options of our models that have another name in `ModelConfig`.
_RENAMED = {
    "encoder_drop_path_rate": "encoder_drop_path",
    "decoder_drop_path_rate": "decoder_drop_path",
    "resnet_drop_path_rate": "resnet_drop_path",
    "activation_checkpointing": "checkpoint_activations",
}
# What only matters in training; a model for use has none of it.
_TRAINING_ONLY = (
    *("dropout", "attention_dropout", "activation_dropout"),
    *("encoder_drop_path", "decoder_drop_path", "resnet_drop_path", "checkpoint_activations"),
)


class Inert:
    """Stands in for a class that a file names; ignores what it is given."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        del state


def read_torch_file(path: Path, *, inert: Iterable[str] = (), mend: str) -> dict[str, Any]:
    """Read a file that ``torch.save`` wrote from a dict.

    Args:
        path: the file.
        inert: full names of classes that are replaced by `Inert`.
        mend: what to do about a file that cannot be used, for the message.

    Raises:
        CheckpointError: it is missing, damaged, not a dict, or names a class that is not listed.
    """
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [
        np.dtype,
        *(type(np.dtype(code)) for code in _NUMPY_TYPES),
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),  # the name numpy 1 wrote into files
        *((Inert, name) for name in inert),
    ]
    try:
        with (
            path.open("rb") as file,
            torch.serialization.safe_globals(allowed),
            warnings.catch_warnings(),
        ):
            # Of a pickle protocol that torch does not write; the error says what matters.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; {mend}") from None
    except pickle.UnpicklingError as error:
        # torch's advice is to turn the check off; that must not reach the user.
        found = _GLOBAL.search(str(error))
        what = f"it asks for {found[1]}" if found else "it is damaged, or no torch file"
        raise CheckpointError(
            f"{path}: refused, {what}; nothing was executed. Do not trust this file; {mend}"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        reason = _PLACE_IN_TORCH.sub("", reason).partition(". ")[0]
        raise CheckpointError(f"{path}: damaged or truncated ({reason}); {mend}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a checkpoint (no names in it); {mend}")
    return content


def load_run(
    path: str | Path, *, ema: bool = True, code_image_size: int | None = None
) -> BiomedGPT:
    """Load the model of one of our own training runs, in evaluation mode.

    Args:
        path: a checkpoint that a recipe wrote (``checkpoint_best.pt``).
        ema: take the exponential moving average of the weights where there is one.
        code_image_size: see `ModelConfig`; no weights depend on it. The run's own by default.

    Raises:
        CheckpointError: the file cannot be used; see `read_torch_file`.
    """
    path = Path(path)
    mend = "give a checkpoint that a recipe of this project wrote"
    state = read_torch_file(path, inert=_OPTIONS, mend=mend)
    try:
        options = dict(state["cfg"]["model"])
        extra = state["extra_state"]
        weights: dict[str, Tensor] = (extra.get("ema") if ema else None) or state["model"]
        size, vocab_size = options["size"], len(weights[EMBEDDING_KEY])
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: no options of a biomedgpt model in it, as published checkpoints have none; "
            f"{mend}"
        ) from error
    known = {field.name for field in fields(ModelConfig)}
    options = {_RENAMED.get(name, name): value for name, value in options.items()}
    kept = {
        name: value
        for name, value in options.items()
        if name in known and name not in _TRAINING_ONLY and value is not None
    }
    if code_image_size is not None:
        kept["code_image_size"] = code_image_size
    try:
        model = BiomedGPT(preset(size, **(kept | {"vocab_size": vocab_size})))
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{path}: options of another program ({error}); {mend}") from error
    load_reference_state_dict(model, weights, source=str(path))
    return model.eval()
