"""How answers are decoded, known without torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from biomedgpt.errors import ConfigError

_KINDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "True or False"}


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Decoding options; `FAIRSEQ_OPTIONS` says what fairseq-generate calls them."""

    beam: int = 5
    """Hypotheses kept per example; with `sampling`, samples drawn per example."""
    max_len: int = 200
    """Most tokens to generate, not counting the prefix and the end of sequence."""
    min_len: int = 1
    """Fewest tokens to generate, not counting the prefix and the end of sequence."""
    length_penalty: float = 1.0
    """Exponent of the length that scores are divided by: above 1 favours longer outputs."""
    unnormalized: bool = False
    """Compare hypotheses by their total log-probability, whatever their length."""
    temperature: float = 1.0
    """Divisor of the logits: above 1 flattens the distribution."""
    no_repeat_ngram_size: int = 0
    """Never generate the same sequence of this many tokens twice; 0 allows it."""
    sampling: bool = False
    """Draw tokens instead of searching for the most probable ones."""
    top_k: int = 0
    """Sample from this many most probable tokens only; 0 from all."""
    top_p: float = 1.0
    """Sample from the fewest most probable tokens that hold this much probability."""
    seed: int = 0
    """Of the random numbers that `sampling` uses."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value, kind = getattr(self, one.name), type(one.default)
            fits = type(value) is kind or (kind is float and type(value) is int)
            if not fits or not math.isfinite(value):
                raise ConfigError(f"{one.name} must be {_KINDS[kind]}, got {value!r}")
        if self.beam < 1:
            raise ConfigError(f"beam must be at least 1, got {self.beam}")
        if not 0 <= self.min_len <= self.max_len:
            raise ConfigError(
                f"min_len must be between 0 and max_len, got {self.min_len} and {self.max_len}"
            )
        if self.temperature <= 0:
            raise ConfigError(f"temperature must be greater than 0, got {self.temperature}")
        if self.no_repeat_ngram_size < 0:
            raise ConfigError(
                f"no_repeat_ngram_size must not be negative, got {self.no_repeat_ngram_size}"
            )
        if not self.sampling and (self.top_k or self.top_p < 1):
            raise ConfigError("top_k and top_p need sampling")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ConfigError(
                f"top_k must not be negative and top_p lie in (0, 1], got {self.top_k} and "
                f"{self.top_p}"
            )


FAIRSEQ_OPTIONS = {
    "beam": "beam",
    "max_len": "max_len_b",
    "min_len": "min_len",
    "length_penalty": "lenpen",
    "unnormalized": "unnormalized",
    "temperature": "temperature",
    "no_repeat_ngram_size": "no_repeat_ngram_size",
    "sampling": "sampling",
    "top_k": "sampling_topk",
    "top_p": "sampling_topp",
    "seed": "sampling_seed",
}
"""By field: the option of fairseq-generate; the last one is our plug-in's."""
_WITHOUT_LIMIT = {"top_k": 0, "top_p": 1.0}
"""What fairseq says by -1."""


def fairseq_arguments(config: GenerationConfig) -> list[str]:
    """Return the arguments of fairseq-generate that stand for ``config``, all of them."""
    arguments: list[str] = []
    for name, option in FAIRSEQ_OPTIONS.items():
        value, flag = getattr(config, name), "--" + option.replace("_", "-")
        if isinstance(value, bool):
            arguments += [flag] if value else []
        else:
            unlimited = name in _WITHOUT_LIMIT and value == _WITHOUT_LIMIT[name]
            arguments += [flag, "-1" if unlimited else str(value)]
    # fairseq wants to return all samples that it draws.
    return [*arguments, "--nbest", str(config.beam)] if config.sampling else arguments


def from_fairseq(options: Mapping[str, Any]) -> GenerationConfig:
    """Return what options of fairseq-generate ask for.

    Raises:
        ConfigError: a combination that makes no sense.
    """
    values: dict[str, Any] = {}
    for field in fields(GenerationConfig):
        value = options[FAIRSEQ_OPTIONS[field.name]]
        unlimited = field.name in _WITHOUT_LIMIT and value <= 0
        values[field.name] = _WITHOUT_LIMIT[field.name] if unlimited else value
    return GenerationConfig(**values)


def describe(config: GenerationConfig) -> dict[str, Any]:
    """Return what prediction files say of a search, and of sampling only where there is any."""
    sampling = {"top_k", "top_p", "seed"}
    return {
        name: getattr(config, name)
        for name in ("beam", "unnormalized", "length_penalty", *FAIRSEQ_OPTIONS)
        if config.sampling or name not in sampling
    }
