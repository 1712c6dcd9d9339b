"""Entry point of the `biomedgpt` command."""

import importlib
import sys
from collections.abc import Sequence

from biomedgpt import __version__
from biomedgpt.cli.entry import Parser, run_command, show_help

# One module of biomedgpt.cli per subcommand, in the order of `biomedgpt --help`.
SUBCOMMANDS = (
    "data",
    "corpus",
    "vqgan",
    "convert",
    "inspect",
    "fetch",
    "predict",
    "document",
    "calibrate",
    "evaluate",
    "serve",
    "plan",
    "parity",
    "report",
    "doctor",
)


def build_parser() -> Parser:
    """Return the parser of the whole command; each module adds its own subcommand."""
    parser = Parser(
        prog="biomedgpt",
        description="Biomedical vision-language tasks with one model.",
        epilog="start with: biomedgpt doctor; biomedgpt data list; biomedgpt COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"biomedgpt {__version__}")
    parser.set_defaults(func=show_help(parser))
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name in SUBCOMMANDS:
        importlib.import_module(f"biomedgpt.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; see `run_command` for how it ends."""
    return run_command(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = build_parser().parse_args(argv)
    status: int = args.func(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
