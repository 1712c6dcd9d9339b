"""`biomedgpt convert`: checkpoints from one format to another."""

import argparse
import sys
from typing import Any

from biomedgpt.cli import option


def add_parser(subparsers: Any) -> None:
    """Add ``convert``."""
    parser = subparsers.add_parser(
        "convert",
        help="convert a checkpoint between formats",
        description="Convert a checkpoint. SOURCE is a published OFA or BiomedGPT .pt file, a "
        "folder in the style of transformers, a training run or a file of one, a folder that this "
        "command wrote, or the name of a fetched checkpoint. Weights stay as they are, bit by bit.",
        epilog="example: biomedgpt convert ofa_base.pt ofa_base --to native --vocabulary BPE",
    )
    option.text(parser, "source", "SOURCE", "file, folder or name")
    option.path(parser, "target", "TARGET", "folder; NAME.pt for fairseq")
    what = (
        "native: safetensors and all that belongs to it; fairseq: a .pt file with the "
        "published key names; hf: a folder as OFA's code for transformers reads it"
    )
    option.choice(parser, "--to", ("native", "fairseq", "hf"), what, required=True)
    what = "its vocabulary, where none comes with it (encoder.json, vocab.bpe, dict.txt)"
    option.path(parser, "--vocabulary", "DIR", what)
    what = "take the weights themselves where there is a moving average of them, too"
    option.without(parser, "ema", what)
    option.text(parser, "--licence", "TEXT", "of the weights, to be noted")
    option.flag(parser, "--overwrite", "replace what is at TARGET")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was left out or assumed."""
    from biomedgpt.checkpoints.checkpoint import find_checkpoint
    from biomedgpt.checkpoints.convert import convert
    from biomedgpt.inference.beside import CALIBRATION, folder_of

    stored = option.call(convert, args)
    for note in stored.info.notes:
        print(f"note: {note}", file=sys.stderr)
    beside = (folder_of(find_checkpoint(args.source)) / CALIBRATION).is_file()
    if beside or (stored.info.calibration and args.to != "native"):
        print(
            "note: The temperature of the probabilities stays behind; run `biomedgpt calibrate` "
            f"for {args.target}.",
            file=sys.stderr,
        )
    print(f"{len(stored.weights):,} weights, licence: {stored.info.licence or 'not known'}")
    print(args.target)
