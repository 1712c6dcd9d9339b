"""Options of the plug-in, as fields of the dataclasses that fairseq builds its parser from."""

from dataclasses import field
from typing import Any


def option(default: Any, what: str) -> Any:
    """Return a field with a default and what ``--help`` says."""
    return field(default=default, metadata={"help": what})
