"""`biomedgpt corpus`: list and prepare corpora for pretraining."""

import argparse
import json
from pathlib import Path
from typing import Any

from biomedgpt.cli.data_shared import print_limited, table
from biomedgpt.cli.entry import show_help
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
    parser.set_defaults(func=show_help(parser))
    commands = parser.add_subparsers(metavar="COMMAND")

    listing = commands.add_parser("list", help="corpora that can be prepared by name")
    listing.add_argument("--json", action="store_true", help="machine-readable output")
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
    preparing.add_argument("name", metavar="NAME", help=f"one of {', '.join(CORPORA)}")
    preparing.add_argument(
        "--raw", type=Path, required=True, metavar="DIR", help="folder of the raw files"
    )
    preparing.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the prepared dataset"
    )
    workers = preparing.add_mutually_exclusive_group()
    workers.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="Dask processes on this machine (default: 2); 0 reads in this process, without Dask",
    )
    workers.add_argument(
        "--scheduler", metavar="ADDRESS", help="take the workers of a running Dask cluster"
    )
    preparing.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out what cannot be used, and the rest of damaged files; count and list it",
    )
    preparing.add_argument(
        "--limit", type=int, default=0, metavar="N", help="read only the first N rows, for a trial"
    )
    preparing.add_argument(
        "--valid-fraction",
        type=float,
        default=0.0,
        metavar="F",
        help="share of the articles or patients to hold out as `valid` (default: 0)",
    )
    preparing.add_argument("--seed", type=int, default=1, help="of that choice (default: 1)")
    preparing.add_argument(
        "--max-words",
        type=int,
        metavar="N",
        help=f"words of one passage, where texts are cut (default: {MAX_WORDS})",
    )
    preparing.add_argument(
        "--overwrite", action="store_true", help="replace the prepared dataset in --out"
    )
    preparing.add_argument(
        "--keep-shards",
        action="store_true",
        help="keep what was read in OUT.shards; a run with more files then reads only those",
    )
    preparing.set_defaults(func=run_prepare)


def run_list(args: argparse.Namespace) -> int:
    """Print the corpora."""
    entries = [
        {
            "name": corpus.name,
            "kind": corpus.kind,
            "access": corpus.access,
            "title": corpus.title,
            "source": corpus.source,
            "licence": corpus.licence,
        }
        for corpus in CORPORA.values()
    ]
    if args.json:
        print(json.dumps(entries, indent=2))
    else:
        columns = ["name", "kind", "access", "title"]
        print(table(columns, [[entry[column] for column in columns] for entry in entries]))
    return 0


def run_prepare(args: argparse.Namespace) -> int:
    """Prepare a corpus and print what it holds."""
    options = CorpusOptions(
        workers=args.workers,
        scheduler=args.scheduler,
        skip_bad=args.skip_bad,
        limit=args.limit,
        valid_fraction=args.valid_fraction,
        seed=args.seed,
        max_words=args.max_words,
        overwrite=args.overwrite,
        keep_shards=args.keep_shards,
    )
    try:
        report = prepare_corpus(args.name, raw=args.raw, out=args.out, options=options)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"what is finished lies in {shards_folder(args.out)}; the same command goes on"
        ) from None
    _print_report(report, args.out)
    return 0


def _print_report(report: CorpusReport, out: Path) -> None:
    card = report.card
    rows = [[name, f"{n:,}", f"{card.image_counts[name]:,}"] for name, n in card.counts.items()]
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
