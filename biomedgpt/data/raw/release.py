"""What a reader of raw data is given and what it hands over."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from biomedgpt.data.prepared.card import VQA_FIELDS
from biomedgpt.data.rows import Row


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Options of ``biomedgpt data prepare``.

    Attributes:
        skip_bad: leave rows out that cannot be used, instead of stopping at the first.
        overwrite: replace a prepared dataset that is there.
        valid_fraction: share of the training rows to hold out where a dataset has no official
            validation split; 0 makes none, None takes what its spec says.
        seed: of everything drawn at random.
        vocabulary: also train a SentencePiece vocabulary on the training texts.
        download: get the raw files first.
        images: images for train, valid and test, where a dataset is generated.
        image_size: pixels along one side, where a dataset comes in several sizes.
        part: name of the part, where a dataset comes in several.
    """

    skip_bad: bool = False
    overwrite: bool = False
    valid_fraction: float | None = None
    seed: int = 1
    vocabulary: bool = True
    download: bool = False
    images: tuple[int, int, int] | None = None
    image_size: int | None = None
    part: str | None = None


@dataclass(frozen=True)
class RawDataset:
    """What a reader hands over.

    Attributes:
        splits: rows by split, training split first; ``fold0``, ``fold1``, ... for a
            cross-validation.
        fields: names of the rows' text fields.
        answers: class names, where they are fixed.
        cleaning: what was changed in the text, one sentence each.
        found: counts of the raw release, by the names used in the dataset's spec.
        expected: counts to compare with instead of the spec's, where a dataset is also handed out
            in another form that holds other rows.
        preparation: choices to record in the card, such as the size of the images.
        counts: further counts to record in the card and to print, by heading and by what is
            counted; complete when all rows have been read.
        lists: lines to write to files beside the card, by file name; likewise.
    """

    splits: Mapping[str, Iterable[Row]]
    fields: tuple[str, ...] = VQA_FIELDS
    answers: tuple[str, ...] | None = None
    cleaning: tuple[str, ...] = ()
    found: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] | None = None
    preparation: Mapping[str, str | int | float] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    lists: Mapping[str, Iterable[str]] = field(default_factory=dict)
