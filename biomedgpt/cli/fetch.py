"""`biomedgpt fetch`: published checkpoints by name."""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.entry import resumable
from biomedgpt.errors import ConfigError


def add_parser(subparsers: Any) -> None:
    """Add ``fetch``."""
    parser = subparsers.add_parser(
        "fetch",
        help="download a published checkpoint by name",
        description="Download a published checkpoint. A call that was interrupted goes on where it "
        "stopped when it is given again. The licence of weights is their publisher's.",
        epilog="example: biomedgpt fetch --list; biomedgpt fetch ofa-base",
    )
    option.text(parser, "name", "NAME", "see --list", nargs="?")
    option.flag(parser, "--list", "list the names, and leave")
    what = (
        "where a folder NAME is made (default: $BIOMEDGPT_CHECKPOINTS or the cache, where "
        "other commands find it by NAME)"
    )
    option.path(parser, "--out", "DIR", what)
    option.path(parser, "--manifest", "FILE", "another list of checkpoints")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> None:
    """List, or download and print the hashes."""
    from biomedgpt.checkpoints.download import fetch
    from biomedgpt.checkpoints.manifest import MANIFEST, default_folder, get_entry, read_manifest

    entries = read_manifest(args.manifest or MANIFEST)
    if args.list:
        width = max(map(len, entries))
        for entry in entries.values():
            how = entry.format if entry.files else "by hand"
            print(f"{entry.name:<{width}}  {entry.size:<7} {how:<8} {entry.title}; {entry.task}")
        return
    if args.name is None:
        raise ConfigError("name a checkpoint; `biomedgpt fetch --list` has them all")
    entry = get_entry(args.name, entries)
    print(f"licence of the weights: {entry.licence}", flush=True)
    folder = args.out or default_folder()
    with resumable(), ExitStack() as stack:
        hashes = fetch(entry, folder, progress=_bar(stack))
    known = {file.name: file.sha256 is not None for file in entry.files}
    for name, found in hashes.items():
        print(f"{found}  {name}{'' if known[name] else '  (no published hash to compare with)'}")
    print(folder / entry.name / entry.weights)


def _bar(stack: ExitStack) -> Callable[[str, int, int | None], None]:
    """Return what draws a progress bar for each file, if there is a screen."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(name: str, have: int, total: int | None) -> None:
        if name not in bars:
            bars[name] = stack.enter_context(
                tqdm(desc=name, total=total, unit="B", unit_scale=True, disable=None)
            )
        bars[name].update(have - bars[name].n)

    return show
