"""Scores how well a pretrained model finds regions; see pretraining/evaluate_grounding.sh."""

import argparse
from dataclasses import asdict
from typing import Any

import torch

from biomedgpt.checkpoints.checkpoint import load_checkpoint
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError
from biomedgpt.pretraining.grounding import find_boxes, score_grounding
from biomedgpt.recipes.training import write_json


def add_parser(commands: Any) -> None:
    """Add ``grounding``."""
    parser = commands.add_parser("grounding", prog="evaluate_grounding.sh", description=__doc__)
    parser.set_defaults(run=evaluate_grounding)
    parser.add_paths(
        required={"--data DIR": "prepared dataset", "--save-dir DIR": "folder of the run"},
        optional={"--checkpoint FILE": "(default: the last of the run)"},
    )
    parser.add_argument("--split", default="valid", help="split to answer (default: valid)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="(default: 32)")


def evaluate_grounding(args: argparse.Namespace, unknown: list[str], _: object) -> int:
    """Score a split; write and print the scores."""
    if unknown:
        raise ConfigError(f"unrecognized arguments: {' '.join(unknown)}; see --help")
    split = PreparedDataset(args.data).split(args.split)
    trained = load_checkpoint(args.checkpoint or args.save_dir / "checkpoint_last.pt")
    model = trained.model.cuda() if torch.cuda.is_available() else trained.model
    pairs = find_boxes(
        model,
        trained.vocabulary,
        split,
        image_size=trained.preprocessing.image_size,
        max_image_size=trained.preprocessing.max_image_size,
        batch_size=args.batch_size,
    )
    score = score_grounding(pairs)
    write_json(args.save_dir / "grounding.json", asdict(score))
    print(
        f"{score.rows:,} regions: accuracy at IoU 0.5 {score.accuracy:.3f}, "
        f"mean IoU {score.mean_iou:.3f}"
    )
    return 0
