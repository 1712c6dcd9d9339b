"""`biomedgpt calibrate`: probabilities that mean what they say."""

import argparse
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.predict import load_model
from biomedgpt.errors import ConfigError


def add_parser(subparsers: Any) -> None:
    """Add ``calibrate``."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit the temperature of a model's probabilities on validation data",
        description="Fit the temperature by which a model that chooses between candidate answers "
        "(VQA, classification, entailment, ...) says how sure it is, report the expected "
        "calibration error before and after, and keep it with the checkpoint. No answer changes.",
        epilog="example: biomedgpt calibrate --checkpoint runs/vqa-rad --data data/vqa-rad",
    )
    option.model(parser)
    option.path(parser, "--data", "DIR", "prepared dataset", required=True)
    parser.add_argument("--split", default="valid", help="rows to fit on (default: valid)")
    option.path(parser, "--plot", "FILE", "also draw accuracy over probability (.png)")
    option.flag(parser, "--dry-run", "report only; leave the checkpoint as it is")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> None:
    """Fit, report, store."""
    from biomedgpt.data.prepared.dataset import PreparedDataset
    from biomedgpt.report.plots import load_matplotlib

    split = PreparedDataset(args.data).split(args.split)
    if not len(split):
        raise ConfigError(f"{split.path} has no rows; give another --split")
    if args.plot is not None:
        load_matplotlib()  # missing, it is missed before anything is computed

    from biomedgpt.inference.calibration import BINS, HIGHEST, LOWEST, fit, plot, score_split, store

    model = load_model(args)
    scored = score_split(model, split)
    found = fit(scored)
    print(
        f"{found.rows:,} rows of {split.path}, {found.fitted:,} of them with a reference among the "
        f"candidates; accuracy {found.accuracy:.3f}"
    )
    print(f"temperature: {found.temperature:.3f}")
    print(
        f"expected calibration error: {found.ece_before:.4f} before, {found.ece:.4f} after "
        f"({BINS} bins, n = {found.rows:,}, the rows it was fitted on)"
    )
    print(f"negative log-likelihood: {found.loss_before:.4f} before, {found.loss:.4f} after")
    if found.at_limit:
        print(
            f"warning: the temperature is at the limit ({LOWEST} to {HIGHEST}): too few rows, or "
            "hardly a wrong (or right) answer among them"
        )
    if found.ece > found.ece_before:
        print(
            "warning: the references became more probable, but the gap between probability and "
            "accuracy grew; look at --plot before you rely on it"
        )
    if args.plot is not None:
        plot(args.plot, scored, found)
        print(f"plot: {args.plot}")
    if args.dry_run:
        print("not stored (--dry-run)")
    else:
        print(f"stored: {store(args.checkpoint, model, found)}")
