"""One batch being decoded: prompt, cache, and the constraint on its output.

Legend: B examples, R = B * beams rows, P prompt tokens, K ids that may be generated.
"""

import torch
from torch import Tensor

from biomedgpt.errors import ConfigError
from biomedgpt.generation.restriction import Restriction
from biomedgpt.model import BiomedGPT, EncoderOutput


class DecodingSession:
    """Log-probabilities of next tokens, step by step.

    Tokens are addressed by their index among the ids that may be generated (`ids`): all of them,
    a given set, or those of an answer trie. Only logits of these are computed, and probabilities
    are normalised over what is allowed at each step, as in training with the same constraint.

    Args:
        model: in evaluation mode.
        source: the encoder's output for B examples.
        prompt: (B, P) tokens to begin with (begin of sequence, then the prefix), padded at the
            end; rows may have different lengths.
        max_len: most tokens to generate after the prompt.
        trie: generate only what it allows.
        allowed_ids: generate only these ids, and the end of sequence.
        code_targets: the output is image codes.
        eos: end of sequence.
    """

    def __init__(
        self,
        model: BiomedGPT,
        source: EncoderOutput,
        prompt: Tensor,
        *,
        max_len: int,
        trie: Restriction | None = None,
        allowed_ids: Tensor | None = None,
        code_targets: bool = False,
        eos: int = 2,
    ) -> None:
        if trie is not None and allowed_ids is not None:
            raise ConfigError("decoding is restricted to a trie or to a set of ids, not to both")
        self.decoder = model.decoder
        self.code_targets = code_targets
        self.pad = model.config.pad
        device = prompt.device
        self.trie = None if trie is None else trie.to(device)
        self.ids: Tensor | None = None
        if trie is not None:
            self.ids = trie.ids
        elif allowed_ids is not None:
            self.ids = torch.unique(torch.cat([allowed_ids, allowed_ids.new_tensor([eos])]))
            self.ids = self.ids.to(device)
        self.eos = eos if self.ids is None else int(torch.searchsorted(self.ids, eos))
        """Index of the end of sequence among the ids that may be generated."""
        self.nodes = torch.zeros(len(prompt), dtype=torch.long, device=device)
        self.project = self.decoder.output_map(self.ids)
        self.cache, self.features = self.decoder.start(
            source, prompt, max_len, code_targets=code_targets
        )  # (B, C)

    def log_probs(self, temperature: float = 1.0) -> Tensor:
        """Return (R, K) log-probabilities of the next token, in float32."""
        logits = self.project(self.features).float()  # (R, K)
        if temperature != 1.0:
            logits = logits / temperature
        if self.trie is not None:
            logits = logits.masked_fill(~self.trie.allowed(self.nodes), float("-inf"))
        log_probs = logits.log_softmax(-1)
        if self.trie is not None:  # a finished answer allows nothing, which log_softmax makes NaN
            log_probs = log_probs.nan_to_num(nan=float("-inf"), neginf=float("-inf"))
        if self.ids is None:
            log_probs[:, self.pad] = float("-inf")
        return log_probs

    def expand(self, beams: int, *, together: bool) -> None:
        """Make ``beams`` rows of each example; called once, before the first `advance`.

        Args:
            beams: rows per example.
            together: whether rows of an example may continue one another.
        """
        self.cache.expand(beams, together=together)
        self.nodes = self.nodes.repeat_interleave(beams)

    def advance(self, tokens: Tensor, rows: Tensor | None = None) -> None:
        """Append a token to each row.

        Args:
            tokens: (R) as indices among the ids that may be generated.
            rows: (R) which row each one continues; each its own by default.
        """
        if rows is not None:
            self.cache.reorder(rows)
            self.nodes = self.nodes[rows]
        if self.trie is not None:
            self.nodes = self.trie.follow(self.nodes, tokens)
        self.features = self.decoder.step(
            self.to_ids(tokens), self.cache, code_targets=self.code_targets
        )

    def keep(self, examples: Tensor) -> None:
        """Go on with some examples only (indices into B)."""
        self.cache.keep(examples)
        self.nodes = self.nodes.view(-1, self.cache.beams)[examples].flatten()

    def to_ids(self, tokens: Tensor) -> Tensor:
        """Turn indices among the ids that may be generated into vocabulary ids."""
        return tokens if self.ids is None else self.ids[tokens]
