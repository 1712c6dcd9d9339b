"""`biomedgpt.generation` behind the interface of fairseq's sequence generators."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from fairseq.dataclass.configs import GenerationConfig as FairseqGenerationConfig
from torch import Tensor

from biomedgpt.decoding import FAIRSEQ_OPTIONS, GenerationConfig, from_fairseq
from biomedgpt.errors import ConfigError
from biomedgpt.examples.example_encoder import Candidates
from biomedgpt.generation import (
    Hypothesis,
    ImageDecoding,
    generate,
    generate_interleaved,
    score_candidates,
)
from biomedgpt.vocabulary import Vocabulary

_REFUSED = (
    "constraints",
    "decoding_format",
    "diverse_beam_groups",
    "diversity_rate",
    "lm_path",
    "match_source_len",
    "prefix_size",
    "print_alignment",
    "print_step",
    "replace_unk",
    "retain_dropout",
    "score_reference",
    "unkpen",
)
"""Options of fairseq-generate that mean nothing here: refused rather than ignored."""


def generation_config(options: Any, *, seed: int) -> GenerationConfig:
    """Translate fairseq's generation options.

    Raises:
        ConfigError: an option that is not supported, or a combination that makes no sense.
    """
    defaults = FairseqGenerationConfig()
    refused = [name for name in _REFUSED if options[name] != getattr(defaults, name)]
    if refused:
        names = ", ".join("--" + name.replace("_", "-") for name in refused)
        raise ConfigError(f"{names}: not supported by this generator; leave out")
    known = {option: options[option] for option in FAIRSEQ_OPTIONS.values() if option in options}
    return from_fairseq(known | {FAIRSEQ_OPTIONS["seed"]: seed})


@dataclass
class Generator:
    """Generates answers, or scores every candidate answer.

    Attributes:
        vocabulary: ids of <s>, padding and </s>.
        config: how to search.
        candidates: answers to choose from, or None for free text.
        exhaustive: score every candidate instead of searching.
        image: how an image within an answer is decoded; None where answers are texts only.
        length_ratio: added to the maximum length per source token (``--max-len-a``).
        best: hypotheses to return.
    """

    vocabulary: Vocabulary
    config: GenerationConfig
    candidates: Candidates | None = None
    exhaustive: bool = False
    image: ImageDecoding | None = None
    length_ratio: float = 0.0
    best: int = 1

    @property
    def symbols_to_strip_from_output(self) -> set[int]:
        """Ids that fairseq-generate leaves out of the text."""
        return {self.vocabulary.bos, self.vocabulary.pad, self.vocabulary.eos}

    def generate(
        self, models: Sequence[Any], sample: dict[str, Any], **_: Any
    ) -> list[list[dict[str, Any]]]:
        """Return, per example, hypotheses as fairseq's dicts, the best one first.

        The prompt is not part of them: ``tokens`` is the answer and </s>.

        Raises:
            ConfigError: more than one model.
        """
        if len(models) != 1:
            raise ConfigError("ensembles are not supported; give one checkpoint with --path")
        inputs = {
            name: value
            for name, value in sample["net_input"].items()
            if name != "prev_output_tokens"
        }
        prefix = sample["prefix_tokens"]
        if self.exhaustive:
            return self._score(models[0], inputs, prefix)
        extra = int(self.length_ratio * inputs["src_tokens"].shape[1])
        config = replace(self.config, max_len=self.config.max_len + extra)
        found = self._search(models[0], inputs, prefix, config)
        return [
            [
                _hypothesis(one.tokens, one.score, one.positional_scores)
                for one in hypotheses[: self.best]
            ]
            for hypotheses in found
        ]

    def _search(
        self, model: Any, inputs: dict[str, Any], prefix: Tensor, config: GenerationConfig
    ) -> list[list[Hypothesis]]:
        if self.image is not None:
            return generate_interleaved(
                model,
                inputs,
                vocabulary=self.vocabulary,
                config=config,
                image=self.image,
                prefix_tokens=prefix,
            )
        return generate(
            model,
            inputs,
            config=config,
            prefix_tokens=prefix,
            trie=None if self.candidates is None else self.candidates.trie,
            bos=self.vocabulary.bos,
            eos=self.vocabulary.eos,
        )

    def _score(
        self, model: Any, inputs: dict[str, Any], prefix: Tensor
    ) -> list[list[dict[str, Any]]]:
        if self.candidates is None:
            raise ConfigError("--inference allcand needs candidate answers; drop --unconstrained")
        scores = score_candidates(
            model,
            inputs,
            self.candidates.trie,
            prefix_tokens=prefix,
            bos=self.vocabulary.bos,
        )  # (B, candidates)
        top, order = scores.topk(min(self.best, scores.shape[1]), dim=1)
        return [
            [
                _hypothesis(
                    torch.tensor([*self.candidates.sequences[index], self.vocabulary.eos]),
                    score,
                    torch.tensor([score]),
                    candidate_scores=row,
                )
                for index, score in zip(indices, values, strict=True)
            ]
            for indices, values, row in zip(order.tolist(), top.tolist(), scores, strict=True)
        ]


def _hypothesis(
    tokens: Tensor,
    score: float,
    positional_scores: Tensor,
    candidate_scores: Tensor | None = None,
) -> dict[str, Any]:
    return {
        "tokens": tokens,
        "score": score,
        "candidate_scores": candidate_scores,
        "attention": torch.empty(0),
        "alignment": torch.empty(0),
        "positional_scores": positional_scores,
    }
