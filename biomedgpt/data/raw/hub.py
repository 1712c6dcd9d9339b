"""Downloads from the public hub: a few Parquet files per split."""

from collections.abc import Sequence
from pathlib import Path

from biomedgpt.data.raw.tables import parquet_shards
from biomedgpt.errors import DataError

SPLIT_NAMES = {
    "train": ("train",),
    "valid": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What our splits are called there."""


def hub_shards(raw: Path, *, needed: Sequence[str], dataset: str) -> dict[str, list[Path]]:
    """Return the Parquet files of each split, by our names; empty where there are none at all.

    Raises:
        DataError: some splits are there, and others of ``needed`` are not.
    """
    found = {
        split: next(filter(None, (parquet_shards(raw, name) for name in names)), [])
        for split, names in SPLIT_NAMES.items()
    }
    shards = {split: paths for split, paths in found.items() if paths}
    missing = [f"{SPLIT_NAMES[split][0]}-*.parquet" for split in needed if split not in shards]
    if shards and missing:
        raise DataError(
            f"{raw}: no {' and '.join(missing)} beside {next(iter(shards.values()))[0].name}; "
            f"give the whole download of {dataset}"
        )
    return shards
