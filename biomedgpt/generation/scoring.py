"""Exact log-probabilities of all candidate answers.

All candidates are scored along their trie: a prefix that answers share is computed once, and
logits are computed for the tokens that occur only. The trie's nodes are packed into one target, in
which a node sees the prompt and its own ancestors. They come in depth-first order: what a block of
neighbours may see is then the prompt, the block, and the ancestors of its first node.

Legend: B examples, P prompt tokens, N nodes, E edges, C width.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from biomedgpt.generation.generate import encode, make_prompt
from biomedgpt.generation.trie import AnswerTrie
from biomedgpt.model import BiomedGPT, EncoderOutput
from biomedgpt.model.layers import TreeBlock

MAX_NODES = 4096
"""Nodes, of all examples together, that are scored in one pass: bounds memory."""
_BLOCK = 128
"""Nodes whose attention and feed-forward blocks are computed at a time."""
_EDGES = 1024
"""Edges whose weights are gathered at a time."""


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
        max_nodes: trie nodes, of all examples together, to score in one pass.
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
        for nodes, candidates in _chunks(trie, max(max_nodes // len(rows), 1)):
            scores[rows[:, None], torch.tensor(candidates, device=rows.device)] = _score_chunk(
                model, part, prompt[rows, :length], trie, nodes, candidates
            )
    return scores


def _chunks(trie: AnswerTrie, max_nodes: int) -> Iterator[tuple[list[int], list[int]]]:
    """Split the candidates into groups with few nodes; yield (nodes depth first, candidates)."""
    nodes: dict[int, None] = {}
    members: list[int] = []
    # Neighbours in this order share the longest prefixes.
    for index in sorted(range(len(trie)), key=lambda i: trie.paths[i]):
        path = trie.paths[index]
        if members and len(nodes) + sum(node not in nodes for node in path) > max_nodes:
            yield [*nodes], members
            nodes, members = {}, []
        nodes |= dict.fromkeys(path)
        members.append(index)
    yield [*nodes], members


def _blocks(parents: list[int], prompt: int, device: torch.device) -> list[TreeBlock]:
    """Say what each token may attend to.

    Args:
        parents: of each node after the root, by their numbers, depth first; the root is 0.
        prompt: tokens of the prompt, whose last one is the root.
        device: of the result.
    """
    causal = torch.full((prompt, prompt), float("-inf"), device=device).triu_(1)
    blocks = [TreeBlock(slice(0, prompt), torch.arange(prompt, device=device), causal)]
    lineage: list[list[int]] = [[]]
    for number, parent in enumerate(parents, start=1):
        lineage.append([*lineage[parent], number])
    for start in range(1, len(lineage), _BLOCK):
        stop = min(start + _BLOCK, len(lineage))
        inside = [node for node in lineage[start] if node < start] + [*range(start, stop)]
        column = {node: prompt + index for index, node in enumerate(inside)}
        seen = [
            (node - start, column[above]) for node in range(start, stop) for above in lineage[node]
        ]
        hidden = torch.full((stop - start, prompt + len(inside)), float("-inf"))
        hidden[:, :prompt] = 0.0
        hidden[tuple(torch.tensor(seen).unbind(1))] = 0.0
        keys = torch.tensor([*range(prompt), *(prompt + node - 1 for node in inside)])
        rows = slice(prompt + start - 1, prompt + stop - 1)
        blocks.append(TreeBlock(rows, keys.to(device), hidden.to(device)))
    return blocks


def _score_chunk(
    model: BiomedGPT,
    source: EncoderOutput,
    prompt: Tensor,
    trie: AnswerTrie,
    visited: list[int],
    candidates: list[int],
) -> Tensor:
    batch, length = prompt.shape
    device = prompt.device
    nodes = torch.tensor(visited, device=device)
    place = torch.full((trie.leaf + 1,), -1, device=device)
    place[nodes] = torch.arange(len(nodes), device=device)
    parent = place[trie.parents[nodes[1:]]]  # (N - 1) places of the parents; the root comes first
    parents = parent.tolist()
    depth = [0]
    for above in parents:
        depth.append(depth[above] + 1)
    # The root is the last token of the prompt; the other nodes follow it.
    below = torch.tensor(depth[1:], dtype=torch.long, device=device)
    positions = torch.cat([torch.arange(length, device=device), below + length - 1])
    tokens = torch.cat([prompt, trie.tokens[nodes[1:]].expand(batch, -1)], dim=1)
    features = model.decoder.forward_tree(
        tokens, positions, source, _blocks(parents, length, device)
    )[:, length - 1 :]  # (B, N, C)

    # All edges that leave the nodes, those to nodes of other chunks included.
    edges = place[trie.edge_parent].ge(0).nonzero()[:, 0]
    origin = place[trie.edge_parent[edges]]  # (E)
    ids = trie.ids[trie.edge_token[edges]]
    weight = model.decoder.output_projection.weight
    stretches = zip(origin.split(_EDGES), ids.split(_EDGES), strict=True)
    logits = torch.cat(
        [torch.einsum("bec,ec->be", features[:, o], weight[i]).float() for o, i in stretches], dim=1
    )  # (B, E)
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
    last = place[torch.tensor([trie.paths[i][-1] for i in candidates], device=device)]
    ends = trie.edge_child[edges].eq(trie.leaf)
    end_of = torch.empty(len(nodes), dtype=torch.long, device=device)
    end_of[origin[ends]] = ends.nonzero()[:, 0]
    return node_scores[:, last] + log_probs[:, end_of[last]]
