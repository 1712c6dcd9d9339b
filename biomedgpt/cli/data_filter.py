"""`biomedgpt data filter`: leave out what is not worth training on."""

import argparse
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import MOST_SHOWN, print_first, table
from biomedgpt.data.cleaning.filter import (
    REASONS,
    REMOVED_FILE,
    FilterOptions,
    FilterReport,
    filter_dataset,
)


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
    option.path(parser, "folder", "DATASET", "prepared dataset")
    option.path(parser, "--out", "DIR", "folder of the filtered copy")
    what = "least share of the words that are medical"
    option.number(parser, "--min-medical-share", "F", what, default=0.0)
    what = "least number of different medical words"
    option.integer(parser, "--min-medical-words", "N", what, default=0)
    option.path(parser, "--medical-words", "FILE", "further medical words, one on each line")
    what = "least width and height of an image (HuatuoGPT-Vision: 336)"
    option.integer(parser, "--min-side", "PIXELS", what, default=0)
    option.flag(parser, "--no-blank", "remove images of almost one grey")
    option.flag(parser, "--no-drawings", "remove charts, tables and diagrams")
    what = "remove texts that share so many of their runs of words with an earlier one (0.8)"
    option.number(parser, "--near-duplicates", "F", what, default=0.0)
    what = "remove images whose perceptual hash differs from an earlier one's in so few bits (8)"
    option.integer(parser, "--image-copies", "BITS", what)
    option.overwrite(parser)
    parser.set_defaults(func=run_filter)


def run_filter(args: argparse.Namespace) -> None:
    """Filter, write and print what was removed."""
    options = option.call(FilterOptions, args)
    report = filter_dataset(args.folder, out=args.out, options=options)
    _print_report(report)
    if args.out is None:
        print("only looked: nothing was written (no --out)")
    else:
        print(f"removed rows: {args.out / REMOVED_FILE}")
        print(f"prepared: {args.out}")


def _print_report(report: FilterReport) -> None:
    reasons = [name for name in REASONS if any(name in one for one in report.splits.values())]
    rows = []
    for name, counts in report.splits.items():
        removed = [counts.get(reason, 0) for reason in reasons]
        rows.append([name, counts["rows"], *removed, counts["rows"] - sum(removed)])
    print(table(["split", "rows", *reasons, "left"], rows))
    lines = [f"{one.split} {one.id}: {one.reason} ({one.detail})" for one in report.removed]
    print_first(lines, len(lines), most=MOST_SHOWN)
