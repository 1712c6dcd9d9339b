"""The hub's copies of VQA-RAD, SLAKE and PathVQA: images, questions and answers only."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from biomedgpt.data.raw.hub import hub_shards
from biomedgpt.data.raw.tables import parquet_image, read_parquet
from biomedgpt.data.raw.vqa_rows import is_unanswered, vqa_row
from biomedgpt.data.rows import Row, Skipped, clean_text, hold_out
from biomedgpt.data.spec import RawDataset, Release

HUB_COLUMNS = ("image", "question", "answer")


def read_hub(
    release: Release,
    *,
    expected: Mapping[str, int],
    cleaning: tuple[str, ...],
    lower_answers: bool = False,
    unanswered: str = "",
) -> RawDataset | None:
    """Return what a hub download holds; None where there is none. Ids count a split's rows from 1.

    Args:
        release: the raw folder with the download.
        expected: counts of rows of all its splits.
        cleaning: what was changed in the text.
        lower_answers: put answers in lower case.
        unanswered: a question that the release is known to have without an answer; such rows are
            left out.

    Raises:
        DataError: a split is missing.
    """
    shards = hub_shards(release.folder, needed=tuple(expected), dataset=release.spec.name)
    if not shards:
        return None

    def rows(split: str, skipped: Skipped) -> Iterator[Row]:
        for number, record in enumerate(read_parquet(shards[split], columns=HUB_COLUMNS), start=1):
            if is_unanswered(record, unanswered):
                continue
            with skipped.catching():
                question = clean_text(record.text("question"))
                answer = clean_text(record.text("answer"))
                answer = answer.lower() if lower_answers else answer
                image = parquet_image(record.values["image"], where=record.where)
                yield vqa_row(record.where, (image, ""), f"{split}-{number}", question, answer)

    found: dict[str, Iterable[Row]] = {split: rows(split, release.skipped) for split in expected}
    fraction = release.options.valid_fraction
    if fraction and "valid" not in expected:
        # Read three times, so that memory holds no more than a digest per row. What is bad is noted
        # once, with the rows that are kept.
        quiet = Skipped(allowed=True)
        digests = [(row.fields["id"], _digest(row)) for row in rows("train", quiet)]
        _, chosen = hold_out(digests, fraction, seed=release.options.seed, group=itemgetter(1))
        held = dict(chosen)
        kept = (row for row in rows("train", release.skipped) if row.fields["id"] not in held)
        held_out = (row for row in rows("train", quiet) if row.fields["id"] in held)
        found = {"train": kept, "valid": held_out, "test": found["test"]}
    return RawDataset(
        splits=found,
        cleaning=cleaning,
        expected=expected,
        preparation={"layout": "hub"},
    )


def _digest(row: Row) -> str:
    assert isinstance(row.image, bytes)
    return hashlib.sha256(row.image).hexdigest()
