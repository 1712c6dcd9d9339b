"""Packages of the extras, loaded when something needs them."""

from importlib import import_module
from typing import Any

from biomedgpt.errors import optional_import


def load_extra(module: str, *, package: str, extra: str = "metrics") -> Any:
    """Import ``module`` of a distribution that comes with an extra.

    Raises:
        ConfigError: it is not installed; the message says how to install it.
    """
    with optional_import(
        f"{package} is not installed ({{error}}); pip install 'biomedgpt[{extra}]'"
    ):
        return import_module(module)
