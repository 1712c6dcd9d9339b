"""`biomedgpt doctor`: versions, device, and what is missing, with the command that supplies it."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from biomedgpt.cli import option
from biomedgpt.doctor import Check, diagnose, is_ready
from biomedgpt.vocabulary import BPE_VARIABLE

TITLES = {
    "core": "Core",
    "train": "Training",
    "machine": "Machine",
    "optional": "Optional parts",
    "recipe": "Recipe",
}


def add_parser(subparsers: Any) -> None:
    """Add ``doctor``."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what is installed, what it runs on and what is missing",
        description="Say what is installed, what it runs on and what is missing. Exit status 0 "
        "when the core, or the recipe that is named, can run; 1 otherwise.",
    )
    parser.add_argument("--recipe", metavar="NAME", help="recipe to look at, as in vqa_rad")
    option.path(parser, "--data", "DIR", "its prepared dataset")
    what = f"folder with encoder.json, vocab.bpe and dict.txt (default: ${BPE_VARIABLE})"
    option.path(parser, "--vocabulary", "DIR", what)
    option.json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 0 if what was asked for can run."""
    checks = diagnose(recipe=args.recipe, data=args.data, vocabulary=args.vocabulary)
    ready = is_ready(checks, recipe=args.recipe is not None)
    if args.json:
        result = {
            "recipe": args.recipe,
            "ready": ready,
            "checks": [asdict(check) for check in checks],
        }
        print(json.dumps(result, indent=2))
    else:
        what = "the core" if args.recipe is None else f"the recipe {args.recipe}"
        print(_text(checks))
        print(f"\n{what[0].upper()}{what[1:]} {'can run' if ready else 'cannot run yet'}.")
    return 0 if ready else 1


def _text(checks: Sequence[Check]) -> str:
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    for group, title in TITLES.items():
        members = [check for check in checks if check.group == group]
        if members:
            lines += ["", title]
        for check in members:
            lines.append(f"  {check.status:<7}  {check.name:<{width}}  {check.detail}")
            if check.remedy:
                lines.append(f"  {'':<7}  {'':<{width}}  -> {check.remedy}")
    return "\n".join(lines[1:])
