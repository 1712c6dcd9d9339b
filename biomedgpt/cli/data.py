"""`biomedgpt data`: list, prepare, check, import, export, decontaminate and filter datasets."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.data_decontaminate import add_decontaminate_parser
from biomedgpt.cli.data_filter import add_filter_parser
from biomedgpt.cli.data_import import add_import_parsers
from biomedgpt.cli.data_shared import (
    name_of_texts,
    print_card,
    print_limited,
    print_warnings,
    shared_lines,
    table,
)
from biomedgpt.cli.data_show import add_show_parser
from biomedgpt.cli.entry import add_commands
from biomedgpt.data.phantom_releases.corpora import CONFIG_FILE, write_phantom_corpora
from biomedgpt.data.phantom_releases.dialogues import write_phantom_instructions
from biomedgpt.data.phantom_releases.text_and_image import (
    PREPARED_FOLDER,
    write_phantom_interleaved,
)
from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.card import CARD_FILE
from biomedgpt.data.prepared.integrity import SplitReport, check_dataset
from biomedgpt.data.registry import BENCHMARKS, DATASETS, EVALUATION, INSTRUCTIONS, PHANTOMS
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import ConfigError
from biomedgpt.tasks import get_task

PHANTOM_INSTRUCTIONS = "phantoms-instructions"
"""Name of the phantoms as dialogues, with questions held out."""
_LISTS = {"benchmark": BENCHMARKS, "instruction": INSTRUCTIONS, "evaluation": EVALUATION}


def add_parser(subparsers: Any) -> None:
    """Add ``data`` and its subcommands."""
    parser = subparsers.add_parser(
        "data",
        help="list, prepare, check, import, export datasets",
        description="Make prepared datasets, the only kind that training and scoring read: a "
        "folder with dataset.json and one HDF5 file per split.",
        epilog="example: biomedgpt data prepare phantoms --out phantoms --images 400 40 80",
    )
    commands = add_commands(parser)

    listing = commands.add_parser("list", help="datasets that can be prepared by name")
    option.json(listing)
    what = "benchmarks, instruction data, or sets to evaluate on only (default: benchmark)"
    option.choice(listing, "--kind", _LISTS, what, default="benchmark")
    what = "folder of prepared datasets, one folder each by name (default: prepared)"
    option.path(listing, "--root", "DIR", what, default=Path("prepared"))
    listing.set_defaults(func=run_list)

    preparing = commands.add_parser(
        "prepare",
        help="make a prepared dataset of a raw release",
        description="Make a prepared dataset of the official release of a dataset, or of "
        "phantoms, which need no download. Every image is decoded; the first bad row stops it, "
        "and then nothing is written.",
        epilog="example: biomedgpt data prepare vqa-rad --raw VQA_RAD_DIR --out DIR",
    )
    option.text(preparing, "name", "NAME", f"one of {', '.join((*DATASETS, *PHANTOM_SETS))}")
    option.path(preparing, "--raw", "DIR", "folder of the official release")
    what = (
        "share of the training rows to hold out, by whole images or patients, where the "
        "release has no validation split (default: what the dataset's card says)"
    )
    option.number(preparing, "--valid-fraction", "F", what)
    option.seed(preparing)
    preparing.add_argument(
        "--images",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VALID", "TEST"),
        help="phantoms only: images to draw per split (phantoms-pretraining: TEST may be 0)",
    )
    what = "pixels along one side, for phantoms and releases of several sizes"
    option.integer(preparing, "--image-size", "PIXELS", what)
    what = "part of a release of several, as the dataset's card names them"
    option.text(preparing, "--part", "NAME", what)
    what = (
        "phantoms-instructions only: kinds of questions to ask nowhere but in OUT/held-out, "
        "as POS or POS/choice"
    )
    option.text(preparing, "--hold-out", "KIND", what, nargs="+", default=[])
    option.flag(preparing, "--download", "first get the raw files into --raw (MedMNIST)")
    option.dataset_output(preparing)
    preparing.set_defaults(func=run_prepare)

    checking = commands.add_parser(
        "check",
        help="verify a prepared dataset, decode every image",
        description="List all that is broken in a prepared dataset, and count duplicates and "
        "images shared between splits. Exit status 1 if anything is broken.",
    )
    option.path(checking, "folder", "DIR", "prepared dataset")
    checking.set_defaults(func=run_check)

    add_show_parser(commands)
    add_import_parsers(commands)
    add_decontaminate_parser(commands)
    add_filter_parser(commands)


def run_list(args: argparse.Namespace) -> None:
    """Print the benchmarks, or the instruction data."""
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
        for spec in _LISTS[args.kind].values()
    ]
    if args.json:
        print(json.dumps(entries, indent=2))
        return
    columns = ["name", "task", "access", "prepared", "title"]
    yes_no = {True: "yes", False: "no"}
    rows = [[yes_no.get(entry[c], entry[c]) for c in columns] for entry in entries]
    print(table(columns, rows))
    if args.kind != "benchmark":
        what = {"instruction": "sets of instructions", "evaluation": "sets to evaluate on"}
        print(f"{len(entries)} {what[args.kind]}; prepared: found as {args.root}/NAME")
        return
    print(
        f"{len(entries)} benchmarks; prepared: found as {args.root}/NAME; no benchmark, but can be "
        f"prepared: {PHANTOMS.name} ({PHANTOMS.title}), and instruction data (--kind instruction): "
        f"{', '.join(INSTRUCTIONS)}; to evaluate on (--kind evaluation): {', '.join(EVALUATION)}"
    )


def run_prepare(args: argparse.Namespace) -> None:
    """Prepare a dataset and print what it holds."""
    if args.hold_out and args.name != PHANTOM_INSTRUCTIONS:
        raise ConfigError(f"{args.name} holds no questions out: leave out --hold-out")
    if args.name in PHANTOM_SETS:
        PHANTOM_SETS[args.name](args)
        return
    images = tuple(args.images) if args.images else None
    options = option.call(PrepareOptions, args, images=images)
    card = prepare(args.name, raw=args.raw, out=args.out, options=options)
    print_card(card, args.out)
    print_warnings(count_differences(card))


def run_phantom_corpora(args: argparse.Namespace) -> None:
    """Write phantoms as corpora for pretraining and print what they hold."""
    if not args.vocabulary:
        raise ConfigError(f"{args.name} are generated: leave out --no-vocabulary")
    cards = option.call(write_phantom_corpora, args, **phantom_options(args))
    splits = list(next(iter(cards.values())).counts)
    rows = [[kind, *map(card.counts.get, splits)] for kind, card in cards.items()]
    print(table(["corpus", *splits], rows))
    print(f"prepared: {args.out}; configuration: {args.out / CONFIG_FILE}")


def run_phantom_instructions(args: argparse.Namespace) -> None:
    """Write phantoms as dialogues and print what they hold."""
    cards = option.call(write_phantom_instructions, args, **phantom_options(args))
    for folder, card in cards.items():
        print_card(card, args.out / folder)


def run_phantom_interleaved(args: argparse.Namespace) -> None:
    """Write phantoms as instructions that ask for drawings and print what they hold."""
    card = option.call(write_phantom_interleaved, args, **phantom_options(args))
    folder = args.out / PREPARED_FOLDER
    print_card(card, folder)
    print(f"next, to train on it: biomedgpt vqgan encode {folder} --tokenizer TOKENIZER")


PHANTOM_SETS = {
    "phantoms-pretraining": run_phantom_corpora,
    PHANTOM_INSTRUCTIONS: run_phantom_instructions,
    "phantoms-interleaved": run_phantom_interleaved,
}
"""Phantoms in other forms; several datasets each, or one with its raw release, so not in the
registry."""


def phantom_options(args: argparse.Namespace) -> dict[str, int]:
    """Return how many phantoms of what size, as far as that is given.

    Raises:
        ConfigError: one is given that means nothing for what is generated.
    """
    for name in ("raw", "valid_fraction", "download", "skip_bad", "part"):
        if getattr(args, name):
            raise ConfigError(f"{args.name} are generated: leave out --{name.replace('_', '-')}")
    counts = dict(zip(("train", "valid", "test"), args.images or (), strict=False))
    return counts | ({} if args.image_size is None else {"size": args.image_size})


def run_check(args: argparse.Namespace) -> int:
    """Print what a prepared dataset holds and what is wrong with it; 1 if anything is broken."""
    report = check_dataset(args.folder)
    if report.splits:
        texts = name_of_texts(report.task)
        names = [entry.name.replace("_", " ") for entry in dataclasses.fields(SplitReport)]
        rows = [[name, *dataclasses.astuple(split)] for name, split in report.splits.items()]
        print(table(["split", *(name.replace("questions", texts) for name in names)], rows))
    for line in shared_lines(report.shared, report.task):
        print(line)
    print_limited("problem", report.problems)
    print("broken" if report.problems else "sound: every image decodes, hashes agree")
    return 1 if report.problems else 0
