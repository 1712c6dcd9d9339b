"""The unified encoder-decoder and its named sizes."""

from biomedgpt.model.config import PRESETS, ModelConfig, preset
from biomedgpt.model.encoder import EncoderOutput
from biomedgpt.model.model import BiomedGPT

__all__ = ["PRESETS", "BiomedGPT", "EncoderOutput", "ModelConfig", "preset"]
