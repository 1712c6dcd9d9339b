"""`biomedgpt inspect`: what a checkpoint is."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from biomedgpt.cli import option

if TYPE_CHECKING:
    from biomedgpt.checkpoints.inspection import Inspection

_SHOWN_KEYS = 10
_SHOWN_ANSWERS = 8


def add_parser(subparsers: Any) -> None:
    """Add ``inspect``."""
    parser = subparsers.add_parser(
        "inspect",
        help="say what a checkpoint is, what is missing, what it was trained for",
        description="Say what a checkpoint is: size, keys, data types, what is missing, what it "
        "was trained for, whose licence, which weights are NaN or infinite. Nothing in the file is "
        "executed; a hostile one is refused, and what it asks for is named.",
    )
    parser.add_argument("source", metavar="CHECKPOINT", help="file, folder or name")
    option.json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print what is found; status 1 if it cannot be loaded, or is of no use."""
    from biomedgpt.checkpoints.inspection import inspect_checkpoint

    found = inspect_checkpoint(args.source)
    print(json.dumps(asdict(found), indent=2) if args.json else as_text(found))
    return 0 if found.problem is None else 1


def as_text(found: "Inspection") -> str:
    """Return what is found as a page for people."""
    info = found.info
    types = ", ".join(f"{count:,} {name}" for name, count in sorted(found.dtypes.items()))
    dataset_hash = f" (hash {info.dataset_hash})" if info.dataset_hash else ""
    size = f"{found.size or 'no known size'}, {found.parameters / 1e6:,.1f} million parameters"
    rows = [
        ("checkpoint", f"{found.path} ({found.format}, {found.bytes / 1e6:,.1f} MB)"),
        ("model", size + (f"; nearest is {found.nearest}" if found.nearest else "")),
        ("weights", f"{found.keys:,} keys: {types}"),
        ("average", "a moving average is there, too" if found.averaged else "none"),
        ("trained for", _purpose(found)),
        ("images", f"{found.image_size} pixels" if found.image_size else "size not known"),
        ("answers", _answers(info.answers)),
        ("dataset", f"{info.dataset or 'not known'}{dataset_hash}"),
        ("licence", info.licence or "not known"),
        ("source", info.source or "not known"),
    ]
    rows += [("score", f"{name} {value:.4g}") for name, value in info.expected_score.items()]
    rows += [("asked with", f"{name} = {value}") for name, value in info.task_options.items()]
    rows += [("setting", f"{name} = {value}") for name, value in info.settings.items()]
    rows += [("option", f"{name} = {value}") for name, value in found.options.items()]
    for kind in ("missing", "unexpected", "misshaped"):
        rows += _listed(kind, getattr(found, kind))
    bad = [f"{key}: {n['nan']:,} NaN, {n['inf']:,} infinite" for key, n in found.not_finite.items()]
    rows += _listed("not finite", bad)
    if found.classes:
        rows.append(("replaced", f"{', '.join(found.classes)} (by empty objects)"))
    rows += [("note", note) for note in info.notes]
    if info.doubt:
        rows.append(("doubt", info.doubt))
    rows.append(("verdict", found.problem or "complete"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _listed(kind: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    more = [f"and {len(keys) - _SHOWN_KEYS:,} more"] * (len(keys) > _SHOWN_KEYS)
    return [(kind, key) for key in (*keys[:_SHOWN_KEYS], *more)]


def _purpose(found: "Inspection") -> str:
    task = found.info.task or found.published_task or "not known"
    if found.published_task and found.info.task and found.published_task != found.info.task:
        task += f" (there: {found.published_task})"
    return task if not found.updates else f"{task}, {found.updates:,} updates"


def _answers(answers: tuple[str, ...]) -> str:
    if not answers:
        return "free text, or not known"
    more = "" if len(answers) <= _SHOWN_ANSWERS else ", ..."
    return f"{len(answers):,}: {', '.join(answers[:_SHOWN_ANSWERS])}{more}"
