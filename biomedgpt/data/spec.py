"""What is known about a dataset without its files, what its reader is given and what it hands over.

A dataset is one module of `biomedgpt.data.readers`, with its `DatasetSpec` in ``SPEC``
(several of them in ``SPECS``).
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from biomedgpt.data.rows import Row, Skipped, good_rows, hold_out
from biomedgpt.errors import DataError

Access = Literal["open", "registration", "credentialed", "generated"]
Kind = Literal["benchmark", "instruction", "evaluation"]
Item = TypeVar("Item")


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
        title: one line for people; what stands before a colon is how its release is called.
        task: task of its rows.
        source: where the raw files come from.
        licence: licence of the data.
        read: turns a raw release into rows; None for generated datasets.
        access: how one gets it.
        kind: what it is for: a benchmark to train and to be scored on, instruction data to train
            on only, or a test set without a recipe, to be evaluated on only.
        download: gets the raw files into the folder, where that needs no registration.
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
    source: str
    licence: str
    read: Callable[["Release"], "RawDataset"] | None
    access: Access = "open"
    kind: Kind = "benchmark"
    download: Callable[["Release"], None] | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    published: tuple[PublishedResult, ...] = ()
    image_sizes: tuple[int, ...] = ()
    valid_fraction: float | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folds: int = 0


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
class Release:
    """The raw files of a dataset, and how they are to be read: what a reader is given.

    Attributes:
        folder: the raw folder.
        spec: facts of the dataset.
        options: options of the command; the dataset's own defaults are filled in.
        skipped: takes the rows that cannot be used.
    """

    folder: Path
    spec: DatasetSpec
    options: PrepareOptions
    skipped: Skipped

    @property
    def part(self) -> str:
        """The part asked for; "" where the release comes in one."""
        return self.options.part or next(iter(self.spec.parts), "")

    def base(self, *folders: str, having: str = "") -> Path:
        """Return the first of ``folders`` within the raw folder that is there (and has a file).

        The raw folder itself where none is.
        """
        paths = (self.folder / name for name in folders)
        there = (path for path in paths if path.is_dir() and (path / having).exists())
        return next(there, self.folder)

    def refused(self, problem: str, *, folder: Path | None = None, source: str = "") -> DataError:
        """Return the error that says why a folder is not this release, and where to get it."""
        label = self.spec.title.partition(":")[0]
        return DataError(
            f"{folder or self.folder} is not the {label} release: {problem}; "
            f"get it from {source or self.spec.source}"
        )

    def require_files(
        self, names: Iterable[str], *, folder: Path | None = None, source: str = ""
    ) -> None:
        """Raise a DataError that lists what a folder lacks; a name with a final / is a folder."""
        base = folder or self.folder
        missing = [
            name
            for name in names
            if not ((base / name).is_dir() if name.endswith("/") else (base / name).is_file())
        ]
        if missing:
            listed = " and ".join(map(repr, missing))
            raise self.refused(f"missing {listed}", folder=base, source=source)

    def rows(self, items: Iterable[Item], parse: Callable[[Item], Row]) -> Iterator[Row]:
        """Yield ``parse(item)`` for every item; bad ones go to `skipped`."""
        return good_rows(items, parse, self.skipped)

    def hold_out(
        self, train: Iterable[Row], test: Iterable[Row], *, group: Callable[[Row], Hashable]
    ) -> dict[str, Iterable[Row]]:
        """Return the splits of a release without validation rows: some of ``train`` become those.

        No group is on both sides. With ``--valid-fraction 0`` there is no such split.
        """
        fraction = self.options.valid_fraction or 0.0
        kept, held_out = hold_out(train, fraction, seed=self.options.seed, group=group)
        return {"train": kept, **({"valid": held_out} if held_out else {}), "test": test}


@dataclass(frozen=True)
class RawDataset:
    """What a reader hands over.

    Attributes:
        splits: rows by split, training split first; ``fold0``, ``fold1``, ... for a
            cross-validation. All rows have the same fields.
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
    answers: tuple[str, ...] | None = None
    cleaning: tuple[str, ...] = ()
    found: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] | None = None
    preparation: Mapping[str, str | int | float] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    lists: Mapping[str, Iterable[str]] = field(default_factory=dict)


NATURE_MEDICINE = "Zhang et al., Nature Medicine 2024, as quoted in reviews"
"""Source of the numbers of BiomedGPT-Base that most datasets are compared with."""
