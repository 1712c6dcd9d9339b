"""Packages of the extras, loaded when something needs them."""

from importlib import import_module
from typing import Any

from biomedgpt.errors import ConfigError


def load_extra(module: str, *, package: str, extra: str = "metrics") -> Any:
    """Import ``module`` of a distribution that comes with an extra.

    Raises:
        ConfigError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed ({error}); pip install 'biomedgpt[{extra}]'"
        ) from error
