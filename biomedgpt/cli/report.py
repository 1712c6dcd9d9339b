"""`biomedgpt report`: a page about each run."""

import argparse
from pathlib import Path
from typing import Any

from biomedgpt.errors import ConfigError


def add_parser(subparsers: Any) -> None:
    """Add ``report``."""
    parser = subparsers.add_parser(
        "report",
        help="write an HTML report of a run",
        description="Write one self-contained HTML page per run folder: loss curve, score beside "
        "its baselines, and example images with question, answer and reference.",
    )
    parser.add_argument(
        "runs",
        metavar="RUN_DIR",
        nargs="+",
        type=Path,
        help="folder with train.log, predictions.jsonl, predictions_blank.jsonl and run.json, as "
        "far as there are such files",
    )
    parser.add_argument(
        "--data", type=Path, help="prepared dataset of the predictions; gives the example images"
    )
    parser.add_argument(
        "--out", type=Path, help="file to write, for a single run (default: RUN_DIR/report.html)"
    )
    parser.add_argument("--title", help="heading of the page (default: the folder's name)")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported here: plotting takes seconds to import, which `biomedgpt --help` should not.
    from biomedgpt.report.run_folder import report_run

    if len(args.runs) > 1 and (args.out is not None or args.title is not None):
        raise ConfigError("--out and --title are for one run; leave them out or name one RUN_DIR")
    for folder in args.runs:
        print(report_run(folder, data=args.data, out=args.out, title=args.title))
    return 0
