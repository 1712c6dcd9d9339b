"""A trie of answers: which tokens may follow which prefix."""

from collections.abc import Sequence

import torch
from torch import Tensor

from biomedgpt.errors import DataError


class AnswerTrie:
    """Token sequences of all candidate answers, as arrays.

    Node 0 is the empty prefix. Every answer ends with an edge labelled ``eos`` to one common leaf.
    Tokens are addressed by their index in `ids`, so that logits are needed for these only.

    Args:
        sequences: token ids of each candidate, without begin and end of sequence.
        eos: id of the end of sequence.

    Raises:
        DataError: there are no candidates, or one is empty.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], *, eos: int = 2) -> None:
        if not sequences:
            raise DataError("an answer trie needs at least one candidate")
        for index, sequence in enumerate(sequences):
            if not sequence:
                raise DataError(f"candidate {index} of the answer trie has no tokens")
        self.eos = eos
        self.ids = torch.tensor(sorted({eos, *(token for seq in sequences for token in seq)}))
        """(K) the distinct tokens, ascending."""
        place = {token: index for index, token in enumerate(self.ids.tolist())}
        children: list[dict[int, int]] = [{}]
        parents, tokens = [-1], [-1]
        self.paths: list[list[int]] = []
        """Nodes of each candidate from the root to its last token, both included."""
        for sequence in sequences:
            path = [0]
            for token in sequence:
                known = children[path[-1]]
                node = known.get(place[token])
                if node is None:
                    node = known[place[token]] = len(children)
                    children.append({})
                    parents.append(path[-1])
                    tokens.append(token)
                path.append(node)
            children[path[-1]][place[eos]] = -1
            self.paths.append(path)
        self.leaf = len(children)
        """The node after the end of sequence."""
        edges = [
            (node, token, self.leaf if child < 0 else child)
            for node, known in enumerate(children)
            for token, child in sorted(known.items())
        ]
        self.parents = torch.tensor(parents)
        """(nodes) parent of each node, -1 for the root."""
        self.tokens = torch.tensor(tokens)
        """(nodes) id of the token that leads to each node, -1 for the root."""
        self.edge_parent, self.edge_token, self.edge_child = torch.tensor(edges).unbind(1)
        """(edges) sorted by parent, then token; tokens as indices into `ids`."""
        counts = torch.bincount(self.edge_parent, minlength=self.leaf + 1)
        self.offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        """(nodes + 2) where each node's edges begin; the leaf has none."""
        self._edge_key = self.edge_parent * len(self.ids) + self.edge_token

    def __len__(self) -> int:
        return len(self.paths)

    def to(self, device: torch.device | str) -> "AnswerTrie":
        """Move the arrays to a device, in place; return the trie."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def allowed(self, nodes: Tensor) -> Tensor:
        """Return which tokens may follow: (...) nodes -> (..., K) of bool, K as in `ids`."""
        flat = nodes.flatten()
        starts, ends = self.offsets[flat], self.offsets[flat + 1]
        counts = ends - starts
        rows = torch.repeat_interleave(torch.arange(len(flat), device=flat.device), counts)
        within = torch.arange(len(rows), device=flat.device) - (counts.cumsum(0) - counts)[rows]
        mask = torch.zeros(len(flat), len(self.ids), dtype=torch.bool, device=flat.device)
        mask[rows, self.edge_token[starts[rows] + within]] = True
        return mask.view(*nodes.shape, len(self.ids))

    def follow(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Return the nodes reached by tokens given as indices into `ids`.

        A step that the trie does not allow leads to the leaf, from where nothing is allowed.
        """
        key = nodes * len(self.ids) + tokens
        edge = torch.searchsorted(self._edge_key, key).clamp(max=len(self._edge_key) - 1)
        return torch.where(self._edge_key[edge] == key, self.edge_child[edge], self.leaf)
