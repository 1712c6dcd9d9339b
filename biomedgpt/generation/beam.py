"""Beam search.

The same hypotheses as fairseq's `SequenceGenerator` (which the reference uses): twice as many
candidates as beams, hypotheses collected until there are as many as beams, scores divided by a
power of the length. Prefix tokens count neither in the score nor in the length.

Legend: B examples, N beams, K ids that may be generated, T tokens so far.
"""

import torch
from torch import Tensor

from biomedgpt.decoding import GenerationConfig
from biomedgpt.generation.hypothesis import Hypothesis
from biomedgpt.generation.limits import apply_limits
from biomedgpt.generation.session import DecodingSession

INFINITY = float("inf")

_STRETCH = 128
"""Neighbouring entries of a vocabulary of which the best one is looked for first."""
_MANY = 64
"""So many stretches make it worth while."""


def beam_search(
    session: DecodingSession, batch: int, config: GenerationConfig
) -> list[list[Hypothesis]]:
    """Return up to ``config.beam`` hypotheses per example, best first."""
    beams, eos = config.beam, session.eos
    device = session.features.device
    found: list[list[Hypothesis]] = [[] for _ in range(batch)]
    active = list(range(batch))  # examples still searched, in the order of the session's rows
    tokens = torch.zeros(batch, 1, 0, dtype=torch.long, device=device)  # (B, N, T)
    scores = torch.zeros(batch, 1, 0, device=device)  # (B, N, T) cumulative
    candidates = torch.arange(2 * beams, device=device)
    for step in range(config.max_len + 1):
        log_probs = session.log_probs(config.temperature)
        log_probs = log_probs.view(len(active), -1, log_probs.shape[-1])  # (B, 1 or N, K)
        apply_limits(log_probs, tokens, eos, config)
        candidate_scores, origin, token = best_candidates(
            log_probs, scores[:, :, -1] if step else None, 2 * beams
        )  # (B, 2N) each
        candidate_scores = candidate_scores.nan_to_num(nan=-INFINITY, neginf=-INFINITY)
        finished = token.eq(eos) & candidate_scores.ne(-INFINITY)
        done = _collect(
            found, active, finished[:, :beams], candidate_scores, origin, tokens, scores, config
        )
        # An example also ends when all it could go on with is forbidden.
        dead = candidate_scores.masked_fill(finished, -INFINITY).eq(-INFINITY).all(1)
        alive = [
            row
            for row, is_dead in enumerate(dead.tolist())
            if row not in done and not is_dead and step < config.max_len
        ]
        if not alive:
            break
        if len(alive) < len(active):
            kept = torch.tensor(alive, device=device)
            active = [active[row] for row in alive]
            session.keep(kept)
            tokens, scores = tokens[kept], scores[kept]
            candidate_scores, origin = candidate_scores[kept], origin[kept]
            token, finished = token[kept], finished[kept]
        # Go on with the best candidates that are not finished. At most half of them are, since
        # each beam ends in one way only.
        chosen = (finished * (2 * beams) + candidates).topk(beams, dim=1, largest=False).indices
        origin, token = origin.gather(1, chosen), token.gather(1, chosen)  # (B, N)
        tokens = torch.cat([_take(tokens, origin), token[..., None]], dim=-1)
        new_scores = candidate_scores.gather(1, chosen)
        scores = torch.cat([_take(scores, origin), new_scores[..., None]], dim=-1)
        if step == 0:
            session.expand(beams, together=True)
            session.advance(token.flatten())
        else:
            first = torch.arange(len(active), device=device)[:, None] * beams
            session.advance(token.flatten(), (origin + first).flatten())
    return [sorted(hypotheses, key=lambda h: -h.score) for hypotheses in found]


def best_candidates(
    log_probs: Tensor, so_far: Tensor | None, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, origins and tokens of the best candidates, (B, count) each.

    The best ones are in the stretches of the vocabulary with the highest maxima: looking through
    these alone leaves one cheap pass over the whole vocabulary.

    Args:
        log_probs: (B, N, K) of the next token.
        so_far: (B, N) scores of the beams, or None at the start.
        count: how many.
    """
    batch, beams, size = log_probs.shape
    offset = log_probs.new_zeros(1, 1, 1) if so_far is None else so_far[..., None]  # (B, N, 1)
    stretches = size // _STRETCH
    if stretches < _MANY:
        scores, index = _top((log_probs + offset).flatten(1), count)
        return scores, index // size, index % size
    whole = stretches * _STRETCH
    parts = log_probs[..., :whole].unflatten(-1, (stretches, _STRETCH))  # (B, N, stretches, ...)
    best = (parts.amax(-1) + offset).flatten(1).topk(count, dim=1).indices  # (B, count)
    beam, stretch = best // stretches, best % stretches
    rows = torch.arange(batch, device=best.device)[:, None]
    inside = parts[rows, beam, stretch] + offset.expand(batch, beams, 1)[rows, beam]
    rest = log_probs[..., whole:] + offset
    scores, index = _top(torch.cat([inside.flatten(1), rest.flatten(1)], dim=1), count)
    # From places among these to beams and tokens.
    places = torch.arange(beams * size, device=best.device).view(beams, size)
    near = places[:, :whole].unflatten(-1, (stretches, _STRETCH))[beam, stretch].flatten(1)
    far = places[:, whole:].flatten().expand(batch, -1)
    index = torch.cat([near, far], dim=1).gather(1, index)
    return scores, index // size, index % size


def _top(flat: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the highest scores and their indices, (B, count) each."""
    scores, index = flat.topk(min(count, flat.shape[1]), dim=1)
    missing = count - scores.shape[1]
    if missing > 0:  # a small vocabulary: fill with impossible candidates
        scores = torch.nn.functional.pad(scores, (0, missing), value=-INFINITY)
        index = torch.nn.functional.pad(index, (0, missing))
    return scores, index


def _take(values: Tensor, origin: Tensor) -> Tensor:
    """(B, N, T) and (B, M) -> (B, M, T)."""
    return values.gather(1, origin[..., None].expand(-1, -1, values.shape[-1]))


def _collect(
    found: list[list[Hypothesis]],
    active: list[int],
    finished: Tensor,
    candidate_scores: Tensor,
    origin: Tensor,
    tokens: Tensor,
    scores: Tensor,
    config: GenerationConfig,
) -> set[int]:
    """Store finished candidates (``found`` is changed); return rows that have enough."""
    length = tokens.shape[-1] + 1
    for row, column in finished.nonzero().tolist():
        hypotheses = found[active[row]]
        if len(hypotheses) == config.beam:
            continue
        beam = int(origin[row, column])
        total = candidate_scores[row, column]
        cumulative = torch.cat([scores[row, beam], total[None]])
        score = float(total)
        hypotheses.append(
            Hypothesis(
                # The end of sequence gets its vocabulary id from the caller's mapping.
                tokens=tokens[row, beam],
                score=score if config.unnormalized else score / length**config.length_penalty,
                positional_scores=cumulative.diff(prepend=cumulative.new_zeros(1)),
            )
        )
    return {row for row, index in enumerate(active) if len(found[index]) == config.beam}
