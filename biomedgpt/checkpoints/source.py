"""Where a checkpoint is read from, and what a format finds there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing
from biomedgpt.checkpoints.torch_file import PACKAGES, named_classes, read_torch_file
from biomedgpt.errors import CheckpointError
from biomedgpt.model import ModelConfig
from biomedgpt.vocabulary import Vocabulary

CONFIG = "config.json"
"""Of a folder, our own or in the style of transformers."""
LAST = "checkpoint_last.pt"
"""What a run resumes from."""
RUN_FILES = ("checkpoint_best.pt", LAST)
"""Of the folder of a run, in the order of preference."""
FIX = "get the checkpoint again from where it was published"


class Source:
    """A file or folder that may be a checkpoint; a torch file is read once, and not before needed.

    Args:
        path: of the file or folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of `CONFIG` in a folder; empty where there is none, or no JSON object."""
        try:
            content = read_json(self.path / CONFIG, fix="")
        except CheckpointError:
            return {}
        return content if isinstance(content, dict) else {}

    @cached_property
    def file(self) -> Path | None:
        """The torch file: the path itself, or the best one in the folder of a run."""
        if not self.path.is_dir():
            return self.path
        return next((self.path / n for n in RUN_FILES if (self.path / n).is_file()), None)

    @cached_property
    def state(self) -> dict[str, Any]:
        """Content of `file`.

        Raises:
            CheckpointError: there is none, or `read_torch_file` refuses it.
        """
        return read_torch_file(self.torch_file, packages=PACKAGES, fix=FIX)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Classes that `file` names and that `state` has empty objects for."""
        return tuple(
            name for name in named_classes(self.torch_file) if name.partition(".")[0] in PACKAGES
        )

    @property
    def torch_file(self) -> Path:
        """The same; CheckpointError if there is none."""
        if self.file is None:
            raise CheckpointError(
                f"{self.path}: no checkpoint in it; expected {' or '.join(RUN_FILES)}"
            )
        return self.file


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a format finds in a source, whether or not it can be loaded."""

    file: Path
    """Of the weights."""
    weights: Mapping[str, Tensor]
    """By the published key names, without the moving average; brought up to date if possible."""
    config: ModelConfig | None = None
    """Of the model that the weights belong to; None where they belong to none that is known."""
    preprocessing: Preprocessing | None = None
    """None where nothing says it."""
    info: CheckpointInfo
    problem: str | None = None
    """Why it cannot be loaded. If it can, loading gives this `config` and `info`, and the
    `preprocessing` or what is assumed without one."""
    keys: int | None = None
    """Number of keys in the file, where it is not that of `weights`."""
    average: Mapping[str, Tensor] = field(default_factory=dict)
    """Moving average of the weights, where there is one besides the weights."""
    published_task: str | None = None
    """What the program that wrote it called its task."""
    updates: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the program that wrote it."""
    classes: tuple[str, ...] = ()
    """See `Source.classes`."""


def read_json(path: Path, *, fix: str) -> Any:
    """Return the content of a file; CheckpointError, with ``fix``, where it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}); {fix}") from error


def own_vocabulary(own: Vocabulary, given: str | Path | None, path: Path) -> Vocabulary:
    """Return the vocabulary that a checkpoint brings.

    Args:
        own: the one that it brings.
        given: folder of the one that was asked for, if one was; it must be the same.
        path: of the checkpoint, for messages.

    Raises:
        CheckpointError: it is another one.
        VocabularyError: the one asked for is missing or damaged.
    """
    if given is not None:
        check_fingerprint(
            Vocabulary.load(given), own.fingerprint, path, remedy="leave out --vocabulary"
        )
    return own


def check_fingerprint(
    vocabulary: Vocabulary,
    trained: object,
    path: Path,
    *,
    remedy: str = "give its folder with --vocabulary",
) -> None:
    """Raise a CheckpointError if a model was trained with another vocabulary; None is not known."""
    if trained not in (None, vocabulary.fingerprint):
        raise CheckpointError(
            f"{path}: trained with another vocabulary ({str(trained)[:12]}, not "
            f"{vocabulary.fingerprint[:12]}); {remedy}"
        )
