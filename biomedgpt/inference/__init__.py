"""Using a model: questions and images in, answers out."""

from biomedgpt.inference.document import Document
from biomedgpt.inference.predictor import Predictor, load
from biomedgpt.inference.result import Alternative, Result

__all__ = ["Alternative", "Document", "Predictor", "Result", "load"]
