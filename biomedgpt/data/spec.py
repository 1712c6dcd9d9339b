"""What is known about a dataset without its files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from biomedgpt.data.raw.release import RawDataset

Access = Literal["open", "registration", "credentialed", "generated"]


@dataclass(frozen=True)
class PublishedResult:
    """A published result, as a share or in the unit of our own measure.

    Attributes:
        model: name of the model.
        measure: our name of the measure, as in score files (``accuracy``, ``rouge_l``, ...).
        value: the number; shares as 0 to 1, CIDEr as 0 to 10.
        source: publication.
        deviation: standard deviation where one was given.
    """

    model: str
    measure: str
    value: float
    source: str
    deviation: float | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Facts of a dataset; `biomedgpt.data.registry` lists them all.

    Attributes:
        name: short name, also of its card ``datasets/<name>/``.
        title: one line for people.
        task: task of its rows.
        access: how one gets it.
        source: where the raw files come from.
        licence: licence of the data.
        read: turns a raw folder into rows; None for generated datasets. Called as
            ``read(raw, spec=..., options=..., skipped=...)``.
        download: gets the raw files into a folder, where that needs no registration. Called as
            ``download(raw, spec=..., options=...)``.
        expected: counts of the official release, compared with what is found. Names: a split
            (train counts what is held out from it), ``"<split> <answer type>"``, or one that the
            reader reports itself.
        published: results to compare with.
        image_sizes: pixels along one side that the release comes in, the default first; empty
            where there is no choice.
        valid_fraction: share of the training rows held out unless another is asked for, where the
            release has no validation split; None where it has one.
        parts: parts that the release comes in, the default first, each with the names its file may
            have; empty where there is no choice.
        folds: number of folds where the benchmark is a cross-validation, else 0.
    """

    name: str
    title: str
    task: str
    access: Access
    source: str
    licence: str
    read: Callable[..., RawDataset] | None
    download: Callable[..., None] | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    published: tuple[PublishedResult, ...] = ()
    image_sizes: tuple[int, ...] = ()
    valid_fraction: float | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folds: int = 0

    @property
    def card_folder(self) -> Path:
        """Folder of the dataset's card, relative to the project."""
        return Path("datasets") / self.name


NATURE_MEDICINE = "Zhang et al., Nature Medicine 2024, as quoted in reviews"
"""Source of the numbers of BiomedGPT-Base that most datasets are compared with."""
