"""All releases by name."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import raw_releases


def builders() -> dict[str, Callable[[Path], None]]:
    """Return what builds each dataset's release."""
    found: dict[str, Callable[[Path], None]] = {}
    for module in pkgutil.iter_modules(raw_releases.__path__):
        if module.name not in ("__main__", "all", "drawing"):
            found |= importlib.import_module(f"raw_releases.{module.name}").BUILDERS
    return found


def build(name: str, folder: Path) -> Path:
    """Write the release of a dataset into ``folder``, which is made."""
    folder.mkdir(parents=True)
    builders()[name](folder)
    return folder
