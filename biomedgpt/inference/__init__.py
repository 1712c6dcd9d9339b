"""Using a model: questions and images in, answers out."""

from biomedgpt.inference.predictor import Predictor, load
from biomedgpt.inference.result import Alternative, Result

__all__ = ["Alternative", "Predictor", "Result", "load"]
