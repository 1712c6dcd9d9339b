"""Where the project lies, where real data lies, and a skip that says what is missing."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("BIOMEDGPT_SHARED", ROOT.parent / "shared"))


def require(path: Path, what: str) -> Path:
    """Return ``path`` or skip the test, naming the real data it needs."""
    if not path.exists():
        pytest.skip(f"needs {what} at {path}")
    return path
