"""`biomedgpt data decontaminate`: keep the test sets of benchmarks out of a corpus."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from biomedgpt.cli.data_shared import table
from biomedgpt.data.cleaning.decontaminate import (
    DecontaminateOptions,
    DecontaminationReport,
    decontaminate,
)
from biomedgpt.files import atomic_path

MOST_SHOWN = 10
"""Removed rows that are printed."""


def add_decontaminate_parser(commands: Any) -> None:
    """Add ``decontaminate``."""
    parser = commands.add_parser(
        "decontaminate",
        help="remove what benchmarks test on from a dataset",
        description="Write a copy of a prepared dataset without the rows whose image or text is in "
        "the test set of a benchmark: images by perceptual hashes, texts by runs of words in "
        "common. Without --out it only looks.",
        epilog="example: biomedgpt data decontaminate pmc --against vqa-rad slake --out pmc-clean; "
        "--ngram 13 is the rule of GPT-3, --ngram 8 --share 0.7 that of PaLM",
    )
    defaults = DecontaminateOptions()
    parser.add_argument("folder", type=Path, metavar="DATASET", help="prepared dataset")
    parser.add_argument(
        "--against", type=Path, nargs="+", required=True, metavar="DIR", help="prepared benchmarks"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the cleaned copy")
    parser.add_argument("--report", type=Path, metavar="FILE", help="what was found, as JSON")
    parser.add_argument(
        "--splits",
        nargs="+",
        default=list(defaults.splits),
        metavar="SPLIT",
        help="splits to keep out (default: test); all folds of a cross-validation are",
    )
    parser.add_argument(
        "--threshold",
        type=int,
        default=defaults.threshold,
        metavar="BITS",
        help=f"bits of 64 in which two images may differ (default: {defaults.threshold})",
    )
    parser.add_argument(
        "--ngram",
        type=int,
        default=defaults.ngram,
        metavar="N",
        help=f"words of a run (default: {defaults.ngram})",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=defaults.share,
        metavar="F",
        help="share of a test text's runs that must be found (default: 0, one is enough)",
    )
    parser.add_argument("--no-images", action="store_true", help="do not compare images")
    parser.add_argument("--no-texts", action="store_true", help="do not compare texts")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that compare (default: 1)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the prepared dataset in --out"
    )
    parser.set_defaults(func=run_decontaminate)


def run_decontaminate(args: argparse.Namespace) -> int:
    """Compare, write and print what was found."""
    options = DecontaminateOptions(
        splits=tuple(args.splits),
        threshold=args.threshold,
        ngram=args.ngram,
        share=args.share,
        images=not args.no_images,
        texts=not args.no_texts,
        workers=args.workers,
        overwrite=args.overwrite,
    )
    report = decontaminate(args.folder, against=args.against, out=args.out, options=options)
    _print_report(report)
    if args.report is not None:
        text = json.dumps(asdict(report), indent=2, ensure_ascii=False)
        with atomic_path(args.report) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        print(f"report: {args.report}")
    print(f"prepared: {args.out}" if args.out else "only looked: nothing was written (no --out)")
    return 0


def _print_report(report: DecontaminationReport) -> None:
    print(
        table(
            ["against", "splits", "rows", "images", "texts"],
            [
                [
                    one["name"],
                    " ".join(one["splits"]),
                    *(f"{one[key]:,}" for key in ("rows", "images", "texts")),
                ]
                for one in report.against
            ],
        )
    )
    columns = ["rows", "by_image", "by_text", "removed"]
    rows = [
        [name, *(f"{counts[column]:,}" for column in columns)]
        for name, counts in report.splits.items()
    ]
    print(table(["split", *(column.replace("_", " ") for column in columns)], rows))
    for one in report.removed[:MOST_SHOWN]:
        print(
            f"  {one.split} {one.id}: {one.reason} of {one.test_dataset} {one.test_split} "
            f"{one.test_id} ({one.detail})"
        )
    more = sum(counts["removed"] for counts in report.splits.values()) - MOST_SHOWN
    if more > 0:
        print(f"  ... and {more:,} more")
