"""MedMNIST files, at 28 pixels unless told."""

import functools
from pathlib import Path

import numpy as np

COUNTS = {"train": 12, "val": 4, "test": 6}
NAMES = (
    "pathmnist",
    "dermamnist",
    "octmnist",
    "pneumoniamnist",
    "breastmnist",
    "bloodmnist",
    "organcmnist",
)


def arrays(name: str, *, size: int = 28, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the arrays of a small release; every class occurs in the training split."""
    from medmnist import INFO

    info = INFO[name]
    draw = np.random.default_rng(seed)
    shape = (size, size, 3) if info["n_channels"] == 3 else (size, size)
    result = {}
    for split, count in COUNTS.items():
        result[f"{split}_images"] = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % len(info["label"])
        result[f"{split}_labels"] = labels[:, None]
    return result


def _build(name: str, folder: Path) -> None:
    np.savez_compressed(folder / f"{name}.npz", **arrays(name))


BUILDERS = {name: functools.partial(_build, name) for name in NAMES}
