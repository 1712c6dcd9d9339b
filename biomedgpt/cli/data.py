"""`biomedgpt data`: list, prepare, check, import and export datasets."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from biomedgpt.cli.entry import show_help
from biomedgpt.data.card import CARD_FILE, DatasetCard
from biomedgpt.data.check import check_dataset
from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared import PreparedDataset
from biomedgpt.data.raw import PrepareOptions
from biomedgpt.data.registry import BENCHMARKS, DATASETS, PHANTOMS
from biomedgpt.data.tsv import export_tsv, import_tsv
from biomedgpt.errors import ConfigError

MOST_PROBLEMS = 50
"""Problems and skipped rows printed; dataset.json lists all skipped rows."""


def add_parser(subparsers: Any) -> None:
    """Add ``data`` and its subcommands."""
    parser = subparsers.add_parser(
        "data",
        help="list, prepare, check, import, export datasets",
        description="Make prepared datasets, the only kind that training and scoring read: a "
        "folder with dataset.json and one HDF5 file per split.",
        epilog="example: biomedgpt data prepare phantoms --out phantoms --images 400 40 80",
    )
    parser.set_defaults(func=show_help(parser))
    commands = parser.add_subparsers(metavar="COMMAND")

    listing = commands.add_parser("list", help="datasets that can be prepared by name")
    listing.add_argument("--json", action="store_true", help="machine-readable output")
    listing.add_argument(
        "--root",
        type=Path,
        default=Path("prepared"),
        metavar="DIR",
        help="folder of prepared datasets, one folder each by name (default: prepared)",
    )
    listing.set_defaults(func=run_list)

    preparing = commands.add_parser(
        "prepare",
        help="make a prepared dataset of a raw release",
        description="Make a prepared dataset of the official release of a dataset, or of "
        "phantoms, which need no download. Every image is decoded; the first bad row stops it, "
        "and then nothing is written.",
        epilog="example: biomedgpt data prepare vqa-rad --raw VQA_RAD_DIR --out DIR",
    )
    preparing.add_argument("name", metavar="NAME", help=f"one of {', '.join(DATASETS)}")
    preparing.add_argument("--raw", type=Path, metavar="DIR", help="folder of the official release")
    preparing.add_argument(
        "--valid-fraction",
        type=float,
        metavar="F",
        help="share of the training rows to hold out, by whole images or patients, where the "
        "release has no validation split (default: what the dataset's card says)",
    )
    preparing.add_argument("--seed", type=int, default=1, help="of random choices (default: 1)")
    preparing.add_argument(
        "--images",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VALID", "TEST"),
        help="phantoms only: images to draw per split",
    )
    preparing.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="pixels along one side, for phantoms and releases of several sizes",
    )
    preparing.add_argument(
        "--download", action="store_true", help="first get the raw files into --raw (MedMNIST)"
    )
    _add_output_options(preparing)
    preparing.set_defaults(func=run_prepare)

    checking = commands.add_parser(
        "check",
        help="verify a prepared dataset, decode every image",
        description="List all that is broken in a prepared dataset, and count duplicates and "
        "images shared between splits. Exit status 1 if anything is broken.",
    )
    checking.add_argument("folder", type=Path, metavar="DIR", help="prepared dataset")
    checking.set_defaults(func=run_check)

    importing = commands.add_parser(
        "import-tsv",
        help="from tables of the published code",
        description="Make a prepared dataset of tables without a header, with the columns "
        "question id, image id, question, answers (confidence|!+answer joined by &&), objects, "
        "image (base64), separated by tabs.",
        epilog="example: biomedgpt data import-tsv --task vqa --split train=train.tsv "
        "--split test=test.tsv --out DIR",
    )
    importing.add_argument(
        "--split",
        action="append",
        required=True,
        metavar="NAME=FILE",
        help="table of one split; repeat for each",
    )
    importing.add_argument("--task", choices=["vqa"], required=True, help="task of the rows")
    importing.add_argument("--name", help="name of the dataset (default: name of --out)")
    importing.add_argument("--source", default="imported table", help="for the card")
    importing.add_argument("--licence", default="not stated", help="for the card")
    _add_output_options(importing)
    importing.set_defaults(func=run_import)

    exporting = commands.add_parser(
        "export-tsv",
        help="to tables of the published code",
        description="Write one table per split, which `biomedgpt data import-tsv` reads back.",
    )
    exporting.add_argument("folder", type=Path, metavar="DIR", help="prepared dataset")
    exporting.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for <split>.tsv"
    )
    exporting.add_argument("--overwrite", action="store_true", help="replace files there")
    exporting.set_defaults(func=run_export)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the prepared dataset"
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave rows out that cannot be used; count and list them",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the prepared dataset in --out"
    )
    parser.add_argument(
        "--no-vocabulary",
        action="store_true",
        help="do not train a text vocabulary on the training texts",
    )


def run_list(args: argparse.Namespace) -> int:
    """Print the benchmarks."""
    from biomedgpt.tasks import get_task  # torch takes seconds to import

    entries = [
        {
            "name": spec.name,
            "title": spec.title,
            "task": get_task(spec.task).group,
            "access": spec.access,
            "licence": spec.licence,
            "source": spec.source,
            "download": spec.download is not None,
            "folds": spec.folds,
            "image_sizes": spec.image_sizes,
            "expected": dict(spec.expected),
            "published": [dataclasses.asdict(one) for one in spec.published],
            "prepared": (args.root / spec.name / CARD_FILE).is_file(),
        }
        for spec in BENCHMARKS.values()
    ]
    if args.json:
        print(json.dumps(entries, indent=2))
        return 0
    columns = ["name", "task", "access", "prepared", "title"]
    yes_no = {True: "yes", False: "no"}
    rows = [[yes_no.get(entry[c], entry[c]) for c in columns] for entry in entries]
    print(_table(columns, rows))
    print(
        f"{len(entries)} benchmarks; prepared: found as {args.root}/NAME; no benchmark, but can be "
        f"prepared: {PHANTOMS.name} ({PHANTOMS.title})"
    )
    return 0


def run_prepare(args: argparse.Namespace) -> int:
    """Prepare a dataset and print what it holds."""
    options = PrepareOptions(
        skip_bad=args.skip_bad,
        overwrite=args.overwrite,
        valid_fraction=args.valid_fraction,
        seed=args.seed,
        vocabulary=not args.no_vocabulary,
        images=tuple(args.images) if args.images else None,
        image_size=args.image_size,
        download=args.download,
    )
    card = prepare(args.name, raw=args.raw, out=args.out, options=options)
    _print_card(card, args.out)
    for line in count_differences(card):
        print(f"warning: {line}", file=sys.stderr)
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Import tables and print what the dataset holds."""
    files: dict[str, Path] = {}
    for item in args.split:
        split, equals, path = item.partition("=")
        if not (split and equals and path) or split in files:
            raise ConfigError(f"--split {item}: give each split once, as NAME=FILE")
        files[split] = Path(path)
    card = import_tsv(
        files,
        args.out,
        name=args.name or args.out.resolve().name,
        source=args.source,
        licence=args.licence,
        skip_bad=args.skip_bad,
        overwrite=args.overwrite,
        vocabulary=not args.no_vocabulary,
    )
    _print_card(card, args.out)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write one table per split."""
    dataset = PreparedDataset(args.folder)
    paths = {name: args.out / f"{name}.tsv" for name in dataset.splits}
    taken = [str(path) for path in paths.values() if path.exists()]
    if taken and not args.overwrite:
        raise ConfigError(f"{', '.join(taken)} exist; add --overwrite or give another folder")
    args.out.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        print(f"{path}: {export_tsv(dataset.split(name), path):,} rows")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Print what a prepared dataset holds and what is wrong with it; 1 if anything is broken."""
    report = check_dataset(args.folder)
    names = (
        [entry.name for entry in dataclasses.fields(next(iter(report.splits.values())))]
        if report.splits
        else []
    )
    if report.splits:
        rows = [
            [name, *(f"{value:,}" for value in dataclasses.astuple(split))]
            for name, split in report.splits.items()
        ]
        print(_table(["split", *(name.replace("_", " ") for name in names)], rows))
    for line in _shared_lines(report.shared):
        print(line)
    _print_limited("problem", report.problems)
    print("broken" if report.problems else "sound: every image decodes, hashes agree")
    return 1 if report.problems else 0


def _print_card(card: DatasetCard, folder: Path) -> None:
    """Print the summary of a dataset that was just prepared."""
    kinds = sorted({kind for counts in card.answer_types.values() for kind in counts})
    rows = [
        [
            name,
            f"{count:,}",
            f"{card.image_counts[name]:,}",
            *(f"{card.answer_types.get(name, {}).get(kind, 0):,}" for kind in kinds),
        ]
        for name, count in card.counts.items()
    ]
    print(_table(["split", "rows", "images", *(kind.lower() for kind in kinds)], rows))
    for what, count in card.preparation.get("found_counts", {}).items():
        if what not in card.counts:
            print(f"{what}: {count:,}")
    if card.answers:
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
    for line in _shared_lines(card.leakage["shared_between_splits"]):
        print(line)
    _print_limited("skipped", card.preparation["skipped_rows"])
    print(f"prepared: {folder}")


def _shared_lines(shared: dict[str, Any]) -> Iterable[str]:
    """Say what two splits share."""
    for pair, counts in shared.items():
        first, second = pair.split("/")
        yield (
            f"{first} and {second} share {counts['images']:,} images "
            f"({counts['rows_on_shared_images']:,} {second} rows) and "
            f"{counts['questions']:,} questions"
        )


def _print_limited(what: str, lines: Sequence[str]) -> None:
    """Print a count and the first lines."""
    if not lines:
        return
    print(f"{what}: {len(lines):,}")
    for line in lines[:MOST_PROBLEMS]:
        print(f"  {line}")
    if len(lines) > MOST_PROBLEMS:
        print(f"  ... and {len(lines) - MOST_PROBLEMS:,} more")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out text in columns; numbers to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    numeric = [
        all(row[i].replace(",", "").isdigit() for row in rows) and bool(rows)
        for i in range(len(header))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )
