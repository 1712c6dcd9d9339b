"""fairseq's programs and parsers, as a recipe uses them.

`biomedgpt` imports no fairseq: what starts a recipe (`run_scripts/launch.py`) says how to load
`fairseq_ext.programs`, and a recipe loads it once all else is in order.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from biomedgpt.checkpoints.description import Description

USER_DIR = Path(__file__).resolve().parents[2] / "fairseq_ext"
"""The plug-in, for fairseq's ``--user-dir``."""


@dataclass(frozen=True)
class Planned:
    """A run as its options have it."""

    description: Description
    vocabulary: str
    """Fingerprint."""
    options: Mapping[str, Any]
    """fairseq's, by group and name."""


class Programs(Protocol):
    """What `fairseq_ext.programs` has."""

    OPTIONS: Mapping[str, type[Any]]
    """Options of the plug-in by what they are about: dataclasses with help texts."""

    def get_training_parser(self, default_task: str) -> argparse.ArgumentParser:
        """Return the parser of fairseq-train."""

    def get_generation_parser(self, default_task: str) -> argparse.ArgumentParser:
        """Return the parser of fairseq-generate."""

    def parse_args_and_arch(
        self, parser: argparse.ArgumentParser, input_args: Sequence[str], parse_known: bool
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return options, also those of task, model and loss, and what no parser knows."""

    def train(self) -> None:
        """Run fairseq-train on `sys.argv`."""

    def generate(self) -> None:
        """Run fairseq-generate on `sys.argv`."""

    def describe(self, options: argparse.Namespace, vocabulary: Path) -> Planned:
        """Return what would be trained; raise an error where the data do not allow it."""

    def stopped(self) -> bool:
        """Say whether the training in this process ended early because it was asked to."""

    def early_end(self) -> str:
        """Return where a run in this process has ended by its own rules, such as patience."""

    def examine(self, path: str, *, size: str | None) -> bool:
        """Check that a checkpoint can generate; say if it holds averaged weights."""


def literal(word: str) -> str:
    """Return a word as fairseq is to be given it: it takes ``${...}`` in a folder's name for a
    reference to another option, twice."""
    return word.replace("${", r"\\\${")


Loader = Callable[[], Programs]
"""Imports them; an ImportError says how to install what is missing."""
