"""Writing a dataset again with some of its rows."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from biomedgpt.data.prepared.card import DatasetCard, DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.data.prepared.writer import write_splits
from biomedgpt.data.rows import Row
from biomedgpt.tasks import row_kinds


def write_subset(
    folder: Path,
    dataset: PreparedDataset,
    rows: Mapping[str, Iterable[Row]],
    *,
    preparation: Mapping[str, Any],
) -> DatasetCard:
    """Write rows of a prepared dataset as one of the same name, with its vocabulary.

    Candidate answers are those of the rows that stay; the classes of closed tasks are kept.

    Args:
        folder: where to write; it exists.
        dataset: what the rows are of.
        rows: those that stay, by split.
        preparation: what was done, added to what the card says about its preparation.
    """
    card = dataset.card
    kinds = row_kinds()
    closed = card.task in kinds and kinds[card.task].closed
    facts = DatasetFacts(
        name=card.name,
        task=card.task,
        source=card.source,
        licence=card.licence,
        fields=tuple(card.fields),
        answers=tuple(card.answers) if closed else None,
        cleaning=tuple(card.cleaning),
    )
    new = write_splits(folder, facts, dict(rows), checked=True)
    new.preparation = {**card.preparation, **preparation}
    new.save(folder)
    if (dataset.folder / VOCABULARY_FOLDER).is_dir():
        shutil.copytree(dataset.folder / VOCABULARY_FOLDER, folder / VOCABULARY_FOLDER)
    return new
