"""Writing a prepared dataset without the rows that are not worth training on.

The measures are those of HuatuoGPT-Vision (Chen et al., EMNLP 2024) and MedMax (Bansal et al.,
2024), by means that need no other model: medical words in the text, size and content of the image,
and near-duplicates. Each is an option, and what each removes is counted and listed. Test sets are
kept out by `biomedgpt.data.cleaning.decontaminate`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from biomedgpt.data.cleaning.charts import is_blank, is_drawing
from biomedgpt.data.cleaning.duplicates import NearDuplicates
from biomedgpt.data.cleaning.medical import MedicalVocabulary
from biomedgpt.data.cleaning.perceptual import HashIndex, hash_image
from biomedgpt.data.imaging.images import decode_image
from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.subset import subset_folder, write_subset
from biomedgpt.data.rows import Row
from biomedgpt.errors import ConfigError
from biomedgpt.tasks import row_kinds

REMOVED_FILE = "removed.tsv"
SMALL, BLANK, DRAWING, IMAGE_COPY = "small image", "blank image", "drawing", "copy of an image"
NOT_MEDICAL, TEXT_COPY = "too few medical words", "near-duplicate text"
REASONS = (SMALL, BLANK, DRAWING, IMAGE_COPY, NOT_MEDICAL, TEXT_COPY)


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Options of ``biomedgpt data filter``; those left as they are remove nothing."""

    min_medical_share: float = 0.0
    """Least share of a text's words that are medical."""
    min_medical_words: int = 0
    """Least number of different medical words."""
    medical_words: Path | None = None
    """File of further medical words, one on each line."""
    min_side: int = 0
    """Least pixels along both sides of an image."""
    no_blank: bool = False
    """Remove images of almost one grey."""
    no_drawings: bool = False
    """Remove charts, tables and diagrams."""
    near_duplicates: float = 0.0
    """Share of runs of words from which a text repeats an earlier one; 0 is off."""
    image_copies: int | None = None
    """Bits of 64 up to which an image is a copy of an earlier one; None is off."""
    overwrite: bool = False
    """Replace a prepared dataset that is there."""

    def __post_init__(self) -> None:
        for name in ("min_medical_share", "near_duplicates"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"--{name.replace('_', '-')} must be from 0 to 1")
        for name in ("min_medical_words", "min_side"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 0")
        if self.image_copies is not None and not 0 <= self.image_copies <= 15:
            raise ConfigError("--image-copies must be from 0 to 15 bits")
        if not (self.looks_at_images or self.looks_at_texts or self.near_duplicates):
            raise ConfigError("no filter is on; see --help")

    @property
    def looks_at_images(self) -> bool:
        """Whether images are decoded."""
        copies = self.image_copies is not None
        return bool(self.min_side) or self.no_blank or self.no_drawings or copies

    @property
    def looks_at_texts(self) -> bool:
        """Whether medical words are counted."""
        return bool(self.min_medical_share or self.min_medical_words)


@dataclass(frozen=True)
class RemovedRow:
    """A row that is left out, why, and the measure that says so."""

    split: str
    id: str
    reason: str
    detail: str


@dataclass
class FilterReport:
    """What was removed."""

    dataset: dict[str, str]
    """Folder and hash."""
    options: dict[str, Any]
    """Those that are on."""
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Per split its rows, and those removed by reason."""
    removed: list[RemovedRow] = field(default_factory=list)
    """All removed rows."""


def filter_dataset(folder: Path, *, out: Path | None, options: FilterOptions) -> FilterReport:
    """Find the rows that a filter removes, and write the dataset without them.

    Texts are those that the task reads and writes, of a whole dialogue together: a short answer
    within a good dialogue stays. Splits are gone through in their order, so that near-duplicates of
    training rows leave validation and test.

    Args:
        folder: the prepared dataset.
        out: folder of the filtered copy, with the removed rows in ``removed.tsv``; None only looks.
        options: the filters.

    Raises:
        ConfigError: ``out`` is taken, or is the dataset itself.
        DataError: not a prepared dataset, or nothing is left of a split.
    """
    dataset = PreparedDataset(folder)
    on = {
        one.name: str(value) if isinstance(value, Path) else value
        for one in fields(options)
        if (value := getattr(options, one.name)) != one.default and one.name != "overwrite"
    }
    report = FilterReport({"folder": str(folder), "hash": dataset.hash}, on)
    with subset_folder(dataset, out, overwrite=options.overwrite) as staged:
        search = _Search(dataset, options)
        rows = {name: search.kept(dataset.split(name), report) for name in dataset.splits}
        # The counts are complete when the rows have been gone through.
        quality = {"of": dataset.hash, "options": report.options, "splits": report.splits}
        write_subset(staged, dataset, rows, preparation={"quality": quality})
        if staged is not None:
            lines = ["split\tid\treason\tdetail"]
            lines += ["\t".join(astuple(one)) for one in report.removed]
            (staged / REMOVED_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return report


class _Search:
    """What has been seen of a dataset, and what is to be removed of the next split."""

    def __init__(self, dataset: PreparedDataset, options: FilterOptions) -> None:
        self.options = options
        self.words = MedicalVocabulary.load(options.medical_words)
        self.texts = NearDuplicates(options.near_duplicates) if options.near_duplicates else None
        task = row_kinds().get(dataset.card.task)
        names = (*task.source, task.target) if task else ()
        # What was said before is in the rows before.
        self.names = [name for name in names if name in dataset.card.fields and name != "history"]
        self.dialogues = "dialogue" in dataset.card.fields
        self.images: list[tuple[str, HashIndex]] = []
        """Images of the splits before, by name of the split."""

    def kept(self, split: PreparedSplit, report: FilterReport) -> Iterator[Row]:
        """Yield the rows that stay; the others are noted in the report."""
        images = self._bad_images(split) if self.options.looks_at_images else {}
        texts: dict[str, tuple[str, str]] = {}
        if self.names and (self.options.looks_at_texts or self.texts is not None):
            texts = self._bad_texts(split, images)
        counts: Counter[str] = Counter()
        for row in range(len(split)):
            problem = images.get(split.image_number(row)) or texts.get(self._key(split, row))
            if problem is None:
                yield split.row(row)
                continue
            counts[problem[0]] += 1
            report.removed.append(RemovedRow(split.name, split.text("id", row), *problem))
        report.splits[split.name] = {"rows": len(split)} | {
            reason: counts[reason] for reason in REASONS if counts[reason]
        }

    def _key(self, split: PreparedSplit, row: int) -> str:
        """Return what holds the rows of a dialogue together; other rows are by themselves."""
        name = split.text("id", row)
        return name.rpartition("-")[0] if self.dialogues else name

    def _bad_texts(
        self, split: PreparedSplit, images: dict[int, tuple[str, str]]
    ) -> dict[str, tuple[str, str]]:
        """Return the dialogues that are left out for their texts, of those whose image is good."""
        bad: dict[str, tuple[str, str]] = {}
        rows = tqdm(range(len(split)), desc=f"{split.name}: texts", unit=" rows", disable=None)
        for key, group in groupby(rows, key=lambda row: self._key(split, row)):
            members = list(group)
            if any(split.image_number(row) not in images for row in members):
                texts = [split.text(name, row) for row in members for name in self.names]
                if problem := self._text_problem(f"{split.name} {key}", texts):
                    bad[key] = problem
        return bad

    def _text_problem(self, name: str, texts: list[str]) -> tuple[str, str] | None:
        if self.options.looks_at_texts:
            share, count = self.words.share(texts)
            enough = share >= self.options.min_medical_share
            if not enough or count < self.options.min_medical_words:
                return NOT_MEDICAL, f"{count} different, {share:.0%} of the words"
        if self.texts is not None and (seen := self.texts.seen(name, texts)):
            return TEXT_COPY, f"of {seen[0]} ({seen[1]:.0%})"
        return None

    def _bad_images(self, split: PreparedSplit) -> dict[int, tuple[str, str]]:
        """Return the images that are left out, by number."""
        bad: dict[int, tuple[str, str]] = {}
        options = self.options
        good, hashes = [], []
        numbers = range(split.num_images)
        for number in tqdm(numbers, desc=f"{split.name}: images", unit=" images", disable=None):
            image = decode_image(split.image(number), where=f"{split.path}: image {number + 1}")
            if min(image.size) < options.min_side:
                bad[number] = SMALL, f"{image.width} x {image.height} pixels"
            elif options.no_blank and is_blank(image):
                bad[number] = BLANK, "almost one grey"
            elif options.no_drawings and is_drawing(image):
                bad[number] = DRAWING, "few colours on a bright background"
            elif options.image_copies is not None:
                good.append(number)
                hashes.append(hash_image(image))
        if options.image_copies is None or not hashes:
            return bad
        own = HashIndex(hashes, threshold=options.image_copies)
        copies: set[int] = set()
        for place, (number, one) in enumerate(zip(good, hashes, strict=True)):
            for name, index in self.images:
                if index.nearest(one) is not None:
                    bad[number] = IMAGE_COPY, f"of an image of {name}"
            # Of copies within the split the first stays, and what is a copy of none that stays.
            if earlier := [n for n in own.copies(one) if n < place and n not in copies]:
                copies.add(place)
                bad.setdefault(number, (IMAGE_COPY, f"of image {good[earlier[0]] + 1}"))
        self.images.append((split.name, own))
        return bad
