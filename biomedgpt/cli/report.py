"""`biomedgpt report`: a page about each run, or one table over many."""

import argparse
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import print_warnings
from biomedgpt.errors import ConfigError


def add_parser(subparsers: Any) -> None:
    """Add ``report``."""
    parser = subparsers.add_parser(
        "report",
        help="write a report of a run, or a table over many",
        description="Write one self-contained HTML page per run folder: loss curve, score beside "
        "its baselines, and examples with answer and reference. Of a folder with many scored runs, "
        "write one table beside the published numbers, as results.md and results.html.",
    )
    what = (
        "run folder with train.log, predictions.jsonl, predictions_blank.jsonl and run.json, "
        "as far as there are such files; or a folder with run folders that hold a score.json"
    )
    option.path(parser, "folders", "DIR", what, nargs="+")
    what = "prepared dataset of a run's predictions; gives the examples"
    option.path(parser, "--data", "DIR", what)
    what = (
        "file to write, for a single DIR (default: DIR/report.html, or DIR/results.md and "
        "DIR/results.html)"
    )
    option.path(parser, "--out", "FILE", what)
    parser.add_argument("--title", help="heading of the page (default: the folder's name)")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> None:
    # Imported here: plotting takes seconds to import, which `biomedgpt --help` should not.
    from biomedgpt.report.results_table import report_results
    from biomedgpt.report.run_folder import is_run_folder, report_run

    if len(args.folders) > 1 and (args.out is not None or args.title is not None):
        raise ConfigError("--out and --title are for one folder; leave them out or name one DIR")
    for folder in args.folders:
        if is_run_folder(folder):
            print(report_run(folder, data=args.data, out=args.out, title=args.title))
            continue
        if args.data is not None:
            raise ConfigError(f"--data is for a run folder, which {folder} is not; leave it out")
        paths, problems = report_results(folder, out=args.out, title=args.title)
        print_warnings(f"not used: {problem}" for problem in problems)
        print(*paths, sep="\n")
