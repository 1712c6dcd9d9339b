"""How fairseq reads and writes checkpoint files.

Read: safely, with one-line errors, or their averaged weights. Written: complete or not at all.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.dataclass.utils import overwrite_args_by_name
from fairseq.file_io import PathManager
from omegaconf import OmegaConf
from torch import Tensor

from biomedgpt.checkpoints.embedded import KEY
from biomedgpt.checkpoints.interpolation import fit_positions, resize_image_positions
from biomedgpt.checkpoints.state_dict import EMBEDDING_KEY, TIED_KEYS
from biomedgpt.checkpoints.torch_file import PACKAGES, plain, read_torch_file, write_torch_file
from biomedgpt.errors import CheckpointError, ConfigError
from biomedgpt.files import staged
from biomedgpt.model import ModelConfig

logger = logging.getLogger(__name__)


_FIX = (
    "get the checkpoint again from where it was published, or go on from another one with "
    "--restore-file FILE"
)
_SAME_STATE = {"FairseqAdam", "FP16Optimizer", "AMPOptimizer"}
"""Optimizers that go on from each other's state, where the precision of a run changes."""
_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_PLACE_IN_TORCH = re.compile(r"^\[enforce fail at [^]]*\]\s*\.?\s*")


@dataclass(frozen=True, kw_only=True)
class Positions:
    """What the model in training wants of a checkpoint's position tables."""

    config: ModelConfig
    resize: str | None
    """``OLD:NEW`` pixels along one side of the image."""

    def __post_init__(self) -> None:
        self.sizes()

    def sizes(self) -> tuple[int, int] | None:
        """Return the two image sizes."""
        if self.resize is None:
            return None
        found = re.fullmatch(r"(\d+):(\d+)", self.resize)
        if found is None:
            raise ConfigError(
                f"--resize-positions must be OLD:NEW in pixels, as in 256:384, got {self.resize}"
            )
        return int(found[1]), int(found[2])

    def fit(self, weights: dict[str, Tensor], *, resized: bool) -> dict[str, Tensor]:
        """Return weights with position tables as large as the model's, and interpolated."""
        weights = fit_positions(weights, self.config, source=context.path)
        sizes = self.sizes()
        if sizes is not None and not resized:
            old, new = sizes
            weights = resize_image_positions(weights, self.config, trained=old, wanted=new)
            logger.info("interpolated image positions from %d to %d pixels", old, new)
        return weights


Describe = Callable[[Mapping[str, Any]], dict[str, Any]]
"""From what fairseq is about to write to what `biomedgpt.checkpoints.embedded.embed` returns."""


@dataclass
class _Context:
    """What fairseq has no way to pass along to what reads and writes."""

    ema: bool = False
    """Read the moving average as the weights."""
    path: str = "checkpoint"
    """The file read last, to name it when its weights do not fit."""
    state: os.stat_result | None = None
    """Of that file, when it was opened."""
    optimizer: str | None = None
    """Class of the run's."""
    positions: Positions | None = None
    """Fit position tables to the model that is trained."""
    describe: Describe | None = None
    """What files say about themselves, so that they are of use alone."""


context = _Context()


def read(path: str, arg_overrides: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
    """Read a checkpoint in place of `fairseq.checkpoint_utils.load_checkpoint_to_cpu`.

    Args:
        path: a file that fairseq-train wrote; those of OFA and BiomedGPT are such.
        arg_overrides: options to change in the stored configuration.

    Raises:
        CheckpointError: the file holds other classes than the allow-list's (nothing of it is
            executed), is damaged, is not a fairseq checkpoint, or has no averaged weights.
    """
    context.path = str(path)
    context.state = Path(path).stat() if Path(path).exists() else None
    state = read_torch_file(Path(path), packages=PACKAGES, fix=_FIX)
    try:
        state = _upgraded(state, arg_overrides)
        if context.positions is not None:
            _fit_positions(state, context.positions)
        weights, extra = state["model"], state["extra_state"]
        if not isinstance(weights, Mapping) or not isinstance(extra, dict):
            raise TypeError("model or extra_state is an object")
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a fairseq checkpoint; give a file that fairseq-train wrote, or a "
            "published OFA or BiomedGPT checkpoint"
        ) from error
    history = state.get("optimizer_history") or [{}]
    if {history[-1].get("optimizer_name"), context.optimizer} <= _SAME_STATE:
        history[-1]["optimizer_name"] = context.optimizer
    averages = extra.pop("ema_fp32_params", extra.get("ema"))  # older runs have both
    if context.ema:
        if averages is None:
            raise CheckpointError(
                f"{path}: no averaged weights in it; train with --store-ema, or leave out "
                "--ema-eval"
            )
        logger.info("using the exponential moving average of the weights in %s", path)
        state["model"] = averages
    # With --store-ema, fairseq starts the average from weights it has already thrown away.
    extra["ema"] = weights if averages is None else averages
    extra["ema_fp32_params"] = extra["ema"]
    return state


def refuse_changed() -> None:
    """Raise a CheckpointError if the file read last has changed since it was opened.

    What was read of it is mapped: it may be of both.
    """
    before = context.state
    if before is None:
        return
    now = Path(context.path).stat()
    if not os.path.samestat(before, now):
        return  # replaced; what was read is whole
    if (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
        raise CheckpointError(f"{context.path}: changed while it was read; start again")


def _upgraded(state: dict[str, Any], overrides: dict[str, Any] | None) -> dict[str, Any]:
    # Options of programs from before fairseq's configuration files; only their weights are of use.
    state["args"] = None
    if state.get("cfg") is not None:
        state["cfg"] = OmegaConf.create(_literal(plain(state["cfg"])))
        if overrides:
            overwrite_args_by_name(state["cfg"], overrides)
    upgraded: dict[str, Any] = checkpoint_utils._upgrade_state_dict(state)
    return upgraded


def _literal(value: Any) -> Any:
    """Return options of which no text is a reference to another: folders may have such names."""
    if isinstance(value, dict):
        return {name: _literal(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_literal(one) for one in value]
    return value.replace("${", r"\${") if isinstance(value, str) else value


def _fit_positions(state: dict[str, Any], positions: Positions) -> None:
    # What a run with the same option wrote was interpolated when that run began.
    resized = _model_options(state).get("resize_positions") == positions.resize
    state["model"] = positions.fit(state["model"], resized=resized)
    if "ema" in state["extra_state"]:
        state["extra_state"]["ema"] = positions.fit(state["extra_state"]["ema"], resized=resized)


def _model_options(state: dict[str, Any]) -> Mapping[str, Any]:
    options: Mapping[str, Any] = {} if state.get("cfg") is None else state["cfg"].get("model", {})
    return options


def examine(path: str, *, size: str | None = None) -> bool:
    """Check that fairseq-generate can use a checkpoint; say if it holds averaged weights.

    Args:
        path: the checkpoint.
        size: size its model should have; None takes any.

    Raises:
        CheckpointError: it cannot be read, is of another size, or lacks the options its model was
            made with, as those of OFA and BiomedGPT do: training starts from them.
    """
    ema, context.ema = context.ema, False
    try:
        state = read(path)
    finally:
        context.ema = ema
    options = _model_options(state)
    name = str(options.get("_name"))
    if not name.startswith("biomedgpt"):
        raise CheckpointError(
            f"{path}: no options of a biomedgpt model in it, so that generation cannot build one; "
            "give it to a training recipe (--checkpoint), and evaluate what comes out"
        )
    if size is not None and name != f"biomedgpt_{size}":
        raise CheckpointError(
            f"{path}: a model of size {name.removeprefix('biomedgpt_')}, not {size}; leave out "
            "--size, which only training needs"
        )
    return state["extra_state"]["ema"] is not state["model"]


@contextmanager
def _replacing(path: str) -> Iterator[Path]:
    """Give a place of this process beside ``path``; see `biomedgpt.files.staged`.

    Raises:
        CheckpointError: it could not be written; what was at ``path`` is untouched.
    """
    try:
        with staged(Path(path)) as temporary:
            yield temporary
    except (OSError, RuntimeError) as error:  # RuntimeError: of torch's writer
        own = isinstance(error, OSError)
        reason = error.strerror if own else _PLACE_IN_TORCH.sub("", str(error))
        raise CheckpointError(
            f"{path}: not written ({reason}); fix that (is the disk full?) and give the command "
            "again: it goes on from the last checkpoint"
        ) from error


def write(state: dict[str, Any], path: str, async_write: bool = False) -> None:
    """Write a checkpoint in place of `fairseq.checkpoint_utils.torch_persistent_save`.

    fairseq leaves its unfinished file behind when that fails. What the file says about itself is
    in ``extra_state``, where fairseq and the published code leave alone what they do not know.

    Raises:
        CheckpointError: it could not be written, or not in the way asked for.
    """
    if async_write:
        raise CheckpointError(f"{path}: leave out --write-checkpoints-asynchronously")
    extra = state.get("extra_state", {})
    if "ema_fp32_params" in extra:  # the average, and a copy in the precision of the model: "ema"
        extra["ema"] = extra.pop("ema_fp32_params")
    for weights in (state.get("model", {}), extra.get("ema", {})):
        _tie(weights)
    if context.describe is not None and "extra_state" in state:
        state = state | {"extra_state": state["extra_state"] | {KEY: context.describe(state)}}
    with _replacing(path) as temporary:
        write_torch_file(state, temporary)


def _tie(weights: dict[str, Tensor]) -> None:
    """Let keys of one tensor share it again; brought to the CPU, each has a copy of its own."""
    for key in weights.keys() & set(TIED_KEYS):
        if torch.equal(weights[key], weights[EMBEDDING_KEY]):
            weights[key] = weights[EMBEDDING_KEY]


class _Files(PathManager):  # type: ignore[misc]
    """fairseq's file operations, with copies that are complete or not there, or links.

    fairseq copies ``checkpoint_best.pt`` to ``checkpoint_last.pt``; a run killed in between would
    be left with half a checkpoint to resume from.
    """

    @staticmethod
    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        del overwrite
        with _replacing(dst_path) as temporary:
            try:
                # A checkpoint is replaced, never changed, so that a second name for it will do.
                os.link(src_path, temporary)
            except OSError:  # a file system without links
                shutil.copyfile(src_path, temporary)
        return True


def install() -> None:
    """Make fairseq read through `read` and write through `write`."""
    if os.environ.pop(_UNSAFE, None) is not None:
        logger.warning("%s is ignored: checkpoints are always loaded safely", _UNSAFE)
    checkpoint_utils.load_checkpoint_to_cpu = read
    checkpoint_utils.torch_persistent_save = write
    checkpoint_utils.PathManager = _Files
