"""`biomedgpt parity`: does this machine compute the reference function?"""

import argparse
from typing import Any

from biomedgpt.cli import option

HELP = "check that this device and torch version compute the reference function"
DESCRIPTION = """\
Fill a model with synthetic weights by the golden rule, run every case found in
PREFIX.json and PREFIX.npz, and print the largest error of each. Exit status 1 if a case is
beyond its tolerance. No checkpoint is needed.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "parity",
        help=HELP,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: biomedgpt parity golden/ofa_tiny",
    )
    option.text(parser, "prefix", "PREFIX", "golden files without .json or .npz", nargs="+")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run all prefixes; return 1 if any case fails."""
    from biomedgpt import parity

    failed = 0
    parity.check_device(args.device)
    for prefix in args.prefix:
        description, arrays = parity.load_golden(prefix)
        print(f"{prefix}: {description['num_parameters']:,} parameters on {args.device}")
        print(f"  {'case':<18} {'largest error':>13} {'tolerance':>10}  {'tokens wrong':>12}")
        found = 0
        model = parity.golden_model(description, device=args.device)
        for result in parity.run_model(model, arrays):
            found += 1
            verdict = "ok" if result.passed else f"FAILED ({result.detail})"
            print(
                f"  {result.name:<18} {result.error:>13.2e} {result.tolerance:>10.0e}"
                f"  {result.mismatches:>12}  {verdict}",
                flush=True,
            )
            failed += not result.passed
        if found == 0:
            print("  no cases found")
            failed += 1
    print("parity FAILED" if failed else "parity ok")
    return 1 if failed else 0
