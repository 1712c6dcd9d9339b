"""Which rows of one's own tables are for training, validation and test."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from biomedgpt.data.raw.table_files import quote
from biomedgpt.data.rows import hold_out
from biomedgpt.errors import ConfigError, DataError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
"""Names of splits that are understood, in any case."""
ORDER = ("train", "valid", "test")

Tables = Mapping[str, Path]
"""Tables by split; the only table of all splits has the key ``ALL``."""
ALL = ""


def parse_tables(items: Iterable[str]) -> dict[str, Path]:
    """Parse ``FILE`` or several ``SPLIT=FILE``.

    Raises:
        ConfigError: an unknown split, one given twice, or several tables without a split.
    """
    tables: dict[str, Path] = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or (name.lower() not in SPLIT_NAMES and Path(item).exists()):
            name, path = ALL, item
        elif name.lower() not in SPLIT_NAMES or not path:
            raise ConfigError(
                f"--table {item}: give FILE or SPLIT=FILE; splits are {', '.join(SPLIT_NAMES)}"
            )
        split = SPLIT_NAMES.get(name.lower(), ALL)
        if split in tables:
            which = f"the split {split} twice" if split else "two tables without a split"
            raise ConfigError(
                f"--table {item}: {which}; give one table, or one for each split as SPLIT=FILE"
            )
        tables[split] = Path(path)
    if ALL in tables and len(tables) > 1:
        raise ConfigError(
            f"--table {tables[ALL]}: give one table, or one for each split as SPLIT=FILE"
        )
    return {split: tables[split] for split in (ALL, *ORDER) if split in tables}


def split_of(text: str, *, where: str) -> str:
    """Return the split that a table's value names; DataError when it is none."""
    if text.lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: split {quote(text)} is none of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[text.lower()]


def check_fractions(valid: float, test: float) -> None:
    """Raise a ConfigError unless both are shares that leave rows for training."""
    for option, share in (("--valid-fraction", valid), ("--test-fraction", test)):
        if not 0.0 <= share < 1.0:
            raise ConfigError(f"{option} must be at least 0 and below 1, not {share}")
    if valid + test >= 1.0:
        raise ConfigError(
            f"--valid-fraction {valid} and --test-fraction {test} leave nothing for training"
        )


def draw_splits(keys: list[str], *, valid: float, test: float, seed: int, by: str) -> list[str]:
    """Return a split per row, drawn so that rows with the same key share theirs.

    Args:
        keys: group of each row.
        valid: share of all rows for validation.
        test: share of all rows for test.
        seed: of the draw.
        by: what the groups are, for messages.

    Raises:
        ConfigError: there are too few groups for these shares.
    """
    rows = range(len(keys))
    groups = len(set(keys))
    try:
        rest, for_test = hold_out(rows, test, seed=seed, group=keys.__getitem__)
        # Of the rest it is a larger share, which rounding must not push above a whole row.
        share = max(0.0, valid * len(rows) / max(1, len(rest)) - 1e-9)
        rest, for_valid = hold_out(rest, share, seed=seed, group=keys.__getitem__)
    except ConfigError as error:
        raise ConfigError(
            f"{len(rows):,} rows of {groups:,} different values of {by} cannot be divided into "
            f"valid {valid}, test {test} and a rest for training; give other fractions, or name "
            "the split of each row"
        ) from error
    splits = ["train"] * len(rows)
    for name, members in (("valid", for_valid), ("test", for_test)):
        for row in members:
            splits[row] = name
    return splits
