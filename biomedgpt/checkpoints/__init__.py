"""Checkpoints of all formats: reading without executing anything, writing, key by key."""

from biomedgpt.checkpoints.state_dict import (
    check_keys,
    derived_buffers,
    identify_size,
    load_reference_state_dict,
    shapes_of,
)

__all__ = [
    "check_keys",
    "derived_buffers",
    "identify_size",
    "load_reference_state_dict",
    "shapes_of",
]
