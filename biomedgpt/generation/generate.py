"""Decode a batch: encode, then search or sample."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError
from biomedgpt.generation.beam import beam_search
from biomedgpt.generation.hypothesis import Hypothesis
from biomedgpt.generation.restriction import Restriction
from biomedgpt.generation.sampling import sample
from biomedgpt.generation.session import DecodingSession
from biomedgpt.generation.trie import AnswerTrie
from biomedgpt.model import BiomedGPT, EncoderOutput


def encode(model: BiomedGPT, inputs: Mapping[str, Tensor | None]) -> EncoderOutput:
    """Run the encoder on the part of a batch that concerns it."""
    source: EncoderOutput = model.encoder(
        inputs["src_tokens"], inputs.get("patch_images"), inputs.get("patch_masks")
    )
    return source


def make_prompt(batch: int, prefix_tokens: Tensor | None, *, bos: int, like: Tensor) -> Tensor:
    """Return (B, 1 + P) begin of sequence and prefix; the prefix is padded at its end."""
    begin = like.new_full((batch, 1), bos)
    return begin if prefix_tokens is None else torch.cat([begin, prefix_tokens], dim=1)


@torch.no_grad()
def generate(
    model: BiomedGPT,
    inputs: Mapping[str, Tensor | None],
    *,
    config: GenerationConfig,
    prefix_tokens: Tensor | None = None,
    trie: Restriction | None = None,
    allowed_ids: Tensor | None = None,
    code_targets: bool = False,
    source: EncoderOutput | None = None,
    bos: int = 0,
    eos: int = 2,
) -> list[list[Hypothesis]]:
    """Decode a batch.

    Args:
        model: in evaluation mode.
        inputs: ``src_tokens`` (B, S), and ``patch_images`` (B, 3, h, w) with ``patch_masks`` (B)
            if there are images.
        config: how to decode.
        prefix_tokens: (B, P) tokens that every output begins with, padded at their end. They are
            not part of the hypotheses, their scores or their lengths.
        trie: generate one of its answers, or what another restriction allows.
        allowed_ids: generate these ids only, such as image codes.
        code_targets: the output is image codes.
        source: what `encode` made of ``inputs``, where that is known already.
        bos: begin of sequence.
        eos: end of sequence.

    Returns:
        For each example its hypotheses, best first: `GenerationConfig.beam` of them, or fewer if
        the constraint does not allow so many.

    Raises:
        ConfigError: n-gram blocking together with an answer trie, whose answers may repeat n-grams.
    """
    if isinstance(trie, AnswerTrie) and config.no_repeat_ngram_size:
        raise ConfigError("no_repeat_ngram_size cannot be combined with an answer trie")
    src_tokens = inputs["src_tokens"]
    assert src_tokens is not None
    prompt = make_prompt(len(src_tokens), prefix_tokens, bos=bos, like=src_tokens)
    if not code_targets:  # an image is whole or none; a text ends where the model's positions do
        room = max(model.config.max_positions - prompt.shape[1], 1)
        shortest, longest = min(config.min_len, room), min(config.max_len, room)
        config = replace(config, min_len=shortest, max_len=longest)
    session = DecodingSession(
        model,
        encode(model, inputs) if source is None else source,
        prompt,
        max_len=config.max_len,
        trie=trie,
        allowed_ids=allowed_ids,
        code_targets=code_targets,
        eos=eos,
    )
    decode = sample if config.sampling else beam_search
    found = decode(session, len(src_tokens), config)
    for hypothesis in (h for hypotheses in found for h in hypotheses):
        ids = session.to_ids(hypothesis.tokens)
        hypothesis.tokens = torch.cat([ids, ids.new_tensor([eos])])
    return found
