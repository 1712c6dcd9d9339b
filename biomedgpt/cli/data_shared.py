"""What commands print: tables, long lists, warnings, and what a prepared dataset holds."""

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from biomedgpt.data.prepared.card import DatasetCard
from biomedgpt.errors import printable
from biomedgpt.tasks import row_kinds

MOST_PROBLEMS = 50
"""Problems and skipped rows printed; dataset.json lists all skipped rows."""
MOST_SHOWN = 10
"""Removed rows printed."""
MOST_CLASSES = 20
"""Classes listed by name."""


def print_card(card: DatasetCard, folder: Path) -> None:
    """Print the summary of a dataset that was just prepared."""
    kinds = sorted({kind for counts in card.answer_types.values() for kind in counts})
    rows = []
    for name, count in card.counts.items():
        types = card.answer_types.get(name, {})
        rows.append([name, count, card.image_counts[name], *(types.get(kind, 0) for kind in kinds)])
    print(table(["split", "rows", "images", *(kind.lower() for kind in kinds)], rows))
    for what, count in card.preparation.get("found_counts", {}).items():
        if what not in card.counts:
            print(f"{what}: {count:,}")
    kind = row_kinds().get(card.task)
    if card.answers and kind is not None and kind.closed:
        more = ["..."] if len(card.answers) > MOST_CLASSES else []
        listed = ", ".join([*card.answers[:MOST_CLASSES], *more])
        print(f"classes: {len(card.answers):,} ({listed})")
    elif card.answers:
        print(f"candidate answers (train and valid only): {len(card.answers):,}")
    for name, coverage in card.answer_coverage.items():
        by_type = [
            f"{kind.lower()} {part['covered']:,} of {part['rows']:,}"
            for kind, part in coverage.get("by_answer_type", {}).items()
        ]
        print(
            f"{name} answers among them: {coverage['covered']:,} of {coverage['rows']:,} "
            f"({', '.join([format(coverage['share'], '.1%'), *by_type])})"
        )
    for heading, counts in card.preparation.get("counts", {}).items():
        parts = [f"{name} {count:,}" for name, count in counts.items()]
        print(f"{heading}: {', '.join(parts) or 'none'}")
    for line in shared_lines(card.leakage["shared_between_splits"], card.task):
        print(line)
    print_limited("skipped", card.preparation["skipped_rows"])
    print(f"prepared: {folder}")


def shared_lines(shared: dict[str, Any], task: str) -> Iterable[str]:
    """Say what two splits share; ``task`` says whether that can be images, and what texts."""
    fields = row_kinds().get(task)
    for pair, counts in shared.items():
        first, second = pair.split("/")
        parts = []
        if fields is None or fields.image:
            on_them = f"{counts['rows_on_shared_images']:,} {second} rows"
            parts.append(f"{counts['images']:,} images ({on_them})")
        if fields is None or fields.source:
            parts.append(f"{counts['questions']:,} {name_of_texts(task)}")
        if parts:
            yield f"{first} and {second} share {' and '.join(parts)}"


def name_of_texts(task: str) -> str:
    """Return what the texts that a task reads are called."""
    fields = row_kinds().get(task)
    return "questions" if fields is None or "question" in fields.source else "texts"


def print_limited(
    what: str, lines: Sequence[str], *, most: int = MOST_PROBLEMS, file: TextIO | None = None
) -> None:
    """Print a count and the first lines, if there are any."""
    if lines:
        print(f"{what}: {len(lines):,}", file=file)
        print_first(lines, len(lines), most=most, file=file)


def print_first(lines: Iterable[str], count: int, *, most: int, file: TextIO | None = None) -> None:
    """Print the first of ``count`` lines, and how many more there are."""
    for line in islice(lines, most):
        print(f"  {printable(line)}", file=file)
    if count > most:
        print(f"  ... and {count - most:,} more", file=file)


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for warning in warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out text in columns; numbers to the right."""
    cells = [
        [f"{cell:,}" if isinstance(cell, int) else printable(str(cell)) for cell in row]
        for row in rows
    ]
    columns = list(zip(header, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [
        all(cell.replace(",", "").isdigit() for cell in column[1:]) and bool(cells)
        for column in columns
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in (header, *cells)
    )
