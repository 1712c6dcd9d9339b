"""Questions as the model reads them: ids, pixels, and what may come out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from biomedgpt.decoding import GenerationConfig
from biomedgpt.generation import ImageDecoding

_FOUR_BINS = GenerationConfig(beam=1, min_len=4, max_len=4)


@dataclass(frozen=True, kw_only=True)
class FreeText:
    """Any text."""

    decoding: GenerationConfig


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """Any text, with an image in it if the model finds that it is asked for one."""

    decoding: GenerationConfig
    image: ImageDecoding


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several answers.

    Attributes:
        answers: as the model knows them.
        shown: the same as the caller knows them.
        search: how to find the best one among many, as the evaluation does; without it all are
            compared.
        temperature: divides the log-probabilities of the answers; None where it is not known.
    """

    answers: tuple[str, ...]
    shown: tuple[str, ...]
    search: GenerationConfig | None = None
    temperature: float | None = None


@dataclass(frozen=True, kw_only=True)
class Region:
    """A box in the image.

    The four bins are the most probable ones, one after the other; nothing else can be generated
    (the same as in `biomedgpt.pretraining.grounding`).
    """

    decoding: GenerationConfig = _FOUR_BINS


Output = FreeText | Interleaved | Choice | Region


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question.

    Attributes:
        source: ids of the encoder's input, <s> and </s> included.
        prompt: ids the decoder begins with, <s> included.
        output: what may come out; queries that differ in it are answered in separate batches.
        clean: turns generated text into an answer.
        pixels: the image, (3, size, size), or None without one.
        size: width and height of the image as given.
        warnings: what is known to be odd before it is answered.
    """

    source: Sequence[int]
    prompt: Sequence[int]
    output: Output
    clean: Callable[[str], str]
    pixels: Tensor | None = None
    size: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()
