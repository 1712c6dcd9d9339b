"""From rows of a prepared dataset to batches of tensors.

S source length, T target length, B batch, P prompt length (without <s>).
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from biomedgpt.data.imaging.images import HALF, Normalization, decode_image, normalize
from biomedgpt.errors import ConfigError
from biomedgpt.examples.augmentation import Augmentation
from biomedgpt.examples.resized import ResizedImages
from biomedgpt.examples.segments import answer_segments, encode_segments, shows_image
from biomedgpt.generation import AnswerTrie
from biomedgpt.loss import UNCONSTRAINED
from biomedgpt.tasks import Example, Task
from biomedgpt.vocabulary import Vocabulary

Sample = dict[str, Any]
Batch = dict[str, Any]


def encode_answer(vocabulary: Vocabulary, answer: str) -> list[int]:
    """Return the ids of an answer as a target, without <s> and </s>."""
    return vocabulary.encode_text(" " + answer)


@dataclass(frozen=True)
class Candidates:
    """The answers a constrained task may give."""

    answers: Sequence[str]
    sequences: Sequence[Sequence[int]]
    """Ids of each answer, without <s> and </s>."""
    trie: AnswerTrie

    @classmethod
    def encode(cls, vocabulary: Vocabulary, task: Task, answers: Sequence[str]) -> Self:
        """Encode candidate answers.

        Raises:
            ConfigError: there are none, or one is longer than the task's targets may be.
        """
        if not answers:
            raise ConfigError(
                "the dataset lists no candidate answers; prepare it again, or drop the "
                "constraint (--unconstrained)"
            )
        sequences = [encode_answer(vocabulary, answer) for answer in answers]
        longest = max(range(len(answers)), key=lambda index: len(sequences[index]))
        if len(sequences[longest]) > task.max_target_tokens:
            raise ConfigError(
                f"candidate answer {answers[longest]!r} has {len(sequences[longest])} tokens, "
                f"more than the limit of {task.max_target_tokens}; raise it (--max-tgt-length)"
            )
        return cls(answers, sequences, AnswerTrie(sequences, eos=vocabulary.eos))

    def paths(self) -> dict[tuple[int, ...], list[int]]:
        """Return the trie's nodes along each answer, from the root to the last token.

        Plain numbers, so that workers may use them wherever the trie's tensors are.
        """
        pairs = zip(self.sequences, self.trie.paths, strict=True)
        return {tuple(sequence): path for sequence, path in pairs}


@dataclass(frozen=True)
class RowLengths:
    """What is known of a row before it is encoded."""

    source: int
    """Source length in tokens."""
    target: int
    """Target length in tokens, the prompt included."""
    problem: str | None
    """What would be cut, or None."""
    candidate: bool
    """Whether the answer is among the candidates (true for free text)."""


@dataclass(eq=False, repr=False)
class ExampleEncoder:
    """Turns a row into the tensors of one example.

    Sources and targets beyond their limits are cut; `measure` tells which, so that a caller can
    count, warn or refuse before training starts.

    Args:
        vocabulary: text to ids.
        task: what the row's fields mean.
        image_size: pixels along one side of the square the image is resized to.
        candidates: candidate answers, or None for free text.
        max_source_tokens: the model's positions, which no source may exceed.
        normalization: of the pixels.
        augmentation: changes the images of calls that bring a seed (training).
        blank_images: replace every image by mid-grey, to see what the text alone achieves.
    """

    vocabulary: Vocabulary
    task: Task
    _: KW_ONLY
    image_size: int
    candidates: InitVar[Candidates | None] = None
    max_source_tokens: int = 1024
    normalization: Normalization = HALF
    augmentation: Augmentation | None = None
    blank_images: bool = False

    def __post_init__(self, candidates: Candidates | None) -> None:
        self.paths = None if candidates is None else candidates.paths()
        # Where the decoder is given the source, the answer and </s> must fit behind it.
        room = 0 if self.task.prompt_type == "none" else self.task.max_target_tokens + 1
        fitting = self.max_source_tokens - min(room, self.max_source_tokens // 2)
        self.max_source_tokens = min(fitting, self.task.max_source_tokens)
        self._resized = ResizedImages(self.image_size)

    def encode_source(self, example: Example) -> list[int]:
        """Return ``<s> instruction </s>``, shortened and then cut to what fits."""
        return self._encode_source(example)[0]

    def _encode_source(self, example: Example) -> tuple[list[int], str | None]:
        """Return the source, and what it lost to fit."""
        most = self.max_source_tokens - 2
        ids = self.vocabulary.encode_text(" " + self.task.instruction(example))
        lost = None
        while len(ids) > most and (shorter := self.task.shorten(example)) is not None:
            example, lost = shorter, f"oldest turns left out, for {self.max_source_tokens} tokens"
            ids = self.vocabulary.encode_text(" " + self.task.instruction(example))
        if len(ids) > most:
            lost = f"source has more than the {self.max_source_tokens} tokens that fit"
        return [self.vocabulary.bos, *ids[:most], self.vocabulary.eos], lost

    def encode_target(self, example: Example, codes: Sequence[int] = ()) -> tuple[list[int], bool]:
        """Return the answer without <s> and </s>, and whether its text was cut.

        Args:
            example: the row.
            codes: of the image that its answer shows, if it shows one.

        Raises:
            DataError: the answer is to show an image and does not say where.
        """
        answer, most = self.task.target(example), self.task.max_target_tokens
        if shows_image(example):
            segments = answer_segments(answer, codes)
            return encode_segments(self.vocabulary, segments, most_text=most)
        ids = encode_answer(self.vocabulary, answer)
        return ids[:most], len(ids) > most

    def measure(self, example: Example, codes: Sequence[int] = ()) -> RowLengths:
        """Return the lengths of a row and what is wrong with it; the image is not touched.

        Args:
            example: the row.
            codes: see `encode_target`.

        Raises:
            DataError: a row without an answer.
        """
        source, problem = self._encode_source(example)
        answer, cut = self.encode_target(example, codes)
        if self.task.is_cut(example):
            most = self.task.max_source_words
            spaced = len(self.task.source_text(example).split()) > most
            problem = f"source has more than {most} {'words' if spaced else 'characters'}"
        if problem is None and cut:
            problem = f"target has more than {self.task.max_target_tokens} tokens"
        return RowLengths(
            source=len(source),
            target=len(self.prompt(source)) + len(answer),
            problem=problem,
            candidate=self.paths is None or tuple(answer) in self.paths,
        )

    def prompt(self, source: Sequence[int]) -> list[int]:
        """Return what the decoder is given before the answer, <s> included."""
        match self.task.prompt_type:
            case "none":
                return [self.vocabulary.bos]
            case "prev_output":
                return list(source[:-1])
            case "src":
                return list(source)

    def __call__(
        self, row: Mapping[str, Any], *, seed: int | None = None, codes: Sequence[int] = ()
    ) -> Sample:
        """Encode one row (see `biomedgpt.data.prepared.dataset.PreparedSplit`).

        An answer that is no candidate carries no loss.

        Args:
            row: text fields and the encoded image.
            seed: of what the augmentation does to the image; None leaves it as it is.
            codes: see `encode_target`.

        Raises:
            DataError: a damaged image, or a row without an answer; the message names the row.
        """
        example: Example = {name: text for name, text in row.items() if name != "image"}
        source, (answer, _) = self.encode_source(example), self.encode_target(example, codes)
        prompt = self.prompt(source)
        answer_nodes = [UNCONSTRAINED] * (len(answer) + 1)
        if self.paths is not None:
            answer_nodes = self.paths.get(tuple(answer), answer_nodes)
        # The loss covers the answer and </s>; padding hides the prompt from it.
        hidden = len(prompt) - 1
        return {
            "example": example,
            "source": torch.tensor(source),  # (S,)
            "prev_output_tokens": torch.tensor(prompt + answer),  # (T,)
            "target": torch.tensor(
                [self.vocabulary.pad] * hidden + answer + [self.vocabulary.eos]
            ),  # (T,)
            "constraint_nodes": torch.tensor([UNCONSTRAINED] * hidden + answer_nodes),  # (T,)
            "prefix": torch.tensor(prompt[1:], dtype=torch.long),  # (P,)
            "confidence": self.task.confidence(example),
            "image": self.encode_image(row, seed=seed),
        }

    def encode_image(self, row: Mapping[str, Any], *, seed: int | None = None) -> Tensor | None:
        """Return the normalised image, ``(3, image_size, image_size)``, or None without one.

        An image that the answer is to show is not looked at.
        """
        if not self.task.fields.image or row.get("image") is None or shows_image(row):
            return None
        if self.blank_images:
            return torch.zeros(3, self.image_size, self.image_size)
        where = f"example {row['id']!r}"
        if self.augmentation is not None and seed is not None:
            return self.augmentation(decode_image(row["image"], where=where), seed=seed)
        pixels = self._resized(row["image"], where=where)
        return torch.from_numpy(normalize(pixels, self.normalization))


def add_noise(
    sample: Sample, ratio: float, *, vocabulary: Vocabulary, rng: np.random.Generator
) -> None:
    """Replace a share of the answer's tokens in the decoder's input by random text tokens.

    The prompt and the target stay as they are (OFA, ``noise_ratio`` of its summarization).
    """
    tokens = sample["prev_output_tokens"]  # (T,)
    start = len(sample["prefix"]) + 1  # <s> and the prompt
    first, end = vocabulary.text_ids.start, vocabulary.text_ids.stop
    is_text = (tokens[start:] >= first) & (tokens[start:] < end)  # images stay whole
    chosen = (rng.random(len(tokens) - start) < ratio) & is_text.numpy()
    noise = rng.integers(first, end, int(chosen.sum()))
    tokens[start:][torch.from_numpy(chosen)] = torch.from_numpy(noise)


def collate(samples: Sequence[Sample], pad: int) -> Batch:
    """Pad samples of `ExampleEncoder` on the right and stack them.

    Rows without an image get a grey one and a false ``patch_masks``; a batch without any image
    has None for both, and costs the model no patches.

    Returns:
        ``nsentences``, ``ntokens`` (target tokens that count), ``net_input`` for the model,
        ``target`` (B, T), ``constraint_nodes`` (B, T), ``prefix_tokens`` (B, P), ``conf`` (B,) or
        None when all weights are one, and ``examples``, the rows' text fields.
    """
    target = _pad(samples, "target", pad)
    conf = torch.tensor([sample["confidence"] for sample in samples], dtype=torch.float)
    images = [sample["image"] for sample in samples]
    present = [image for image in images if image is not None]
    patch_images = patch_masks = None
    if present:
        grey = torch.zeros_like(present[0])
        # Stacks in memory that processes share where a worker of a loader calls it.
        patch_images = default_collate([grey if image is None else image for image in images])
        patch_masks = torch.tensor([image is not None for image in images])
    return {
        "nsentences": len(samples),
        "ntokens": int(target.ne(pad).sum()),
        "net_input": {
            "src_tokens": _pad(samples, "source", pad),  # (B, S)
            "prev_output_tokens": _pad(samples, "prev_output_tokens", pad),  # (B, T)
            "patch_images": patch_images,  # (B, 3, height, width)
            "patch_masks": patch_masks,  # (B,)
        },
        "target": target,
        "constraint_nodes": _pad(samples, "constraint_nodes", UNCONSTRAINED),
        "prefix_tokens": _pad(samples, "prefix", pad),
        "conf": None if bool((conf == 1).all()) else conf,
        "examples": [sample["example"] for sample in samples],
    }


def _pad(samples: Sequence[Sample], name: str, value: int) -> Tensor:
    rows = [sample[name] for sample in samples]
    return pad_sequence(rows, batch_first=True, padding_value=value)
