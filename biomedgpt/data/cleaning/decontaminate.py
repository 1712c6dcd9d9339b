"""Keeping the test sets of benchmarks out of what a model is trained on.

Images are compared by perceptual hashes (`biomedgpt.data.cleaning.perceptual`), texts by runs of
words (`biomedgpt.data.cleaning.ngrams`); a row goes when its image or one of its texts is found.
Questions of VQA rows are not compared: many images are asked the same, and it is the image that
gives a test away.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tqdm import tqdm

from biomedgpt.data.cleaning.ngrams import SHORTEST, NgramIndex
from biomedgpt.data.cleaning.perceptual import HashIndex, ImageHash, hash_image
from biomedgpt.data.imaging.images import decode_image
from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.subset import subset_folder, write_subset
from biomedgpt.data.rows import Row
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.tasks import row_kinds

PIECE = 500
"""Images or rows that a process compares at a time."""
MOST_LISTED = 10_000
"""Removed rows that are listed one by one in the report; all are counted."""


@dataclass(frozen=True, kw_only=True)
class DecontaminateOptions:
    """Options of ``biomedgpt data decontaminate``."""

    splits: tuple[str, ...] = ("test",)
    """Splits of the benchmarks that are kept out, where they have them; of a cross-validation all
    folds are."""
    threshold: int = 8
    """Bits of 64 in which the hashes of two images may differ."""
    ngram: int = 13
    """Words of a run."""
    share: float = 0.0
    """Of a test text's runs that must be found; 0: one is enough."""
    images: bool = True
    """Whether images are compared."""
    texts: bool = True
    """Whether texts are."""
    workers: int = 1
    """Processes that compare."""
    overwrite: bool = False
    """Replace a prepared dataset that is there."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 15:
            raise ConfigError(f"--threshold must be from 0 to 15 bits, not {self.threshold}")
        if self.ngram < SHORTEST:
            raise ConfigError(f"--ngram must be at least {SHORTEST} words, not {self.ngram}")
        if not 0.0 <= self.share <= 1.0:
            raise ConfigError(f"--share must be from 0 to 1, not {self.share}")
        if self.workers < 1:
            raise ConfigError(f"--workers must be at least 1, not {self.workers}")
        if not (self.images or self.texts):
            raise ConfigError("nothing to compare: leave out --no-images or --no-texts")


@dataclass(frozen=True)
class Removed:
    """A row that shows or quotes a test example, and the first test row with that image or text."""

    split: str
    id: str
    reason: str
    """Either ``image`` or ``text``."""
    test_dataset: str
    test_split: str
    test_id: str
    detail: str
    """Bits that differ, or the words in common."""


@dataclass
class DecontaminationReport:
    """What was compared, found and removed."""

    dataset: dict[str, str]
    """Folder and hash."""
    against: list[dict[str, Any]]
    """Per benchmark its folder, hash, splits, rows, distinct images and texts."""
    options: dict[str, Any]
    """See `DecontaminateOptions`."""
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per split of the dataset rows, and those removed by reason and by benchmark."""
    removed: list[Removed] = field(default_factory=list)
    """The first removed rows."""


class _Match(NamedTuple):
    """A test row with the image or text that was found, and how it shows."""

    dataset: str
    split: str
    id: str
    detail: str = ""


class _TestSets:
    """Images and texts of all benchmarks, ready to be looked up."""

    def __init__(self, folders: Sequence[Path], options: DecontaminateOptions) -> None:
        self.options = options
        self.summary: list[dict[str, Any]] = []
        self._image_origins: list[_Match] = []
        self._text_origins: list[_Match] = []
        hashes: list[ImageHash] = []
        texts: list[str] = []
        for folder in folders:
            dataset = PreparedDataset(folder)
            names = dataset.folds or [one for one in options.splits if one in dataset.splits]
            if not names:
                raise DataError(
                    f"{folder} has no split {' or '.join(options.splits)}, only "
                    f"{', '.join(dataset.splits)}; say which to keep out with --splits"
                )
            name, before = dataset.card.name, (len(hashes), len(texts))
            splits = [dataset.split(one) for one in names]
            for split in splits:
                hashes += self._add_images(split, name) if options.images else []
                texts += self._add_texts(split, name) if options.texts else []
            self.summary.append(
                {
                    "name": name,
                    "folder": str(folder),
                    "hash": dataset.hash,
                    "splits": names,
                    "rows": sum(map(len, splits)),
                    "images": len(hashes) - before[0],
                    "texts": len(texts) - before[1],
                }
            )
        self._images = HashIndex(hashes, threshold=options.threshold)
        self._texts = NgramIndex(texts, n=options.ngram, share=options.share)

    def find_image(self, data: bytes, *, where: str) -> _Match | None:
        found = self._images.nearest(hash_image(decode_image(data, where=where)))
        if found is None:
            return None
        number, bits = found
        return self._image_origins[number]._replace(detail=f"{bits} bits differ")

    def find_text(self, text: str) -> _Match | None:
        found = self._texts.find(text)
        return self._text_origins[found.text]._replace(detail=found.words) if found else None

    def _add_images(self, split: PreparedSplit, dataset: str) -> list[ImageHash]:
        first = split.first_rows()
        hashes = []
        for number in tqdm(
            range(split.num_images), desc=f"{dataset} {split.name}", unit=" images", disable=None
        ):
            row = first.get(number, 0)
            where = split.locate(row)
            hashes.append(hash_image(decode_image(split.image(number), where=where)))
            self._image_origins.append(_Match(dataset, split.name, split.text("id", row)))
        return hashes

    def _add_texts(self, split: PreparedSplit, dataset: str) -> list[str]:
        seen: set[str] = set()
        texts = []
        names = _texts_of(split)
        for row in range(len(split)):
            for name in names:
                text = split.text(name, row)
                if text not in seen and text.count(" ") >= SHORTEST - 1:
                    seen.add(text)
                    texts.append(text)
                    self._text_origins.append(_Match(dataset, split.name, split.text("id", row)))
        return texts


def decontaminate(
    folder: Path, *, against: Sequence[Path], out: Path | None, options: DecontaminateOptions
) -> DecontaminationReport:
    """Find the rows of a dataset that show or quote a benchmark's test, and write it without them.

    Args:
        folder: the prepared dataset.
        against: prepared benchmarks.
        out: folder of the cleaned copy, which appears only when everything is in it; None only
            looks.
        options: how to compare.

    Raises:
        ConfigError: options that make no sense, or ``out`` is taken.
        DataError: a folder that is no prepared dataset, or nothing is left of a split.
    """
    dataset = PreparedDataset(folder)
    splits = {name: dataset.split(name) for name in dataset.splits}
    with subset_folder(dataset, out, overwrite=options.overwrite) as staged:
        tests = _TestSets(against, options)
        report = DecontaminationReport(
            dataset={"folder": str(folder), "hash": dataset.hash},
            against=tests.summary,
            options=asdict(options),
        )
        rows = {name: _kept(split, tests, report) for name, split in splits.items()}
        decontamination = {
            "of": dataset.hash,
            "against": report.against,
            "options": report.options,
            "splits": report.splits,  # complete when the rows have been gone through
        }
        write_subset(staged, dataset, rows, preparation={"decontamination": decontamination})
    return report


def _kept(split: PreparedSplit, tests: _TestSets, report: DecontaminationReport) -> Iterator[Row]:
    """Yield the rows that stay; what goes is noted in the report."""
    images: dict[int, _Match] = {}
    texts: dict[int, _Match] = {}
    if tests.options.images and split.num_images:
        images = _search(_near_images, split.num_images, split, tests, unit=" images")
    if tests.options.texts and _compared_texts(split):
        texts = _search(_quoting_rows, len(split), split, tests, unit=" rows")
    by_reason: Counter[str] = Counter()
    by_dataset: Counter[str] = Counter()
    for row in range(len(split)):
        image = split.image_number(row)
        reason = "image" if image in images else "text"
        match = images.get(image) or texts.get(row)
        if match is None:
            yield split.row(row)
            continue
        by_reason[reason] += 1
        by_dataset[match.dataset] += 1
        if len(report.removed) < MOST_LISTED:
            report.removed.append(Removed(split.name, split.text("id", row), reason, *match))
    report.splits[split.name] = {
        "rows": len(split),
        "removed": by_reason.total(),
        "by_image": by_reason["image"],
        "by_text": by_reason["text"],
        "by_dataset": dict(by_dataset),
    }


_Search: TypeAlias = Callable[[_TestSets, PreparedSplit, range], dict[int, _Match]]
_of_worker: list[tuple[_TestSets, PreparedSplit]] = []
"""In a worker process: what it looks up, and in what."""


def _search(
    function: _Search, count: int, split: PreparedSplit, tests: _TestSets, *, unit: str
) -> dict[int, _Match]:
    """Return what ``function`` finds among ``count`` items, in pieces and in several processes."""
    pieces = [range(n, min(n + PIECE, count)) for n in range(0, count, PIECE)]
    found: dict[int, _Match] = {}
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=count, desc=split.name, unit=unit, disable=None))
        results: Iterable[dict[int, _Match]] = map(partial(function, tests, split), pieces)
        if tests.options.workers > 1:
            pool = ProcessPoolExecutor(tests.options.workers, None, _begin_worker, (tests, split))
            results = stack.enter_context(pool).map(partial(_in_worker, function), pieces)
        try:
            for piece, matches in zip(pieces, results, strict=True):
                found |= matches
                bar.update(len(piece))
        except BrokenProcessPool as error:
            raise DataError(
                f"{split.path}: a process that compared its rows died (memory?); try fewer "
                "--workers"
            ) from error
    return found


def _begin_worker(tests: _TestSets, split: PreparedSplit) -> None:
    _of_worker[:] = [(tests, split)]


def _in_worker(function: _Search, piece: range) -> dict[int, _Match]:
    return function(*_of_worker[0], piece)


def _near_images(tests: _TestSets, split: PreparedSplit, numbers: range) -> dict[int, _Match]:
    """Return the images that are near a test image."""
    found = {}
    for number in numbers:
        where = f"{split.path}: image {number + 1}"
        if match := tests.find_image(split.image(number), where=where):
            found[number] = match
    return found


def _quoting_rows(tests: _TestSets, split: PreparedSplit, rows: range) -> dict[int, _Match]:
    """Return the rows with a text that shares runs of words with a test text."""
    found = {}
    names = _compared_texts(split)
    for row in rows:
        matches = (tests.find_text(split.text(name, row)) for name in names)
        if match := next(filter(None, matches), None):
            found[row] = match
    return found


def _compared_texts(split: PreparedSplit) -> tuple[str, ...]:
    """Return the fields whose text is looked at; see the module's docstring."""
    names = _texts_of(split)
    return () if split.task in ("vqa", "grounding") else names


def _texts_of(split: PreparedSplit) -> tuple[str, ...]:
    """Return the fields of a row that hold text."""
    kinds = row_kinds()
    if split.task not in kinds:
        raise DataError(f"{split.path}: task {split.task!r} is none of {', '.join(kinds)}")
    task = kinds[split.task]
    return tuple(name for name in task.required if name != task.boxes)
