"""From a raw release to a prepared dataset, the same way for every dataset.

A dataset's reader (`biomedgpt.data.readers`) knows the official layout and nothing about how rows
are stored; here it is the other way round.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

from biomedgpt.data.phantoms.phantom_dataset import write_phantoms
from biomedgpt.data.prepared.card import DatasetCard, DatasetFacts
from biomedgpt.data.prepared.text_vocabulary import write_vocabulary
from biomedgpt.data.prepared.writer import staged_folder, write_splits
from biomedgpt.data.registry import get_spec
from biomedgpt.data.rows import Row, Skipped
from biomedgpt.data.spec import DatasetSpec, PrepareOptions, Release
from biomedgpt.errors import ConfigError, DataError


def prepare(name: str, *, raw: Path | None, out: Path, options: PrepareOptions) -> DatasetCard:
    """Prepare a dataset by name; ``out`` appears only when everything is in it.

    Raises:
        ConfigError: unknown dataset, no raw folder given, or ``out`` is taken.
        DataError: the raw files are missing, of another dataset, or have a bad row.
    """
    spec = get_spec(name)
    if spec.read is None:
        return _generate(spec, raw=raw, out=out, options=options)
    options = _check_options(spec, options)
    if raw is None:
        raise ConfigError(f"{name} needs --raw DIR, the folder of the official release")
    skipped = Skipped(allowed=options.skip_bad)
    release = Release(raw, spec, options, skipped)
    with staged_folder(out, overwrite=options.overwrite) as staged:
        if options.download and spec.download is not None:
            spec.download(release)
        elif not raw.is_dir():
            raise DataError(f"{raw}: no such folder; give the official release of {name}")
        dataset = spec.read(release)
        fields, splits = _look_at_fields(dataset.splits)
        facts = DatasetFacts(
            name=spec.name,
            task=spec.task,
            source=spec.source,
            licence=spec.licence,
            fields=fields,
            answers=dataset.answers,
            cleaning=dataset.cleaning,
        )
        choices = {"valid_fraction": options.valid_fraction, "seed": options.seed}
        card = write_splits(
            staged,
            facts,
            splits,
            skipped=skipped,
            preparation=choices | dict(dataset.preparation),
        )
        expected = spec.expected if dataset.expected is None else dataset.expected
        card.preparation["expected_counts"] = dict(expected)
        card.preparation["found_counts"] = _found_counts(expected, card, dataset.found)
        if dataset.counts:
            card.preparation["counts"] = {
                heading: dict(counts) for heading, counts in dataset.counts.items()
            }
        for name, lines in dataset.lists.items():
            if content := "".join(f"{line}\n" for line in lines):
                (staged / name).write_text(content, encoding="utf-8")
        card.save(staged)
        if options.vocabulary:
            write_vocabulary(staged)
    return card


def _look_at_fields(
    splits: Mapping[str, Iterable[Row]],
) -> tuple[tuple[str, ...], Mapping[str, Iterable[Row]]]:
    """Return the names of the fields of the first row, and all rows."""
    name, rows = next((name, iter(rows)) for name, rows in splits.items())
    first = next(rows, None)
    if first is None:
        return ("id",), splits
    return tuple(first.fields), {**splits, name: chain([first], rows)}


def _check_options(spec: DatasetSpec, options: PrepareOptions) -> PrepareOptions:
    """Refuse options that mean nothing for this dataset; fill in its own defaults."""
    if options.images is not None:
        raise ConfigError(f"{spec.name} is not generated: leave out --images")
    if options.download and spec.download is None:
        raise ConfigError(f"{spec.name} cannot be downloaded from here; get it from {spec.source}")
    if options.image_size is not None and options.image_size not in spec.image_sizes:
        known = ", ".join(map(str, spec.image_sizes))
        raise ConfigError(
            f"--image-size {options.image_size}: {spec.name} comes in {known} pixels"
            if known
            else f"{spec.name} comes in one size: leave out --image-size"
        )
    if options.part is not None and options.part not in spec.parts:
        raise ConfigError(
            f"--part {options.part}: {spec.name} has the parts {', '.join(spec.parts)}"
            if spec.parts
            else f"{spec.name} comes in one part: leave out --part"
        )
    if options.valid_fraction and spec.valid_fraction is None:
        raise ConfigError(f"{spec.name} has its own validation split: leave out --valid-fraction")
    fraction = options.valid_fraction
    if fraction is None:
        fraction = spec.valid_fraction or 0.0
    size = options.image_size or next(iter(spec.image_sizes), None)
    part = options.part or next(iter(spec.parts), None)
    return replace(options, valid_fraction=fraction, image_size=size, part=part)


def _generate(
    spec: DatasetSpec, *, raw: Path | None, out: Path, options: PrepareOptions
) -> DatasetCard:
    """Draw the phantoms."""
    if raw or options.skip_bad or options.valid_fraction or options.download or options.part:
        raise ConfigError(
            f"{spec.name} is generated: leave out --raw, --skip-bad, --valid-fraction, --download, "
            "--part"
        )
    counts = dict(zip(("train", "valid", "test"), options.images or (), strict=False))
    size = {"size": options.image_size} if options.image_size is not None else {}
    return write_phantoms(
        out,
        **counts,
        **size,
        seed=options.seed,
        vocabulary=options.vocabulary,
        overwrite=options.overwrite,
    )


def count_differences(card: DatasetCard) -> list[str]:
    """Say, one line each, which counts are not those of the official release."""
    found = card.preparation.get("found_counts", {})
    return [
        f"{card.name}: {found.get(name, 0):,} {name}, the official release has {count:,}"
        for name, count in card.preparation.get("expected_counts", {}).items()
        if found.get(name, 0) != count
    ]


def _found_counts(
    expected: Iterable[str], card: DatasetCard, reported: Mapping[str, int]
) -> dict[str, int]:
    """Count what there are expectations for."""
    found = dict(reported) | card.counts
    for split, kinds in card.answer_types.items():
        found |= {f"{split} {kind}": count for kind, count in kinds.items()}
    if card.preparation["valid_fraction"] and "train" in found:
        found["train"] += card.counts.get("valid", 0)
    return {name: found.get(name, 0) for name in expected}
