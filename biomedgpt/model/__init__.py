"""The unified encoder-decoder and its named sizes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from biomedgpt.model.config import PRESETS, ModelConfig, preset

if TYPE_CHECKING:  # torch takes seconds to import, and the names of the sizes do not need it
    from biomedgpt.model.encoder import EncoderOutput
    from biomedgpt.model.model import BiomedGPT

__all__ = ["PRESETS", "BiomedGPT", "EncoderOutput", "ModelConfig", "preset"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for: sizes and options are known without."""
    places = {"BiomedGPT": "model", "EncoderOutput": "encoder"}
    if name not in places:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{places[name]}"), name)
