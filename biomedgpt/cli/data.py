"""`biomedgpt data`: list, prepare, check, import, export, decontaminate and filter datasets."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from biomedgpt.cli.data_decontaminate import add_decontaminate_parser
from biomedgpt.cli.data_filter import add_filter_parser
from biomedgpt.cli.data_import import add_import_parsers
from biomedgpt.cli.data_shared import (
    add_output_options,
    name_of_texts,
    print_card,
    print_limited,
    shared_lines,
    table,
)
from biomedgpt.cli.data_show import add_show_parser
from biomedgpt.cli.entry import show_help
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

PHANTOM_CORPORA = "phantoms-pretraining"
"""Name of the phantoms as corpora of all kinds; several datasets, so not in the registry."""
PHANTOM_INSTRUCTIONS = "phantoms-instructions"
"""Name of the phantoms as dialogues, with questions held out; likewise."""
PHANTOM_INTERLEAVED = "phantoms-interleaved"
"""Name of the phantoms as instructions that ask for drawings; likewise, with its raw release."""
PHANTOM_SETS = (PHANTOM_CORPORA, PHANTOM_INSTRUCTIONS, PHANTOM_INTERLEAVED)
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
    parser.set_defaults(func=show_help(parser))
    commands = parser.add_subparsers(metavar="COMMAND")

    listing = commands.add_parser("list", help="datasets that can be prepared by name")
    listing.add_argument("--json", action="store_true", help="machine-readable output")
    listing.add_argument(
        "--kind",
        choices=tuple(_LISTS),
        default="benchmark",
        help="benchmarks, instruction data, or sets to evaluate on only (default: benchmark)",
    )
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
    preparing.add_argument(
        "name",
        metavar="NAME",
        help=f"one of {', '.join((*DATASETS, *PHANTOM_SETS))}",
    )
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
        help="phantoms only: images to draw per split (phantoms-pretraining: TEST may be 0)",
    )
    preparing.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="pixels along one side, for phantoms and releases of several sizes",
    )
    preparing.add_argument(
        "--part",
        metavar="NAME",
        help="part of a release of several, as the dataset's card names them",
    )
    preparing.add_argument(
        "--hold-out",
        nargs="+",
        default=[],
        metavar="KIND",
        help="phantoms-instructions only: kinds of questions to ask nowhere but in OUT/held-out, "
        "as POS or POS/choice",
    )
    preparing.add_argument(
        "--download", action="store_true", help="first get the raw files into --raw (MedMNIST)"
    )
    add_output_options(preparing)
    preparing.set_defaults(func=run_prepare)

    checking = commands.add_parser(
        "check",
        help="verify a prepared dataset, decode every image",
        description="List all that is broken in a prepared dataset, and count duplicates and "
        "images shared between splits. Exit status 1 if anything is broken.",
    )
    checking.add_argument("folder", type=Path, metavar="DIR", help="prepared dataset")
    checking.set_defaults(func=run_check)

    add_show_parser(commands)
    add_import_parsers(commands)
    add_decontaminate_parser(commands)
    add_filter_parser(commands)


def run_list(args: argparse.Namespace) -> int:
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
        return 0
    columns = ["name", "task", "access", "prepared", "title"]
    yes_no = {True: "yes", False: "no"}
    rows = [[yes_no.get(entry[c], entry[c]) for c in columns] for entry in entries]
    print(table(columns, rows))
    if args.kind != "benchmark":
        what = {"instruction": "sets of instructions", "evaluation": "sets to evaluate on"}
        print(f"{len(entries)} {what[args.kind]}; prepared: found as {args.root}/NAME")
        return 0
    print(
        f"{len(entries)} benchmarks; prepared: found as {args.root}/NAME; no benchmark, but can be "
        f"prepared: {PHANTOMS.name} ({PHANTOMS.title}), and instruction data (--kind instruction): "
        f"{', '.join(INSTRUCTIONS)}; to evaluate on (--kind evaluation): {', '.join(EVALUATION)}"
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
        part=args.part,
        download=args.download,
    )
    if args.name == PHANTOM_INSTRUCTIONS:
        return run_phantom_instructions(args)
    if args.hold_out:
        raise ConfigError(f"{args.name} holds no questions out: leave out --hold-out")
    if args.name == PHANTOM_CORPORA:
        return run_phantom_corpora(args)
    if args.name == PHANTOM_INTERLEAVED:
        return run_phantom_interleaved(args)
    card = prepare(args.name, raw=args.raw, out=args.out, options=options)
    print_card(card, args.out)
    for line in count_differences(card):
        print(f"warning: {line}", file=sys.stderr)
    return 0


def run_phantom_corpora(args: argparse.Namespace) -> int:
    """Write phantoms as corpora for pretraining and print what they hold."""
    refuse_options(args, "raw", "valid_fraction", "download", "skip_bad", "no_vocabulary", "part")
    options = phantom_options(args)
    cards = write_phantom_corpora(args.out, seed=args.seed, overwrite=args.overwrite, **options)
    splits = list(next(iter(cards.values())).counts)
    rows = [
        [kind, *(f"{card.counts[split]:,}" for split in splits)] for kind, card in cards.items()
    ]
    print(table(["corpus", *splits], rows))
    print(f"prepared: {args.out}; configuration: {args.out / CONFIG_FILE}")
    return 0


def run_phantom_instructions(args: argparse.Namespace) -> int:
    """Write phantoms as dialogues and print what they hold."""
    refuse_options(args, "raw", "valid_fraction", "download", "skip_bad", "part")
    cards = write_phantom_instructions(
        args.out,
        seed=args.seed,
        hold_out=args.hold_out,
        vocabulary=not args.no_vocabulary,
        overwrite=args.overwrite,
        **phantom_options(args),
    )
    for folder, card in cards.items():
        print_card(card, args.out / folder)
    return 0


def run_phantom_interleaved(args: argparse.Namespace) -> int:
    """Write phantoms as instructions that ask for drawings and print what they hold."""
    refuse_options(args, "raw", "valid_fraction", "download", "skip_bad", "part")
    card = write_phantom_interleaved(
        args.out,
        seed=args.seed,
        vocabulary=not args.no_vocabulary,
        overwrite=args.overwrite,
        **phantom_options(args),
    )
    folder = args.out / PREPARED_FOLDER
    print_card(card, folder)
    print(f"next, to train on it: biomedgpt vqgan encode {folder} --tokenizer TOKENIZER")
    return 0


def refuse_options(args: argparse.Namespace, *options: str) -> None:
    """Raise a ConfigError at an option that means nothing for what is generated."""
    for option in options:
        if getattr(args, option):
            raise ConfigError(f"{args.name} are generated: leave out --{option.replace('_', '-')}")


def phantom_options(args: argparse.Namespace) -> dict[str, int]:
    """Return the numbers of images and their size, where they are given."""
    options: dict[str, int] = {}
    if args.images:
        options["train"], options["valid"], options["test"] = args.images
    if args.image_size is not None:
        options["size"] = args.image_size
    return options


def run_check(args: argparse.Namespace) -> int:
    """Print what a prepared dataset holds and what is wrong with it; 1 if anything is broken."""
    report = check_dataset(args.folder)
    if report.splits:
        texts = name_of_texts(report.task)
        names = [entry.name.replace("_", " ") for entry in dataclasses.fields(SplitReport)]
        rows = [
            [name, *(f"{value:,}" for value in dataclasses.astuple(split))]
            for name, split in report.splits.items()
        ]
        print(table(["split", *(name.replace("questions", texts) for name in names)], rows))
    for line in shared_lines(report.shared, report.task):
        print(line)
    print_limited("problem", report.problems)
    print("broken" if report.problems else "sound: every image decodes, hashes agree")
    return 1 if report.problems else 0
