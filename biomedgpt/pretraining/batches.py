"""From the rows of an epoch to batches for the model.

A batch holds examples of several streams. The model sees it in up to three parts, so that texts do
not pay for image patches and short targets not for the hundreds of codes of an image:

* images with a text or boxes to write;
* images with codes to write, which keep all their patches, as in the reference;
* texts.

The loss is that of the reference: the mean over the target tokens of vision-language pairs, and
twice the mean over those of all other examples.

S source length, T target length, B examples of a part.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError
from biomedgpt.examples.example_encoder import Batch, Sample, collate
from biomedgpt.examples.mixture import Mixture, shares
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.pretraining.streams import open_streams
from biomedgpt.vocabulary import Vocabulary

OTHERS_WEIGHT = 2.0
"""Weight of everything but vision-language pairs (the reference's ``conf`` of these examples)."""
TRAIN, VALID = "train", "valid"
_DRAWS = 3  # see `biomedgpt.examples.mixture`


class PretrainingExamples:
    """The examples of an epoch, in order; for another one call `set_epoch`.

    In training an epoch is a stretch of the mixture. In validation it is always the same: the
    first rows of each stream.

    Args:
        config: the run.
        vocabulary: of the model.
        split: ``train`` or ``valid``.

    Raises:
        ConfigError: weights or folders that make no sense.
        DataError: a dataset that lacks what a stream needs.
    """

    def __init__(self, config: PretrainingConfig, vocabulary: Vocabulary, split: str) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.training = split == TRAIN
        streams = open_streams(config, vocabulary, split)
        self.mixture: Mixture | None = None
        if self.training:
            sizes = [len(stream) for stream in streams]
            try:
                parts = shares(
                    [stream.family for stream in streams],
                    sizes,
                    [stream.weight for stream in streams],
                    dict(config.weights),
                )
                self.mixture = Mixture(
                    sizes, parts, seed=config.seed, examples=config.examples_per_epoch
                )
            except ConfigError as error:
                raise ConfigError(f"{config.path}: {error}") from error
        self.streams = streams
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Take the rows of an epoch, counted from 1."""
        self.epoch = epoch
        if self.mixture is not None:
            self._streams, self._rows = self.mixture.epoch(epoch)
            return
        self.epoch = 0  # nothing drawn for a validation example changes
        counts = [min(len(stream), self.config.valid_examples) for stream in self.streams]
        rows = np.concatenate([np.arange(count) for count in counts])
        streams = np.repeat(np.arange(len(counts)), counts)
        # Spread evenly, as in training: the loss of a batch is a mean over its pairs and others.
        order = np.argsort((rows + 0.5) / np.repeat(counts, counts), kind="stable")
        self._streams, self._rows = streams[order], rows[order]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that fixes the examples of every epoch besides the vocabulary."""
        config = self.config
        facts: list[Any] = [config.seed, config.image_size, config.max_image_size, config.augment]
        facts.append(None if self.mixture is None else self.mixture.counts)
        for entry in config.streams:
            facts.append([entry.kind, [PreparedDataset(folder).hash for folder in entry.data]])
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def identity(self, index: int) -> tuple[int, int]:
        """Return stream and row of an example."""
        return int(self._streams[index]), int(self._rows[index])

    def __getitem__(self, index: int) -> Sample:
        number, row = self.identity(index)
        rng = np.random.default_rng((self.config.seed, _DRAWS, self.epoch, number, row))
        stream = self.streams[number]
        return stream.sample(row, rng) | {"stream": stream.kind, "where": stream.locate(row)}

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Group samples into the parts of a batch.

        Returns:
            ``parts``: batches as `biomedgpt.examples.example_encoder.collate` makes them, with
            ``groups`` (the examples of each stream by its kind; all kinds are there) and ``where``
            (file and row of each example); ``conf`` holds the weights of the loss, which then is a
            sum. ``nsentences`` and ``ntokens`` count the whole batch.
        """
        tokens = Counter[bool]()  # of pairs, of others
        for sample in samples:
            tokens[_is_pair(sample)] += len(sample["target"])
        ordered = sorted(samples, key=_part)
        parts = [self._part(list(group), tokens) for _, group in groupby(ordered, key=_part)]
        return {
            "parts": parts,
            "nsentences": len(samples),
            "ntokens": sum(part["ntokens"] for part in parts),
        }

    def _part(self, samples: Sequence[Sample], tokens: Mapping[bool, int]) -> Batch:
        part = collate(samples, self.vocabulary.pad)
        weights = [
            (1.0 if _is_pair(sample) else OTHERS_WEIGHT) / tokens[_is_pair(sample)]
            for sample in samples
        ]
        confidence = [sample["confidence"] for sample in samples]
        part["conf"] = torch.tensor(weights) * torch.tensor(confidence, dtype=torch.float)
        inputs: dict[str, Any] = part["net_input"]
        if samples[0]["code"]:
            inputs["code_masks"] = torch.ones(len(samples), dtype=torch.bool)
        elif self.training and inputs["patch_images"] is not None and self.config.sampled_patches:
            inputs["sample_patch_num"] = self.config.sampled_patches
        kinds = np.array([sample["stream"] for sample in samples])
        part["groups"] = {
            stream.kind: torch.from_numpy(np.flatnonzero(kinds == stream.kind))
            for stream in self.streams
        }
        part["where"] = [sample["where"] for sample in samples]
        return part


def _part(sample: Sample) -> tuple[bool, bool]:
    """Return which part a sample goes into: images with texts, then codes, then texts."""
    return sample["image"] is None and not sample["code"], sample["code"]


def _is_pair(sample: Sample) -> bool:
    return bool(sample["family"] == "vision_language")
