"""`biomedgpt data decontaminate`: keep the test sets of benchmarks out of a corpus."""

import argparse
from dataclasses import asdict
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import MOST_SHOWN, print_first, table
from biomedgpt.data.cleaning.decontaminate import (
    DecontaminateOptions,
    DecontaminationReport,
    decontaminate,
)
from biomedgpt.files import write_json


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
    option.path(parser, "folder", "DATASET", "prepared dataset")
    option.path(parser, "--against", "DIR", "prepared benchmarks", nargs="+", required=True)
    option.path(parser, "--out", "DIR", "folder of the cleaned copy")
    option.path(parser, "--report", "FILE", "what was found, as JSON")
    what = "splits to keep out (default: test); all folds of a cross-validation are"
    option.text(parser, "--splits", "SPLIT", what, nargs="+", default=list(defaults.splits))
    what = f"bits of 64 in which two images may differ (default: {defaults.threshold})"
    option.integer(parser, "--threshold", "BITS", what, default=defaults.threshold)
    what = f"words of a run (default: {defaults.ngram})"
    option.integer(parser, "--ngram", "N", what, default=defaults.ngram)
    what = "share of a test text's runs that must be found (default: 0, one is enough)"
    option.number(parser, "--share", "F", what, default=defaults.share)
    option.without(parser, "images", "do not compare images")
    option.without(parser, "texts", "do not compare texts")
    option.integer(parser, "--workers", "N", "processes that compare (default: 1)", default=1)
    option.overwrite(parser)
    parser.set_defaults(func=run_decontaminate)


def run_decontaminate(args: argparse.Namespace) -> None:
    """Compare, write and print what was found."""
    options = option.call(DecontaminateOptions, args, splits=tuple(args.splits))
    report = decontaminate(args.folder, against=args.against, out=args.out, options=options)
    _print_report(report)
    if args.report is not None:
        write_json(args.report, asdict(report))
        print(f"report: {args.report}")
    print(f"prepared: {args.out}" if args.out else "only looked: nothing was written (no --out)")


def _print_report(report: DecontaminationReport) -> None:
    columns = ["rows", "images", "texts"]
    rows = [
        [one["name"], " ".join(one["splits"]), *(one[key] for key in columns)]
        for one in report.against
    ]
    print(table(["against", "splits", *columns], rows))
    columns = ["rows", "by_image", "by_text", "removed"]
    rows = [[name, *map(counts.get, columns)] for name, counts in report.splits.items()]
    print(table(["split", *(column.replace("_", " ") for column in columns)], rows))
    lines = (
        f"{one.split} {one.id}: {one.reason} of {one.test_dataset} {one.test_split} "
        f"{one.test_id} ({one.detail})"
        for one in report.removed
    )
    count = sum(counts["removed"] for counts in report.splits.values())
    print_first(lines, count, most=MOST_SHOWN)
