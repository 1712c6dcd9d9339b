"""A split of a prepared dataset as fairseq batches it."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from numpy.typing import NDArray

from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.data.prepared.folds import JoinedSplits
from biomedgpt.errors import DataError
from biomedgpt.examples.answer_codes import AnswerCodes
from biomedgpt.examples.example_encoder import Batch, ExampleEncoder, Sample, add_noise, collate
from biomedgpt.examples.lengths import lengths_of, naming
from biomedgpt.examples.mixing import Balance

logger = logging.getLogger(__name__)

BUCKET = 16
"""Tokens per length bucket. Batches are drawn within buckets: wide ones keep them random."""


class PreparedFairseqDataset(FairseqDataset):
    """Rows encoded on the fly, in batches of similar length.

    Args:
        split: the rows.
        encoder: what turns a row into tensors.
        shuffle: draw batches at random (training).
        strict: refuse rows that would be cut; they are counted and warned about otherwise.
        closed: refuse answers that are no candidates (training).
        noise_ratio: share of the answer's tokens in the decoder's input to replace by random ones
            (training; from OFA's summarization).
        balance: which rows an epoch holds; None for all (training).
        codes: of the images that answers show; without them targets have the place of the image
            only.
    """

    # Batches are composed anew in each epoch; seed and epoch fix them, so resuming is exact.
    can_reuse_epoch_itr_across_epochs = False

    def __init__(
        self,
        split: PreparedSplit | JoinedSplits,
        encoder: ExampleEncoder,
        *,
        shuffle: bool,
        strict: bool = False,
        closed: bool = False,
        noise_ratio: float = 0.0,
        balance: Balance | None = None,
        codes: AnswerCodes | None = None,
    ) -> None:
        super().__init__()
        self.split = split
        self.encoder = encoder
        self.shuffle = shuffle
        self.noise_ratio = noise_ratio
        self.balance = balance
        self.codes = codes
        self.epoch = 1
        lengths = lengths_of(split, encoder, codes)
        self.sizes = lengths.sizes  # (rows, 2): source, target
        refused = [
            *((lengths.cut,) if strict and lengths.cut else ()),
            *(((lengths.first_outside, None),) if closed and lengths.outside else ()),
        ]
        if refused:
            self._refuse(*min(refused, key=lambda one: one[0]))
        total, cut = len(split), sum(lengths.problems.values())
        if lengths.cut is not None:
            row, problem = lengths.cut
            logger.warning(
                f"{split.name}: {cut} of {total} rows are cut (first: {split.text('id', row)}: "
                f"{problem}); --strict-data makes this an error"
            )
        problems = Counter(lengths.problems).most_common()
        if len(problems) > 1:
            listed = "; ".join(f"{count} rows: {problem}" for problem, count in problems)
            logger.warning(f"{split.name}: {listed}")
        if lengths.outside:
            logger.warning(
                f"{split.name}: the answers of {lengths.outside} of {total} rows are no candidates "
                "and count as wrong"
            )

    def _refuse(self, row: int, problem: str | None) -> None:
        """Raise the error of a row that would be cut, or else whose answer is no candidate."""
        example = {name: self.split.text(name, row) for name in self.split.fields}
        where = f"{self.split.locate(row)} (id {example['id']!r})"
        if problem is not None:
            raise DataError(f"{where}: {problem}; shorten it or raise the limit")
        raise DataError(
            f"{where}: answer {self.encoder.task.target(example)!r} is not among the candidate "
            "answers; prepare the dataset again, or add --unconstrained"
        )

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Sample:
        row = self.split[index]
        with naming(self.split, index):
            # Fixed by epoch and row, so that a resumed run sees the same.
            rng = np.random.default_rng((self.epoch, int(index)))
            seed = int(rng.integers(1 << 62)) if self.shuffle else None
            codes = self._codes_of(int(index))
            sample = self.encoder(row, seed=seed, codes=codes) | {"row": int(index)}
            if (len(sample["source"]), len(sample["prev_output_tokens"])) != self.size(index):
                raise DataError(
                    "encoded to another length than was measured; remove "
                    f"{self.split.folder}/.*.lengths-*"
                )
        if self.noise_ratio:
            add_noise(sample, self.noise_ratio, vocabulary=self.encoder.vocabulary, rng=rng)
        return sample

    def _codes_of(self, row: int) -> Sequence[int]:
        return () if self.codes is None else self.codes.of(row)

    def set_epoch(self, epoch: int) -> None:
        """Learn the epoch, which the noise depends on, so that resuming repeats it."""
        super().set_epoch(epoch)
        self.epoch = epoch

    def collater(self, samples: Sequence[Sample]) -> Batch:
        if not samples:
            return {}
        batch = collate(samples, self.encoder.vocabulary.pad)
        return batch | {"id": torch.tensor([sample["row"] for sample in samples])}

    def num_tokens(self, index: int) -> int:
        return int(self.sizes[index].max())

    def num_tokens_vec(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        longest = np.maximum(self.sizes[:, 0], self.sizes[:, 1])  # (rows,)
        return longest[indices].astype(np.int64)

    def size(self, index: int) -> tuple[int, int]:
        source, target = self.sizes[index]
        return int(source), int(target)

    def batch_by_size(
        self,
        indices: NDArray[np.int64],
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> Any:
        # fairseq's batching drops the rows left over from a batch size that is no multiple of
        # the required one (8 by default): examples would be missing from every epoch and score.
        del required_batch_size_multiple
        return super().batch_by_size(indices, max_tokens, max_sentences, 1)

    def ordered_indices(self) -> NDArray[Any]:
        if self.balance is not None:
            order = self.balance.epoch(self.epoch)
        else:
            order = np.random.permutation(len(self)) if self.shuffle else np.arange(len(self))  # noqa: NPY002
        buckets = self.num_tokens_vec(order) // (BUCKET if self.shuffle else 1)
        narrow = buckets.astype(np.min_scalar_type(buckets.max(initial=0)))  # faster to sort
        return order[np.argsort(narrow, kind="stable")]
