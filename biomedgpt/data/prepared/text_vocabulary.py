"""The text vocabulary that a prepared dataset brings, for small models."""

import math
from pathlib import Path

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.tasks import get_task

VOCABULARY_FOLDER = "vocabulary"
VOCABULARY_SIZES = {1_000_000: 2000, 10_000_000: 8000}
"""Text entries of the vocabulary that a dataset brings, by how many characters it is trained on.

The largest key also bounds how much text is looked at: rows are then taken at even distances."""


def write_vocabulary(folder: Path) -> None:
    """Train a text vocabulary on the training split of a prepared dataset, for small models.

    It goes to ``folder/vocabulary``; a dataset without a training split gets none. Sources are
    written as the task writes them, so that the pieces fit what the model will read; validation
    and test texts are not looked at.
    """
    # Imported here: its tokenizers take a while to import.
    from biomedgpt.vocabulary import Vocabulary

    dataset = PreparedDataset(folder)
    task = get_task(dataset.card.task)
    # A cross-validation has one vocabulary; every fold is training data of most of its runs.
    names = [name for name in dataset.splits if name == "train"] or dataset.folds
    if not names:
        return
    texts: list[str] = []
    for name in names:
        split = dataset.split(name)
        size = sum(split.text_bytes(field) for field in split.fields)
        step = max(1, math.ceil(size * len(names) / max(VOCABULARY_SIZES)))
        for row in range(0, len(split), step):
            example = {field: split.text(field, row) for field in split.fields}
            texts += [f" {task.instruction(example)}", f" {task.target(example)}"]
    length = sum(map(len, texts))
    entries = next(
        (n for most, n in VOCABULARY_SIZES.items() if length <= most),
        max(VOCABULARY_SIZES.values()),
    )
    Vocabulary.train_sentencepiece(texts, size=entries).save(folder / VOCABULARY_FOLDER)
