"""What a prepared dataset says of itself: ``dataset.json``."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from biomedgpt.data.prepared.arrays import check_version
from biomedgpt.errors import DataError, machine_fault
from biomedgpt.files import json_hash, write_json

FORMAT = "biomedgpt-prepared"
FORMAT_VERSION = 2
CARD_FILE = "dataset.json"
FIX = "prepare the dataset again"
"""What to do about a dataset that is damaged."""
CARD_HASH = "card_hash"
"""Key of the card's own hash, SHA-256 (hex) of all else in it; from version 2."""
SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]*")
VQA_FIELDS = (
    "id",
    "question",
    "answer",
    "answer_type",
    "question_type",
    "object",
    "references",
    "image_name",
)


@dataclass(frozen=True)
class DatasetFacts:
    """What a reader knows about its dataset before the first row is written."""

    name: str
    """Short name, as in ``biomedgpt data prepare NAME``."""
    task: str
    """Name of the task its rows are for."""
    source: str
    """Where the raw files come from."""
    licence: str
    """Licence of the data, not of this code."""
    fields: tuple[str, ...] = VQA_FIELDS
    """Names of the text fields of every row; ``id`` first."""
    answers: tuple[str, ...] | None = None
    """Class names, where they are fixed; ``None`` collects the candidate answers of the ``answer``
    field from train and valid."""
    cleaning: tuple[str, ...] = ()
    """What was changed in the text, one sentence each."""


@dataclass
class DatasetCard:
    """Content of ``dataset.json``; see also `DatasetFacts`."""

    name: str
    task: str
    source: str
    licence: str
    fields: list[str]
    counts: dict[str, int]
    """Rows per split."""
    image_counts: dict[str, int]
    """Distinct images per split."""
    image_size: dict[str, list[int]]
    """``{"min": [width, height], "median": ..., "max": ...}`` over distinct images as stored, or
    empty without images."""
    answer_types: dict[str, dict[str, int]]
    """Rows per answer type (OPEN, CLOSED) per split."""
    answer_coverage: dict[str, dict[str, Any]]
    """Per other split, rows whose answer is among `answers`."""
    majority_answer: str
    """Commonest training answer."""
    majority_answers: dict[str, str]
    """The same by question type; see `biomedgpt.data.prepared.summary`."""
    leakage: dict[str, Any]
    """See `biomedgpt.data.prepared.summary.leakage`."""
    cleaning: list[str]
    preparation: dict[str, Any]
    """Options, rows skipped and why, expected and found counts."""
    hashes: dict[str, str]
    """SHA-256 of each split file."""
    answers: list[str]
    """Candidate answers from train and valid, by first appearance, or class names."""
    format_version: int = FORMAT_VERSION
    """Version of this layout."""

    def save(self, folder: Path) -> None:
        """Write ``dataset.json`` in ``folder``, atomically."""
        content = asdict(self)
        if self.format_version > 1:
            content[CARD_HASH] = hash_of(content)
        write_json(folder / CARD_FILE, content)

    @classmethod
    def load(cls, folder: Path) -> "DatasetCard":
        """Read ``dataset.json`` of ``folder``.

        Raises:
            DataError: it is missing, not one, or was changed since it was written (cards of version
                1 do not show that).
        """
        path = folder / CARD_FILE

        def bad(what: str) -> DataError:
            return DataError(f"{path}: {what}; {FIX}")

        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(
                f"{folder} is not a prepared dataset (no {CARD_FILE}); make one with "
                "`biomedgpt data prepare`"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            if machine_fault(error) is not None:
                raise
            raise bad(f"cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise bad("not a JSON object")
        version: Any = content.get("format_version")
        check_version(version, FORMAT_VERSION, where=path, fix=FIX)
        stated = content.pop(CARD_HASH, "") if version > 1 else None
        expected = get_type_hints(cls)
        if content.keys() != expected.keys():
            wrong = ", ".join(sorted(content.keys() ^ expected.keys()))
            raise bad(f"missing or unknown keys: {wrong}")
        for key, value in content.items():
            kind = expected[key]
            if not _fits(value, kind):
                name = kind.__name__ if isinstance(kind, type) else kind
                raise bad(f"{key} should be a {name}")
        if stated is not None and stated != hash_of(content):
            raise DataError(
                f"{path}: changed since it was written (its own hash differs); copy or prepare the "
                "dataset again"
            )
        return cls(**content)


def hash_of(content: dict[str, Any]) -> str:
    """Return the hash that a card has as its own: over all in it but that."""
    return json_hash({key: value for key, value in content.items() if key != CARD_HASH})


def _fits(value: Any, kind: Any) -> bool:
    """Say whether a value from JSON is of the type that a field of the card is annotated with."""
    if kind is Any:
        return True
    container, inner = get_origin(kind), get_args(kind)
    if container is list:
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if container is dict:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    return type(value) is kind
