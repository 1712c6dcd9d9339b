"""How answers are decoded, known without torch."""

from dataclasses import dataclass

from biomedgpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Decoding options; the names follow `fairseq-generate`."""

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
