"""`biomedgpt data show`: look at rows of a prepared dataset, and take an image out of it."""

import argparse
import json
from typing import Any

from biomedgpt.cli import option
from biomedgpt.data.imaging.images import decode_image
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import atomic_path


def add_show_parser(commands: Any) -> None:
    """Add ``show``."""
    parser = commands.add_parser(
        "show",
        help="look at rows, take an image out",
        description="Print the fields of some rows; with --image, also write the image of the "
        "first one as PNG.",
        epilog="example: biomedgpt data show phantoms --split test --row 1 --image example.png",
    )
    option.path(parser, "folder", "DIR", "prepared dataset")
    option.text(parser, "--split", "NAME", "(default: train)", default="train")
    option.integer(parser, "--row", "N", "from 1 (default: 1)", default=1)
    option.integer(parser, "--rows", "N", "how many (default: 1)", default=1)
    option.path(parser, "--image", "FILE", "image to write (.png)")
    option.flag(parser, "--json", "one JSON object per row")
    parser.set_defaults(func=run_show)


def run_show(args: argparse.Namespace) -> None:
    """Print rows; write an image."""
    if args.row < 1 or args.rows < 1:
        raise ConfigError("--row and --rows count from 1")
    if args.image is not None and args.image.suffix.lower() != ".png":
        raise ConfigError(f"--image {args.image}: give a name that ends in .png")
    split = PreparedDataset(args.folder).split(args.split)
    if args.row > len(split):
        raise DataError(f"{split.path} has {len(split):,} rows; there is no row {args.row:,}")
    first = args.row - 1
    for row in range(first, min(first + args.rows, len(split))):
        fields = {name: split.text(name, row) for name in split.fields}
        if args.json:
            print(json.dumps(fields, ensure_ascii=False))
            continue
        print(f"row {row + 1:,} of {len(split):,}")
        width = max(map(len, fields))
        for name, text in fields.items():
            print(f"  {name:<{width}}  {text}")
    if args.image is not None:
        number = split.image_number(first)
        if number < 0:
            raise DataError(f"{split.locate(first)}: no image; leave out --image")
        image = decode_image(split.image(number), where=split.locate(first))
        with atomic_path(args.image) as path:
            image.save(path, "PNG")
        if not args.json:
            print(f"image: {args.image}")
