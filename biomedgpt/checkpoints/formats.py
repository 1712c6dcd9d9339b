"""The formats that checkpoints come in: which one it is, what is in it, reading it."""

from pathlib import Path
from typing import Protocol

from biomedgpt.checkpoints.huggingface import HuggingFaceFormat
from biomedgpt.checkpoints.native import NativeFormat
from biomedgpt.checkpoints.published import PublishedFormat
from biomedgpt.checkpoints.runs import RunFormat
from biomedgpt.checkpoints.source import RUN_FILES, Contents, Source
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.errors import CheckpointError


class Format(Protocol):
    """One format; no state, so that one object does for all checkpoints."""

    @property
    def name(self) -> str:
        """What ``inspect`` calls it."""

    def recognises(self, source: Source) -> bool:
        """Say whether a source is of this format.

        Raises:
            CheckpointError: it is a torch file that cannot be read.
        """

    def describe(self, source: Source) -> Contents:
        """Return what is in a source that was recognised, with a problem if it cannot be loaded.

        Raises:
            CheckpointError: it is damaged or hostile.
        """

    def read(self, source: Source, *, vocabulary: str | Path | None, ema: bool) -> StoredCheckpoint:
        """Read a source that was recognised.

        Args:
            source: what to read.
            vocabulary: folder of the vocabulary, where none comes with the weights; where one
                does, it must be the same.
            ema: take the moving average of the weights where there is one.

        Raises:
            CheckpointError: it cannot be loaded, or is damaged or hostile.
            VocabularyError: the vocabulary is missing, damaged or another one.
        """


FORMATS: tuple[Format, ...] = (NativeFormat(), HuggingFaceFormat(), RunFormat(), PublishedFormat())
"""In the order in which they are asked; folders first, since theirs takes a glance."""


def find_format(source: Source) -> Format:
    """Return the format of a source; CheckpointError where it is no checkpoint."""
    for one in FORMATS:
        if one.recognises(source):
            return one
    raise CheckpointError(f"{source.path}: no checkpoint in it; expected {' or '.join(RUN_FILES)}")
