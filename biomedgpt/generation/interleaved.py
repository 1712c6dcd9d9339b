"""Decoding answers of text and an image: text, codes between two marks, text.

The parts are decoded one after the other, each with options of its own: text is searched for, codes
are drawn as in text to image. What was decoded is the prompt of the next part.

V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError
from biomedgpt.generation.generate import encode, generate
from biomedgpt.generation.hypothesis import Hypothesis
from biomedgpt.model import BiomedGPT
from biomedgpt.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class ImageDecoding:
    """How an image within an answer is decoded.

    Attributes:
        config: how codes are chosen; its lengths are the number of codes.
        num_codes: how many codes the image tokenizer knows; no other is generated.
    """

    config: GenerationConfig
    num_codes: int


class TextUntilImage:
    """Which tokens may follow in a text that an image may interrupt.

    The state machine has two nodes: within the text, where text, the begin of an image and the end
    of sequence may follow; and after the begin of an image, where this part of the answer ends.
    It takes the place of an answer trie (see `biomedgpt.generation.trie.AnswerTrie`).

    Args:
        vocabulary: what the ids mean.
        device: where to compute.
    """

    TEXT, IMAGE = 0, 1

    ids: None = None
    """All ids are addressed."""

    def __init__(self, vocabulary: Vocabulary, device: torch.device | str = "cpu") -> None:
        self.image_begin = vocabulary.image_begin
        mask = torch.zeros(2, len(vocabulary), dtype=torch.bool, device=device)
        mask[self.TEXT, vocabulary.text_ids.start : vocabulary.text_ids.stop] = True
        mask[self.TEXT, vocabulary.image_begin] = True
        mask[:, vocabulary.eos] = True
        self._mask = mask

    def to(self, device: torch.device | str) -> "TextUntilImage":
        """Move the mask to a device, in place; return the machine."""
        self._mask = self._mask.to(device)
        return self

    def allowed(self, nodes: Tensor) -> Tensor:
        """Return which tokens may follow: (...) nodes -> (..., V) of bool."""
        return self._mask[nodes]

    def follow(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Return the nodes reached by tokens."""
        return torch.where(tokens == self.image_begin, self.IMAGE, nodes)


@torch.no_grad()
def generate_interleaved(
    model: BiomedGPT,
    inputs: Mapping[str, Tensor | None],
    *,
    vocabulary: Vocabulary,
    config: GenerationConfig,
    image: ImageDecoding,
    prefix_tokens: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """Decode a batch of answers, each a text with at most one image in it.

    The model decides whether there is an image. Of each part the best hypothesis is taken.

    Args:
        model: in evaluation mode.
        inputs: see `biomedgpt.generation.generate`.
        vocabulary: the one that the model was trained with.
        config: how text is decoded. `GenerationConfig.max_len` and n-gram blocking hold for the
            text before the image and for that after it, each by itself.
        image: how the image is decoded.
        prefix_tokens: see `biomedgpt.generation.generate`.

    Returns:
        For each example one hypothesis with all its tokens, those of the image, its marks and the
        end of sequence among them; none where everything was forbidden.

    Raises:
        ConfigError: a least length of more than one token, which an image alone would not have.
        DataError: an answer with an image is longer than the model's positions.
    """
    if config.min_len > 1:
        raise ConfigError(f"min_len {config.min_len}: answers with images have no least length")
    answers = _Answers(model, inputs, vocabulary, prefix_tokens)
    rows = answers.decode(
        range(len(answers.parts)), config, trie=TextUntilImage(vocabulary, answers.device)
    )
    # The end of this part is that of the answer, or stands after the begin of an image.
    rows = [row for row in rows if answers.opens_image(row)]
    if rows:
        first = vocabulary.codes.start
        codes = torch.arange(first, first + image.num_codes, device=answers.device)
        answers.decode(rows, image.config, allowed_ids=codes)
        answers.close_images(rows)
        text = torch.tensor(vocabulary.text_ids, device=answers.device)
        room = min(config.max_len, answers.room())
        answers.decode(rows, replace(config, min_len=0, max_len=room), allowed_ids=text)
    return [answers.join(row, config) for row in range(len(answers.parts))]


class _Answers:
    """Answers of a batch as far as they are decoded."""

    def __init__(
        self,
        model: BiomedGPT,
        inputs: Mapping[str, Tensor | None],
        vocabulary: Vocabulary,
        prefix_tokens: Tensor | None,
    ) -> None:
        source_tokens = inputs["src_tokens"]
        assert source_tokens is not None
        self.model = model
        self.vocabulary = vocabulary
        self.device = source_tokens.device
        self.source_tokens = source_tokens
        self.source = encode(model, inputs)
        if prefix_tokens is None:
            prefix_tokens = source_tokens.new_zeros(len(source_tokens), 0)
        self.prefixes = [row[row.ne(vocabulary.pad)] for row in prefix_tokens]
        self.parts: list[list[Hypothesis]] = [[] for _ in self.prefixes]
        """Each with the end of sequence, which is that of the part only."""

    def decode(self, rows: Sequence[int], config: GenerationConfig, **options: Any) -> list[int]:
        """Add a part to some answers; return those that have one more."""
        prompts = [
            torch.cat([self.prefixes[row], *(part.tokens[:-1] for part in self.parts[row])])
            for row in rows
        ]
        chosen = torch.tensor(rows, device=self.device)
        found = generate(
            self.model,
            {"src_tokens": self.source_tokens[chosen]},
            config=config,
            prefix_tokens=pad_sequence(
                prompts, batch_first=True, padding_value=self.vocabulary.pad
            ),
            source=self.source.select(chosen),
            bos=self.vocabulary.bos,
            eos=self.vocabulary.eos,
            **options,
        )
        for row, hypotheses in zip(rows, found, strict=True):
            self.parts[row] += hypotheses[:1]
        return [row for row, hypotheses in zip(rows, found, strict=True) if hypotheses]

    def opens_image(self, row: int) -> bool:
        """Say whether the last part of an answer ends with the begin of an image."""
        tokens = self.parts[row][-1].tokens
        return len(tokens) > 1 and int(tokens[-2]) == self.vocabulary.image_begin

    def room(self) -> int:
        """Return how many more tokens the longest answer may have."""
        lengths = [
            1 + len(prefix) + sum(len(part.tokens) - 1 for part in parts)
            for prefix, parts in zip(self.prefixes, self.parts, strict=True)
        ]
        return max(0, self.model.config.max_positions - max(lengths))

    def close_images(self, rows: Sequence[int]) -> None:
        """Put the end of an image, which nothing else may follow, after the codes of some rows."""
        for row in rows:
            codes = self.parts[row][-1]
            tokens = codes.tokens
            end = tokens.new_tensor([self.vocabulary.image_end, self.vocabulary.eos])
            certain = codes.positional_scores.new_zeros(2)
            codes.tokens = torch.cat([tokens[:-1], end])
            codes.positional_scores = torch.cat([codes.positional_scores[:-1], certain])

    def join(self, row: int, config: GenerationConfig) -> list[Hypothesis]:
        """Return the hypothesis that the parts of an answer make."""
        parts = self.parts[row]
        if len(parts) < 2:
            return parts
        last = parts[-1]
        tokens = torch.cat([*(part.tokens[:-1] for part in parts[:-1]), last.tokens])
        scores = [part.positional_scores[:-1] for part in parts[:-1]]
        positional = torch.cat([*scores, last.positional_scores])
        total = float(positional.sum())
        score = total if config.unnormalized else total / len(tokens) ** config.length_penalty
        return [Hypothesis(tokens, score, positional)]
