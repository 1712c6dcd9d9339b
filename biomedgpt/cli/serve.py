"""`biomedgpt serve`: a page to try a model in the browser."""

import argparse
import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.entry import Terminated
from biomedgpt.cli.predict import load_model
from biomedgpt.errors import TERMINATED


def add_parser(subparsers: Any) -> None:
    """Add ``serve``."""
    parser = subparsers.add_parser(
        "serve",
        help="try a model on a page in the browser",
        description="Serve a page to try a model: drop an image, ask, and see the answer, others "
        "with their probabilities, boxes and drawings. Only this machine can open it, nothing "
        "leaves it, and uploaded files are deleted at once. Research only, not for clinical use.",
        epilog="example: biomedgpt serve --checkpoint runs/vqa-rad --open",
    )
    option.checkpoint(parser)
    option.image_tokenizer(parser, "to draw images with")
    what = (
        "address to serve at; any other than the default lets other machines in "
        "(default: 127.0.0.1)"
    )
    parser.add_argument("--host", default="127.0.0.1", help=what)
    parser.add_argument("--port", type=int, default=7860, help="(default: 7860)")
    option.flag(parser, "--open", "open the page in a browser")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from biomedgpt.serve.server import check_gradio, check_port, is_local, serving

    check_gradio()
    check_port(args.host, args.port)
    if not is_local(args.host):
        print(
            f"warning: other machines can open the page at {args.host}, without a password and "
            "unencrypted; leave out --host to serve this one only",
            file=sys.stderr,
        )
    from biomedgpt.inference.beside import find_tokenizer
    from biomedgpt.serve.menu import Menu
    from biomedgpt.serve.model_card import ModelCard
    from biomedgpt.serve.page import Page

    model = load_model(args, args.image_tokenizer)
    card = ModelCard.of(model.checkpoint)
    tokenizer = args.image_tokenizer or find_tokenizer(Path(args.checkpoint))
    menu = Menu.of(card.task, draws=tokenizer is not None)
    try:
        with (
            model.shared(),
            serving(
                lambda gradio, folder: Page(gradio, model, card, menu, folder).build(),
                host=args.host,
                port=args.port,
            ) as address,
        ):
            print(f"{address}  (end with Ctrl-C)", flush=True)
            if args.open:
                webbrowser.open(address)
            threading.Event().wait()
    except Terminated:
        _leave(TERMINATED)
        return TERMINATED
    except KeyboardInterrupt:
        _leave(130, "interrupted")
        raise
    return 0


def _leave(status: int, message: str = "") -> None:
    """End the process now if a question is still being answered.

    Python would wait for its thread, which can take minutes and which nothing can stop.
    """
    main = threading.main_thread()
    if all(thread.daemon or thread is main for thread in threading.enumerate()):
        return
    if message:
        print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
