"""Generation: beam search, sampling, constraints, exact scoring of candidates."""

from biomedgpt.generation.generate import encode, generate
from biomedgpt.generation.hypothesis import Hypothesis
from biomedgpt.generation.interleaved import ImageDecoding, generate_interleaved
from biomedgpt.generation.scoring import score_candidates
from biomedgpt.generation.trie import AnswerTrie

__all__ = [
    "AnswerTrie",
    "Hypothesis",
    "ImageDecoding",
    "encode",
    "generate",
    "generate_interleaved",
    "score_candidates",
]
