"""Limits on what may be generated next: lengths and repeated n-grams."""

import torch
from torch import Tensor

from biomedgpt.decoding import GenerationConfig

INFINITY = float("inf")


def apply_limits(log_probs: Tensor, tokens: Tensor, eos: int, config: GenerationConfig) -> None:
    """Forbid tokens, in place, by giving them a log-probability of minus infinity.

    A row that may do nothing any more ends, even below the minimum length.

    Args:
        log_probs: (..., K) of the next token.
        tokens: (..., T) generated so far, as indices into K.
        eos: index of the end of sequence.
        config: the limits.
    """
    length = tokens.shape[-1]
    if length >= config.max_len:
        end = log_probs[..., eos].clone()
        log_probs.fill_(-INFINITY)
        log_probs[..., eos] = end
        return
    if length < config.min_len:
        log_probs[..., eos] = -INFINITY
    if config.no_repeat_ngram_size:
        block_repeated_ngrams(log_probs, tokens, config.no_repeat_ngram_size)
        stuck = log_probs.eq(-INFINITY).all(-1)
        log_probs[..., eos].masked_fill_(stuck, 0.0)


def block_repeated_ngrams(log_probs: Tensor, tokens: Tensor, size: int) -> None:
    """Forbid, in place, tokens that would repeat an n-gram of the same row.

    Args:
        log_probs: (..., K).
        tokens: (..., T) generated so far, as indices into K.
        size: length of the n-grams.
    """
    if tokens.shape[-1] < size:
        return
    windows = tokens.unfold(-1, size, 1)  # (..., T - size + 1, size)
    tail = tokens[..., tokens.shape[-1] - size + 1 :]  # (..., size - 1)
    repeats = (windows[..., :-1] == tail[..., None, :]).all(-1)  # (..., T - size + 1)
    # Counted, not set: the same token may follow a repeated and another n-gram.
    count = torch.zeros_like(log_probs).scatter_add_(
        -1, windows[..., -1], repeats.to(log_probs.dtype)
    )
    log_probs.masked_fill_(count > 0, -INFINITY)
