"""Drawing sequences at random.

Legend: B examples, N samples per example, R = B * N rows, K ids that may be generated.
"""

import torch
from torch import Tensor

from biomedgpt.decoding import GenerationConfig
from biomedgpt.generation.hypothesis import Hypothesis
from biomedgpt.generation.limits import apply_limits
from biomedgpt.generation.session import DecodingSession


def sample(
    session: DecodingSession, batch: int, config: GenerationConfig
) -> list[list[Hypothesis]]:
    """Return ``config.beam`` independent samples per example, most probable first."""
    device = session.features.device
    generator = torch.Generator(device).manual_seed(config.seed)
    rows = batch * config.beam
    tokens = torch.zeros(rows, 0, dtype=torch.long, device=device)  # (R, T)
    scores = torch.zeros(rows, 0, device=device)
    ended = torch.zeros(rows, dtype=torch.bool, device=device)
    for step in range(config.max_len + 1):
        log_probs = session.log_probs(config.temperature)
        if step == 0:
            session.expand(config.beam, together=False)
            log_probs = log_probs.repeat_interleave(config.beam, dim=0)  # (R, K)
        apply_limits(log_probs, tokens, session.eos, config)
        probabilities = truncate(log_probs, config.top_k, config.top_p).exp()
        # A row that has ended may have nothing left to draw; what it draws is not used.
        probabilities[ended] = 1.0
        token = torch.multinomial(probabilities, 1, generator=generator)  # (R, 1)
        tokens = torch.cat([tokens, token], dim=1)
        scores = torch.cat([scores, log_probs.gather(1, token)], dim=1)
        ended |= token[:, 0].eq(session.eos)
        if bool(ended.all()):
            break
        session.advance(token[:, 0])
    found = []
    for row in range(rows):
        length = int(tokens[row].eq(session.eos).nonzero()[0]) + 1
        total = float(scores[row, :length].sum())
        score = total if config.unnormalized else total / length**config.length_penalty
        found.append(Hypothesis(tokens[row, : length - 1], score, scores[row, :length]))
    return [
        sorted(found[start : start + config.beam], key=lambda h: -h.score)
        for start in range(0, rows, config.beam)
    ]


def truncate(log_probs: Tensor, top_k: int, top_p: float) -> Tensor:
    """Forbid all but the most probable tokens (nucleus sampling: arXiv 1904.09751).

    Args:
        log_probs: (..., K).
        top_k: how many to keep, 0 for all.
        top_p: keep the fewest whose probability reaches this share of the total.
    """
    ordered, index = log_probs.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(-1)
    drop = probabilities.cumsum(-1) - probabilities >= top_p
    if top_k:
        drop[..., top_k:] = True
    return log_probs.masked_fill(drop.gather(-1, index.argsort(-1)), float("-inf"))
