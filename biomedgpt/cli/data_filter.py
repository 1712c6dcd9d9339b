"""`biomedgpt data filter`: leave out what is not worth training on."""

import argparse
from pathlib import Path
from typing import Any

from biomedgpt.cli.data_shared import table
from biomedgpt.data.cleaning.filter import (
    REASONS,
    REMOVED_FILE,
    FilterOptions,
    FilterReport,
    filter_dataset,
)

MOST_SHOWN = 10
"""Removed rows that are printed."""


def add_filter_parser(commands: Any) -> None:
    """Add ``filter``."""
    parser = commands.add_parser(
        "filter",
        help="remove rows with useless texts or images, and near-duplicates",
        description="Write a copy of a prepared dataset without the rows that the given filters "
        "remove; without --out it only looks. Texts of a dialogue are judged together. Test sets "
        "are kept out by `biomedgpt data decontaminate`.",
        epilog="example: biomedgpt data filter pubmedvision --min-medical-words 3 --min-side 336 "
        "--no-blank --no-drawings --near-duplicates 0.8 --out pubmedvision-filtered",
    )
    parser.add_argument("folder", type=Path, metavar="DATASET", help="prepared dataset")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the filtered copy")
    parser.add_argument(
        "--min-medical-share",
        type=float,
        default=0.0,
        metavar="F",
        help="least share of the words that are medical",
    )
    parser.add_argument(
        "--min-medical-words",
        type=int,
        default=0,
        metavar="N",
        help="least number of different medical words",
    )
    parser.add_argument(
        "--medical-words",
        type=Path,
        metavar="FILE",
        help="further medical words, one on each line",
    )
    parser.add_argument(
        "--min-side",
        type=int,
        default=0,
        metavar="PIXELS",
        help="least width and height of an image (HuatuoGPT-Vision: 336)",
    )
    parser.add_argument("--no-blank", action="store_true", help="remove images of almost one grey")
    parser.add_argument(
        "--no-drawings", action="store_true", help="remove charts, tables and diagrams"
    )
    parser.add_argument(
        "--near-duplicates",
        type=float,
        default=0.0,
        metavar="F",
        help="remove texts that share so many of their runs of words with an earlier one (0.8)",
    )
    parser.add_argument(
        "--image-copies",
        type=int,
        metavar="BITS",
        help="remove images whose perceptual hash differs from an earlier one's in so few bits (8)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the prepared dataset in --out"
    )
    parser.set_defaults(func=run_filter)


def run_filter(args: argparse.Namespace) -> int:
    """Filter, write and print what was removed."""
    options = FilterOptions(
        min_medical_share=args.min_medical_share,
        min_medical_words=args.min_medical_words,
        medical_words=args.medical_words,
        min_side=args.min_side,
        no_blank=args.no_blank,
        no_drawings=args.no_drawings,
        near_duplicates=args.near_duplicates,
        image_copies=args.image_copies,
        overwrite=args.overwrite,
    )
    report = filter_dataset(args.folder, out=args.out, options=options)
    _print_report(report)
    if args.out is None:
        print("only looked: nothing was written (no --out)")
    else:
        print(f"removed rows: {args.out / REMOVED_FILE}")
        print(f"prepared: {args.out}")
    return 0


def _print_report(report: FilterReport) -> None:
    reasons = [name for name in REASONS if any(name in one for one in report.splits.values())]
    rows = [
        [
            name,
            f"{counts['rows']:,}",
            *(f"{counts.get(reason, 0):,}" for reason in reasons),
            f"{counts['rows'] - sum(counts.get(reason, 0) for reason in reasons):,}",
        ]
        for name, counts in report.splits.items()
    ]
    print(table(["split", "rows", *reasons, "left"], rows))
    for one in report.removed[:MOST_SHOWN]:
        print(f"  {one.split} {one.id}: {one.reason} ({one.detail})")
    if len(report.removed) > MOST_SHOWN:
        print(f"  ... and {len(report.removed) - MOST_SHOWN:,} more")
