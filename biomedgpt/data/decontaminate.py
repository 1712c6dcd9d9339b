"""Keeping the test sets of benchmarks out of what a model is trained on.

Images are compared by perceptual hashes (`biomedgpt.data.perceptual`), texts by runs of words
(`biomedgpt.data.ngrams`); a row goes when its image or one of its texts is found. Questions of VQA
rows are not compared: many images are asked the same, and it is the image that gives a test away.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from biomedgpt.data.card import DatasetCard, DatasetFacts
from biomedgpt.data.fields import KINDS, TaskFields
from biomedgpt.data.images import decode_image
from biomedgpt.data.ngrams import SHORTEST, NgramIndex
from biomedgpt.data.perceptual import HashIndex, ImageHash, hash_image
from biomedgpt.data.prepare import VOCABULARY_FOLDER
from biomedgpt.data.prepared import PreparedDataset, PreparedSplit
from biomedgpt.data.rows import Row
from biomedgpt.data.writer import staged_folder, write_splits
from biomedgpt.errors import ConfigError, DataError

MOST_LISTED = 10_000
"""Removed rows that are listed one by one in the report; all are counted."""


@dataclass(frozen=True, kw_only=True)
class DecontaminateOptions:
    """Options of ``biomedgpt data decontaminate``.

    Attributes:
        splits: splits of the benchmarks that are kept out, where they have them; of a
            cross-validation all folds are.
        threshold: bits of 64 in which the hashes of two images may differ.
        ngram: words of a run.
        share: of a test text's runs that must be found; 0: one is enough.
        images, texts: whether these are compared.
        overwrite: replace a prepared dataset that is there.
    """

    splits: tuple[str, ...] = ("test",)
    threshold: int = 8
    ngram: int = 13
    share: float = 0.0
    images: bool = True
    texts: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class Removed:
    """A row that shows or quotes a test example.

    Attributes:
        split, id: of the row.
        reason: ``image`` or ``text``.
        test_dataset, test_split, test_id: of the first test row with that image or text.
        detail: bits that differ, or the words in common.
    """

    split: str
    id: str
    reason: str
    test_dataset: str
    test_split: str
    test_id: str
    detail: str


@dataclass
class DecontaminationReport:
    """What was compared, found and removed.

    Attributes:
        dataset: folder and hash.
        against: per benchmark its folder, hash, splits, rows, distinct images and texts.
        options: see `DecontaminateOptions`.
        splits: per split of the dataset rows, and those removed by reason and by benchmark.
        removed: the first removed rows.
    """

    dataset: dict[str, str]
    against: list[dict[str, Any]]
    options: dict[str, Any]
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    removed: list[Removed] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report for a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class _Origin:
    """Where a test image or text is from."""

    dataset: str
    split: str
    id: str


class _TestSets:
    """Images and texts of all benchmarks, ready to be looked up."""

    def __init__(self, folders: Sequence[Path], options: DecontaminateOptions) -> None:
        self.summary: list[dict[str, Any]] = []
        self._image_origins: list[_Origin] = []
        self._text_origins: list[_Origin] = []
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
            before = (len(hashes), len(texts))
            rows = 0
            for name in names:
                split = dataset.split(name)
                rows += len(split)
                if options.images:
                    hashes += self._add_images(split, dataset.card.name)
                if options.texts:
                    texts += self._add_texts(split, dataset.card.name)
            self.summary.append(
                {
                    "name": dataset.card.name,
                    "folder": str(folder),
                    "hash": dataset.hash,
                    "splits": names,
                    "rows": rows,
                    "images": len(hashes) - before[0],
                    "texts": len(texts) - before[1],
                }
            )
        self._images = HashIndex(hashes, threshold=options.threshold)
        self._texts = NgramIndex(texts, n=options.ngram, share=options.share)

    def find_image(self, data: bytes, *, where: str) -> tuple[_Origin, str] | None:
        found = self._images.nearest(hash_image(decode_image(data, where=where)))
        if found is None:
            return None
        return self._image_origins[found[0]], f"{found[1]} bits differ"

    def find_text(self, text: str) -> tuple[_Origin, str] | None:
        found = self._texts.find(text)
        return None if found is None else (self._text_origins[found.text], found.words)

    def _add_images(self, split: PreparedSplit, dataset: str) -> list[ImageHash]:
        first = _first_rows(split)
        hashes = []
        for number in tqdm(
            range(split.num_images), desc=f"{dataset} {split.name}", unit=" images", disable=None
        ):
            row = first.get(number, 0)
            where = split.locate(row)
            hashes.append(hash_image(decode_image(split.image(number), where=where)))
            self._image_origins.append(_Origin(dataset, split.name, split.text("id", row)))
        return hashes

    def _add_texts(self, split: PreparedSplit, dataset: str) -> list[str]:
        seen: set[str] = set()
        texts = []
        task = _fields_of(split)
        for row in range(len(split)):
            for name in (one for one in task.required if one != task.boxes):
                text = split.text(name, row)
                if text not in seen and text.count(" ") >= SHORTEST - 1:
                    seen.add(text)
                    texts.append(text)
                    self._text_origins.append(_Origin(dataset, split.name, split.text("id", row)))
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
    _check_options(options)
    dataset = PreparedDataset(folder)
    if out is not None and out.resolve() == folder.resolve():
        raise ConfigError(f"{out} is the dataset itself; give another output folder")
    splits = {name: dataset.split(name) for name in dataset.splits}
    with ExitStack() as stack:
        staged = None
        if out is not None:  # at once: a folder that is taken should not cost the comparison
            staged = stack.enter_context(staged_folder(out, overwrite=options.overwrite))
        tests = _TestSets(against, options)
        report = DecontaminationReport(
            dataset={"folder": str(folder), "hash": dataset.hash},
            against=tests.summary,
            options=asdict(options),
        )
        if staged is None:
            for name, split in splits.items():
                for _ in _kept(name, split, tests, report, options):
                    pass
        else:
            _write(staged, dataset, splits, tests, report, options)
    return report


def _check_options(options: DecontaminateOptions) -> None:
    if not 0 <= options.threshold <= 15:
        raise ConfigError(f"--threshold must be from 0 to 15 bits, not {options.threshold}")
    if options.ngram < SHORTEST:
        raise ConfigError(f"--ngram must be at least {SHORTEST} words, not {options.ngram}")
    if not 0.0 <= options.share <= 1.0:
        raise ConfigError(f"--share must be from 0 to 1, not {options.share}")
    if not (options.images or options.texts):
        raise ConfigError("nothing to compare: leave out --no-images or --no-texts")


def _write(
    staged: Path,
    dataset: PreparedDataset,
    splits: dict[str, PreparedSplit],
    tests: _TestSets,
    report: DecontaminationReport,
    options: DecontaminateOptions,
) -> DatasetCard:
    """Write the rows that stay."""
    card = dataset.card
    closed = card.task in KINDS and KINDS[card.task].closed
    facts = DatasetFacts(
        name=card.name,
        task=card.task,
        source=card.source,
        licence=card.licence,
        fields=tuple(card.fields),
        answers=tuple(card.answers) if closed else None,
        cleaning=tuple(card.cleaning),
    )
    rows = {name: _kept(name, split, tests, report, options) for name, split in splits.items()}
    new = write_splits(staged, facts, rows, checked=True)
    new.preparation = {
        **card.preparation,
        "decontamination": {
            "of": report.dataset["hash"],
            "against": report.against,
            "options": report.options,
            "splits": report.splits,
        },
    }
    new.save(staged)
    if (dataset.folder / VOCABULARY_FOLDER).is_dir():
        shutil.copytree(dataset.folder / VOCABULARY_FOLDER, staged / VOCABULARY_FOLDER)
    return new


def _kept(
    name: str,
    split: PreparedSplit,
    tests: _TestSets,
    report: DecontaminationReport,
    options: DecontaminateOptions,
) -> Iterator[Row]:
    """Yield the rows that stay; what goes is noted in the report."""
    images = _matched_images(name, split, tests) if options.images else {}
    texts = _compared_texts(split) if options.texts else ()
    by_reason: Counter[str] = Counter()
    by_dataset: Counter[str] = Counter()
    for row in tqdm(range(len(split)), desc=f"comparing {name}", unit=" rows", disable=None):
        reason, match = "image", images.get(int(split.image_index[row]))
        if match is None:
            reason = "text"
            found = (tests.find_text(split.text(one, row)) for one in texts)
            match = next((one for one in found if one is not None), None)
        if match is None:
            fields = split[row]
            yield Row(
                {one: fields[one] for one in split.fields}, fields.get("image"), split.locate(row)
            )
            continue
        origin, detail = match
        by_reason[reason] += 1
        by_dataset[origin.dataset] += 1
        if len(report.removed) < MOST_LISTED:
            row_id = split.text("id", row)
            report.removed.append(
                Removed(name, row_id, reason, origin.dataset, origin.split, origin.id, detail)
            )
    report.splits[name] = {
        "rows": len(split),
        "removed": by_reason.total(),
        "by_image": by_reason["image"],
        "by_text": by_reason["text"],
        "by_dataset": dict(by_dataset),
    }


def _matched_images(
    name: str, split: PreparedSplit, tests: _TestSets
) -> dict[int, tuple[_Origin, str]]:
    """Return the images that are near a test image."""
    first = _first_rows(split)
    found = {}
    for number in tqdm(range(split.num_images), desc=name, unit=" images", disable=None):
        where = split.locate(first.get(number, 0))
        match = tests.find_image(split.image(number), where=where)
        if match is not None:
            found[number] = match
    return found


def _first_rows(split: PreparedSplit) -> dict[int, int]:
    """Return the first row that shows each image."""
    if not split.num_images:
        return {}
    numbers, rows = np.unique(split.image_index, return_index=True)
    return dict(zip(numbers.tolist(), rows.tolist(), strict=True))


def _compared_texts(split: PreparedSplit) -> tuple[str, ...]:
    """Return the fields whose text is looked at; see the module's docstring."""
    task = _fields_of(split)
    if split.task in ("vqa", "grounding"):
        return ()
    return tuple(name for name in task.required if name != task.boxes)


def _fields_of(split: PreparedSplit) -> TaskFields:
    if split.task not in KINDS:
        raise DataError(f"{split.path}: task {split.task!r} is none of {', '.join(KINDS)}")
    return KINDS[split.task]
