"""From a raw release to a prepared dataset, the same way for every dataset.

A dataset's module has one function::

    def read(raw: Path, *, options: PrepareOptions, skipped: Skipped) -> RawDataset

It knows the official layout and nothing about how rows are stored.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biomedgpt.data.card import VQA_FIELDS, DatasetCard, DatasetFacts
from biomedgpt.data.prepared import PreparedDataset
from biomedgpt.data.registry import DatasetSpec, get_spec
from biomedgpt.data.rows import Row, Skipped
from biomedgpt.data.writer import staged_folder, write_splits
from biomedgpt.errors import ConfigError

VOCABULARY_FOLDER = "vocabulary"
VOCABULARY_SIZE = 2000
"""Text entries of the vocabulary that a prepared dataset brings for training from scratch."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Options of ``biomedgpt data prepare``.

    Attributes:
        skip_bad: leave rows out that cannot be used, instead of stopping at the first.
        overwrite: replace a prepared dataset that is there.
        valid_fraction: share of the training questions to hold out where a dataset has no
            official validation split; 0 makes none.
        seed: of everything drawn at random.
        vocabulary: also train a SentencePiece vocabulary on the training texts.
        images: images for train, valid and test, where a dataset is generated.
        image_size: their pixels along one side.
    """

    skip_bad: bool = False
    overwrite: bool = False
    valid_fraction: float = 0.0
    seed: int = 1
    vocabulary: bool = True
    images: tuple[int, int, int] | None = None
    image_size: int | None = None


@dataclass(frozen=True)
class RawDataset:
    """What a reader hands over.

    Attributes:
        splits: rows by split, training split first.
        fields: names of the rows' text fields.
        answers: class names, where they are fixed.
        cleaning: what was changed in the text, one sentence each.
        found: counts of the raw release, by the names used in the registry.
    """

    splits: Mapping[str, Iterable[Row]]
    fields: tuple[str, ...] = VQA_FIELDS
    answers: tuple[str, ...] | None = None
    cleaning: tuple[str, ...] = ()
    found: Mapping[str, int] = field(default_factory=dict)


def prepare(name: str, *, raw: Path | None, out: Path, options: PrepareOptions) -> DatasetCard:
    """Prepare a dataset by name; ``out`` appears only when everything is in it.

    Raises:
        ConfigError: unknown dataset, no raw folder given, or ``out`` is taken.
        DataError: the raw files are missing, of another dataset, or have a bad row.
    """
    spec = get_spec(name)
    module: Any = importlib.import_module(spec.module)
    if spec.access == "generated":
        if raw is not None or options.skip_bad or options.valid_fraction:
            raise ConfigError(
                f"{name} is generated: leave out --raw, --skip-bad and --valid-fraction"
            )
        counts = dict(zip(("train", "valid", "test"), options.images or (), strict=False))
        size = {"size": options.image_size} if options.image_size is not None else {}
        generated: DatasetCard = module.write_phantoms(
            out,
            **counts,
            **size,
            seed=options.seed,
            vocabulary=options.vocabulary,
            overwrite=options.overwrite,
        )
        return generated
    if options.images is not None or options.image_size is not None:
        raise ConfigError(f"{name} is not generated: leave out --images and --image-size")
    if raw is None:
        raise ConfigError(f"{name} needs --raw DIR, the folder of the official release")
    skipped = Skipped(allowed=options.skip_bad)
    with staged_folder(out, overwrite=options.overwrite) as staged:
        dataset: RawDataset = module.read(raw, options=options, skipped=skipped)
        facts = DatasetFacts(
            name=spec.name,
            task=spec.task,
            source=spec.source,
            licence=spec.licence,
            fields=dataset.fields,
            answers=dataset.answers,
            cleaning=dataset.cleaning,
        )
        card = write_splits(
            staged,
            facts,
            dataset.splits,
            skipped=skipped,
            preparation={"valid_fraction": options.valid_fraction, "seed": options.seed},
        )
        card.preparation["expected_counts"] = dict(spec.expected)
        card.preparation["found_counts"] = _found_counts(spec, card, dataset.found)
        card.save(staged)
        if options.vocabulary:
            write_vocabulary(staged)
    return card


def count_differences(card: DatasetCard) -> list[str]:
    """Say, one line each, which counts are not those of the official release."""
    found = card.preparation.get("found_counts", {})
    return [
        f"{card.name}: {found.get(name, 0):,} {name}, the official release has {count:,}"
        for name, count in card.preparation.get("expected_counts", {}).items()
        if found.get(name, 0) != count
    ]


def write_vocabulary(folder: Path) -> None:
    """Train a text vocabulary on the training split of a prepared dataset, for small models.

    It goes to ``folder/vocabulary``. Sources are written as the task writes them, so that the
    pieces fit what the model will read; validation and test texts are not looked at.
    """
    # Both need torch, which nothing else in preparing data does.
    from biomedgpt.tasks import get_task
    from biomedgpt.vocabulary import Vocabulary

    dataset = PreparedDataset(folder)
    task = get_task(dataset.card.task)
    train = dataset.split("train")
    columns = [train.column(name) for name in train.fields]
    texts = []
    for values in zip(*columns, strict=True):
        example = dict(zip(train.fields, values, strict=True))
        texts += [f" {task.instruction(example)}", f" {task.target(example)}"]
    Vocabulary.train_sentencepiece(texts, size=VOCABULARY_SIZE).save(folder / VOCABULARY_FOLDER)


def _found_counts(
    spec: DatasetSpec, card: DatasetCard, reported: Mapping[str, int]
) -> dict[str, int]:
    """Count what the registry states expectations for."""
    found = dict(reported) | card.counts
    for split, kinds in card.answer_types.items():
        found |= {f"{split} {kind}": count for kind, count in kinds.items()}
    if card.preparation["valid_fraction"]:
        found["train"] += card.counts.get("valid", 0)
    return {name: found.get(name, 0) for name in spec.expected}
