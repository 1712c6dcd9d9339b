"""Entry point of the `biomedgpt` command."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from biomedgpt import __version__
from biomedgpt.errors import BiomedGPTError

# One module of biomedgpt.cli per subcommand, in the order of `biomedgpt --help`.
SUBCOMMANDS = ("data", "parity", "report", "doctor")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command; each module adds its own subcommand."""
    parser = argparse.ArgumentParser(
        prog="biomedgpt", description="Biomedical vision-language tasks with one model."
    )
    parser.add_argument("--version", action="version", version=f"biomedgpt {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in SUBCOMMANDS:
        importlib.import_module(f"biomedgpt.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; errors a user can mend become one line and exit status 1."""
    args = build_parser().parse_args(argv)
    try:
        status: int = args.func(args)
    except BiomedGPTError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
