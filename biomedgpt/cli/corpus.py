"""`biomedgpt corpus`: list and prepare corpora for pretraining."""

import argparse
import json
from pathlib import Path
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import print_limited, table
from biomedgpt.cli.entry import add_commands, resumable
from biomedgpt.corpora.prepare import CorpusOptions, CorpusReport, prepare_corpus, shards_folder
from biomedgpt.corpora.reader import MAX_WORDS
from biomedgpt.corpora.registry import CORPORA


def add_parser(subparsers: Any) -> None:
    """Add ``corpus`` and its subcommands."""
    parser = subparsers.add_parser(
        "corpus",
        help="list and prepare corpora for pretraining",
        description="Make prepared datasets of corpora for pretraining, in parallel and in "
        "constant memory.",
        epilog="example: biomedgpt corpus prepare pubmed --raw PUBMED_DIR --out DIR --workers 8",
    )
    commands = add_commands(parser)

    listing = commands.add_parser("list", help="corpora that can be prepared by name")
    option.json(listing)
    listing.set_defaults(func=run_list)

    preparing = commands.add_parser(
        "prepare",
        help="make a prepared dataset of a corpus",
        description="Make a prepared dataset of the raw files of a corpus: later versions of a "
        "document replace earlier ones, the same content is kept once. A run that was stopped is "
        "taken up again by the same command. Afterwards, keep the benchmarks' tests out with "
        "`biomedgpt data decontaminate`.",
        epilog="workers of a cluster must see --raw and --out under the same paths; "
        "example: biomedgpt corpus prepare pmc --raw DIR --out DIR --scheduler tcp://HOST:8786",
    )
    option.text(preparing, "name", "NAME", f"one of {', '.join(CORPORA)}")
    option.path(preparing, "--raw", "DIR", "folder of the raw files", required=True)
    option.path(preparing, "--out", "DIR", "folder of the prepared dataset", required=True)
    workers = preparing.add_mutually_exclusive_group()
    what = "Dask processes on this machine (default: 2); 0 reads in this process, without Dask"
    option.integer(workers, "--workers", "N", what, default=2)
    option.text(workers, "--scheduler", "ADDRESS", "take the workers of a running Dask cluster")
    what = "leave out what cannot be used, and the rest of damaged files; count and list it"
    option.flag(preparing, "--skip-bad", what)
    option.integer(preparing, "--limit", "N", "read only the first N rows, for a trial", default=0)
    what = "share of the articles or patients to hold out as `valid` (default: 0)"
    option.number(preparing, "--valid-fraction", "F", what, default=0.0)
    option.seed(preparing, "that choice")
    what = f"words of one passage, where texts are cut (default: {MAX_WORDS})"
    option.integer(preparing, "--max-words", "N", what)
    option.overwrite(preparing)
    what = "keep what was read in OUT.shards; a run with more files then reads only those"
    option.flag(preparing, "--keep-shards", what)
    preparing.set_defaults(func=run_prepare)


def run_list(args: argparse.Namespace) -> None:
    """Print the corpora."""
    columns = ["name", "kind", "access", "title", "source", "licence"]
    entries = [{name: getattr(corpus, name) for name in columns} for corpus in CORPORA.values()]
    if args.json:
        print(json.dumps(entries, indent=2))
    else:
        print(table(columns[:4], [list(entry.values())[:4] for entry in entries]))


def run_prepare(args: argparse.Namespace) -> None:
    """Prepare a corpus and print what it holds."""
    options = option.call(CorpusOptions, args)
    hint = f"what is finished lies in {shards_folder(args.out)}; the same command goes on"
    with resumable(hint):
        report = prepare_corpus(args.name, raw=args.raw, out=args.out, options=options)
    _print_report(report, args.out)


def _print_report(report: CorpusReport, out: Path) -> None:
    card = report.card
    rows = [[name, count, card.image_counts[name]] for name, count in card.counts.items()]
    print(table(["split", "rows", "images"], rows))
    done = card.preparation
    print(
        f"read: {done['rows_read']:,} rows of {done['documents']:,} documents in "
        f"{report.shards:,} files"
    )
    print(f"replaced by later versions or removed: {done['replaced']:,}")
    print(f"duplicates left out: {done['duplicates']:,}")
    for reason, count in done["left_out"].items():
        print(f"left out, {reason}: {count:,}")
    if done["behind_limit"]:
        print(f"left out, behind --limit: {done['behind_limit']:,}")
    if done["skipped"]:
        print(f"skipped as bad: {done['skipped']:,}")
        print_limited("skipped, the first ones", done["skipped_rows"])
    if report.lost_workers:
        print(f"workers that died, their files read again: {report.lost_workers}")
    if report.reused:
        print(f"files taken from an earlier run: {report.reused:,}")
    reading, merging = report.seconds
    rate = report.rows_read / reading if reading else 0.0
    print(
        f"reading {reading:,.1f} s ({rate:,.0f} rows/s), merging {merging:,.1f} s; peak memory "
        f"{report.worker_memory / 2**20:,.0f} MiB per worker, {report.memory / 2**20:,.0f} MiB here"
    )
    print(f"prepared: {out}")
