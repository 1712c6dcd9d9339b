"""`biomedgpt document`: an answer of text and a generated image, as a page or a folder."""

import argparse
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import print_warnings
from biomedgpt.cli.predict import load_model
from biomedgpt.cli.vqgan import add_code_options, drawing_of


def add_parser(subparsers: Any) -> None:
    """Add ``document``."""
    parser = subparsers.add_parser(
        "document",
        help="answer with text and a generated image, as HTML or Markdown",
        description="Answer an instruction that may ask for an image, with a model that was tuned "
        "on such instructions: text, a generated image, text. A name that ends in .html gives one "
        "page that holds the image; any other a folder with document.md and PNG files.",
        epilog='example: biomedgpt document --checkpoint C --text "draw a chest x-ray with a '
        'nodule on the left side and describe it." --out answer.html',
    )
    option.model(parser)
    parser.add_argument("--text", required=True, help="the instruction")
    option.path(parser, "--image", "FILE", "image that it is about, also DICOM or NIfTI")
    option.image_tokenizer(parser, "the model was trained with")
    option.path(parser, "--out", "PATH", "file (.html), or folder", required=True)
    option.flag(parser, "--overwrite", "replace such a document")
    add_code_options(parser, "50")
    parser.set_defaults(func=run, samples=1)


def run(args: argparse.Namespace) -> None:
    """Write the document and print its text."""
    from biomedgpt.inference.document import check_output

    drawing = drawing_of(args, top_k=50)
    check_output(args.out, overwrite=args.overwrite)
    model = load_model(args, args.image_tokenizer)
    document = model.document(args.text, args.image, drawing=drawing)
    assert not isinstance(document, list)
    print(document.text)
    print(document.save(args.out, overwrite=args.overwrite))
    print_warnings(document.warnings)
