"""Exact log-probabilities of all candidate answers.

All candidates are scored along their trie: a prefix that answers share is computed once, and
logits are computed for the tokens that occur only. The trie's nodes are packed into one target
whose attention mask lets a node see the prompt and its own ancestors.

Legend: B examples, P prompt tokens, N nodes, E edges, C width.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from biomedgpt.generation.generate import encode, make_prompt
from biomedgpt.generation.trie import AnswerTrie
from biomedgpt.model import BiomedGPT, EncoderOutput

MAX_NODES = 512
"""Nodes scored in one pass: bounds memory, as attention is quadratic in them."""


@torch.no_grad()
def score_candidates(
    model: BiomedGPT,
    inputs: Mapping[str, Tensor | None],
    trie: AnswerTrie,
    *,
    prefix_tokens: Tensor | None = None,
    source: EncoderOutput | None = None,
    bos: int = 0,
    max_nodes: int = MAX_NODES,
) -> Tensor:
    """Return (B, candidates) total log-probabilities, the end of sequence included.

    At each step the probability is normalised over the tokens that the trie allows there, as in
    training with the same constraint; the probabilities of all candidates sum to one.

    Args:
        model: in evaluation mode.
        inputs: see `generate`.
        trie: the candidates.
        prefix_tokens: (B, P) tokens before the answer, padded at their end.
        source: what `encode` made of ``inputs``, where that is known already.
        bos: begin of sequence.
        max_nodes: trie nodes to score in one pass.
    """
    src_tokens = inputs["src_tokens"]
    assert src_tokens is not None
    trie = trie.to(src_tokens.device)
    if source is None:
        source = encode(model, inputs)
    prompt = make_prompt(len(src_tokens), prefix_tokens, bos=bos, like=src_tokens)
    scores = torch.empty(len(prompt), len(trie), device=prompt.device)
    lengths = prompt.ne(model.config.pad).sum(1)
    for length in lengths.unique().tolist():
        rows = lengths.eq(length).nonzero()[:, 0]
        part = source if len(rows) == len(prompt) else source.select(rows)
        for nodes, candidates in _chunks(trie, max_nodes):
            scores[rows[:, None], candidates] = _score_chunk(
                model, part, prompt[rows, :length], trie, nodes, candidates
            )
    return scores


def _chunks(trie: AnswerTrie, max_nodes: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Split the candidates into groups with few nodes; yield (nodes ascending, candidates)."""
    device = trie.ids.device
    nodes: set[int] = set()
    members: list[int] = []
    # Neighbours in this order share the longest prefixes.
    for index in sorted(range(len(trie)), key=lambda i: trie.paths[i]):
        path = trie.paths[index]
        if members and len(nodes.union(path)) > max_nodes:
            yield torch.tensor(sorted(nodes), device=device), torch.tensor(members, device=device)
            nodes, members = set(), []
        nodes.update(path)
        members.append(index)
    yield torch.tensor(sorted(nodes), device=device), torch.tensor(members, device=device)


def _score_chunk(
    model: BiomedGPT,
    source: EncoderOutput,
    prompt: Tensor,
    trie: AnswerTrie,
    nodes: Tensor,
    candidates: Tensor,
) -> Tensor:
    batch, length = prompt.shape
    device = prompt.device
    place = torch.full((trie.leaf + 1,), -1, device=device)
    place[nodes] = torch.arange(len(nodes), device=device)
    parent = place[trie.parents[nodes[1:]]]  # (N - 1) places of the parents; the root comes first
    # A parent was numbered before its children, so one pass in order fills depths and ancestors.
    depth = [0]
    ancestors = torch.eye(len(nodes), dtype=torch.bool, device=device)
    for index, above in enumerate(parent.tolist(), start=1):
        depth.append(depth[above] + 1)
        ancestors[index] |= ancestors[above]
    # The root is the last token of the prompt; the other nodes follow it.
    total = length + len(nodes) - 1
    mask = torch.ones(total, total, dtype=torch.bool, device=device).tril_()
    mask[length:, length:] = ancestors[1:, 1:]
    positions = torch.cat(
        [torch.arange(length, device=device), torch.tensor(depth[1:], device=device) + length - 1]
    )
    tokens = torch.cat([prompt, trie.tokens[nodes[1:]].expand(batch, -1)], dim=1)
    features = model.decoder(
        tokens, source, features_only=True, positions=positions.long(), attention_mask=mask
    )[:, length - 1 :]  # (B, N, C)

    # All edges that leave the nodes, those to nodes of other chunks included.
    edges = place[trie.edge_parent].ge(0).nonzero()[:, 0]
    origin = place[trie.edge_parent[edges]]  # (E)
    weight = model.decoder.output_projection.weight[trie.ids[trie.edge_token[edges]]]  # (E, C)
    logits = torch.einsum("bec,ec->be", features[:, origin], weight).float()  # (B, E)
    peak = logits.new_full((batch, len(nodes)), float("-inf"))
    peak = peak.scatter_reduce(1, origin.expand(batch, -1), logits, "amax")
    sums = torch.zeros_like(peak).scatter_add_(
        1, origin.expand(batch, -1), (logits - peak[:, origin]).exp()
    )
    log_probs = logits - (peak + sums.log())[:, origin]  # (B, E)

    # Log-probability of each node: its parent's plus that of the edge between.
    node_scores = torch.zeros(batch, len(nodes), device=device)
    child = place[trie.edge_child[edges]]
    edge_to = torch.empty(len(nodes), dtype=torch.long, device=device)
    inside = child.ge(0)
    edge_to[child[inside]] = inside.nonzero()[:, 0]
    depths = torch.tensor(depth, device=device)
    for level in range(1, max(depth) + 1):
        here = depths.eq(level).nonzero()[:, 0]
        node_scores[:, here] = node_scores[:, parent[here - 1]] + log_probs[:, edge_to[here]]
    last = place[torch.tensor([trie.paths[i][-1] for i in candidates.tolist()], device=device)]
    ends = trie.edge_child[edges].eq(trie.leaf)
    end_of = torch.empty(len(nodes), dtype=torch.long, device=device)
    end_of[origin[ends]] = ends.nonzero()[:, 0]
    return node_scores[:, last] + log_probs[:, end_of[last]]
