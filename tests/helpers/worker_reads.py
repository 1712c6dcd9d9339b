"""What worker processes call: they import it by its name."""

from biomedgpt.data.prepared.codes import CodesFile
from biomedgpt.data.prepared.dataset import PreparedSplit


def read_last(split: PreparedSplit) -> dict:
    """Return the last row."""
    return split[-1]


def read_first(codes: CodesFile) -> list[int]:
    """Return the codes of the first image."""
    return codes.middle(0)
