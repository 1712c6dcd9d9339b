"""Using a model: questions and images in, answers out."""

from biomedgpt.inference.answer import Alternative, Result
from biomedgpt.inference.document import Document
from biomedgpt.inference.predictor import Predictor, load

__all__ = ["Alternative", "Document", "Predictor", "Result", "load"]
