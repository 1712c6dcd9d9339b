"""Writing a dataset again with some of its rows."""

import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.data.prepared.writer import staged_folder, write_splits
from biomedgpt.data.rows import Row
from biomedgpt.errors import ConfigError
from biomedgpt.tasks import row_kinds


@contextmanager
def subset_folder(
    dataset: PreparedDataset, out: Path | None, *, overwrite: bool
) -> Iterator[Path | None]:
    """Give a folder for `write_subset` that becomes ``out`` at the end; None without ``out``.

    Entered before the rows are looked for: a folder that is taken should not cost the search.

    Raises:
        ConfigError: ``out`` is taken, or is the dataset itself.
    """
    if out is None:
        yield None
        return
    if out.resolve() == dataset.folder.resolve():
        raise ConfigError(f"{out} is the dataset itself; give another output folder")
    with staged_folder(out, overwrite=overwrite) as staged:
        yield staged


def write_subset(
    folder: Path | None,
    dataset: PreparedDataset,
    rows: Mapping[str, Iterable[Row]],
    *,
    preparation: Mapping[str, Any],
) -> None:
    """Write rows of a prepared dataset as one of the same name, with its vocabulary.

    Candidate answers are those of the rows that stay; the classes of closed tasks are kept.

    Args:
        folder: where to write; it exists. None only goes through the rows.
        dataset: what the rows are of.
        rows: those that stay, by split.
        preparation: what was done, added to what the card says about its preparation.
    """
    if folder is None:
        for split_rows in rows.values():
            deque(split_rows, maxlen=0)
        return
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
