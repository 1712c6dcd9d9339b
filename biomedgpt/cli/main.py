"""Entry point of the `biomedgpt` command."""

import atexit
import gc
import importlib
import sys
from collections.abc import Sequence

from biomedgpt import __version__
from biomedgpt.cli.entry import Parser, add_commands, run_command

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


def build_parser(names: Sequence[str] = SUBCOMMANDS) -> Parser:
    """Return the parser of the command; the module of each name adds its own subcommand."""
    parser = Parser(
        prog="biomedgpt",
        description="Biomedical vision-language tasks with one model.",
        epilog="start with: biomedgpt doctor; biomedgpt data list; biomedgpt COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"biomedgpt {__version__}")
    subparsers = add_commands(parser)
    for name in names:
        importlib.import_module(f"biomedgpt.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; see `run_command` for how it ends."""
    # What is left at the end goes at once, without a search for cycles, which takes 0.3 s.
    atexit.register(gc.freeze)
    return run_command(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int | None:
    given = sys.argv[1:] if argv is None else argv
    # Without the others' modules it starts in half the time.
    names = given[:1] if given and given[0] in SUBCOMMANDS else SUBCOMMANDS
    args = build_parser(names).parse_args(given)
    status: int | None = args.func(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
