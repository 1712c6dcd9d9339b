"""Declaring options: by the kind of value, and once each those that several commands have."""

import argparse
from collections.abc import Callable, Iterable
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

Container = argparse.ArgumentParser | argparse._ArgumentGroup
Result = TypeVar("Result")


def call(function: Callable[..., Result], args: argparse.Namespace, **others: Any) -> Result:
    """Call a function, or make a dataclass of options, with the arguments of the same names.

    Args:
        function: a parameter that neither ``args`` nor ``others`` have keeps its default.
        args: what was given.
        others: parameters whose arguments have another name or form.
    """
    given = vars(args) | others
    names = signature(function).parameters.keys() & given.keys()
    return function(**{name: given[name] for name in names})


def flag(parser: Container, name: str, help: str) -> None:
    """Add a switch that is off by default."""
    parser.add_argument(name, action="store_true", help=help)


def without(parser: Container, what: str, help: str) -> None:
    """Add a switch ``--no-WHAT`` that turns off what is on by default."""
    parser.add_argument(f"--no-{what}", dest=what, action="store_false", help=help)


def text(parser: Container, name: str, metavar: str, help: str, **more: Any) -> None:
    """Add a text, or several."""
    parser.add_argument(name, metavar=metavar, help=help, **more)


def choice(parser: Container, name: str, choices: Iterable[str], help: str, **more: Any) -> None:
    """Add a text that is one of a few."""
    parser.add_argument(name, choices=tuple(choices), help=help, **more)


def path(parser: Container, name: str, metavar: str, help: str, **more: Any) -> None:
    """Add a file or folder."""
    parser.add_argument(name, type=Path, metavar=metavar, help=help, **more)


def integer(parser: Container, name: str, metavar: str, help: str, **more: Any) -> None:
    """Add a whole number."""
    parser.add_argument(name, type=int, metavar=metavar, help=help, **more)


def number(parser: Container, name: str, metavar: str, help: str, **more: Any) -> None:
    """Add a number that may be a fraction."""
    parser.add_argument(name, type=float, metavar=metavar, help=help, **more)


def columns(parser: Container, help: str) -> None:
    """Add the option that names the columns of a table by field."""
    text(parser, "--columns", "FIELD=COLUMN", help, nargs="+", action="extend", default=[])


def json(parser: Container) -> None:
    """Add the option to print for programs."""
    flag(parser, "--json", "machine-readable output")


def seed(parser: Container, of: str = "random choices", *, default: int = 1) -> None:
    """Add the seed ``of`` what is drawn at random."""
    parser.add_argument("--seed", type=int, default=default, help=f"of {of} (default: {default})")


def device(parser: Container) -> None:
    """Add the device to compute on."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")


def skip_bad(parser: Container) -> None:
    """Add the option not to stop at the first row that is bad."""
    flag(parser, "--skip-bad", "leave rows out that cannot be used; count and list them")


def overwrite(parser: Container) -> None:
    """Add the option of commands that write a prepared dataset."""
    flag(parser, "--overwrite", "replace the prepared dataset in --out")


def dataset_output(parser: Container) -> None:
    """Add the options of commands that make a prepared dataset of rows."""
    path(parser, "--out", "DIR", "folder of the prepared dataset", required=True)
    skip_bad(parser)
    overwrite(parser)
    without(parser, "vocabulary", "do not train a text vocabulary on the training texts")


def checkpoint(parser: Container) -> None:
    """Add the options that name a model to ask, and where it computes."""
    what = "folder or file of a checkpoint, or the name of one that was fetched"
    text(parser, "--checkpoint", "C", what, required=True)
    path(parser, "--vocabulary", "DIR", "where none lies beside the checkpoint")
    device(parser)


def model(parser: Container) -> None:
    """Add the options of commands that ask a model; `biomedgpt.cli.predict.load_model` loads it."""
    checkpoint(parser)
    what = "float32, bfloat16, float16 (default: bfloat16 on GPUs that have it)"
    parser.add_argument("--dtype", help=what)
    integer(parser, "--batch-size", "N", "most inputs answered at once")


def image_tokenizer(parser: Container, purpose: str) -> None:
    """Add the option that names the VQ-GAN; ``purpose`` says in the help what it is for."""
    what = f"VQ-GAN {purpose} (default: image_tokenizer beside the checkpoint)"
    path(parser, "--image-tokenizer", "DIR", what)
