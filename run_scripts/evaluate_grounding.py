"""Scores how well a pretrained model finds regions; see pretraining/evaluate_grounding.sh."""

import argparse
import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]
warnings.simplefilter("ignore")

from options import Parser  # noqa: E402

from biomedgpt.cli.entry import run_command  # noqa: E402
from biomedgpt.data.prepared.dataset import PreparedDataset  # noqa: E402
from biomedgpt.files import atomic_path  # noqa: E402


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(prog="evaluate_grounding.sh", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="prepared dataset")
    parser.add_argument(
        "--save-dir", type=Path, required=True, metavar="DIR", help="folder of the run"
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="(default: the last of the run)"
    )
    parser.add_argument("--split", default="valid", help="split to answer (default: valid)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="(default: 32)")
    return parser.parse_args()


def run() -> int:
    """Score a split; write and print the scores."""
    args = parse()
    import torch

    from biomedgpt.checkpoints.checkpoint import load_checkpoint
    from biomedgpt.pretraining.grounding import find_boxes, score_grounding

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
    with atomic_path(args.save_dir / "grounding.json") as path:
        path.write_text(json.dumps(asdict(score), indent=2) + "\n", encoding="utf-8")
    print(
        f"{score.rows:,} regions: accuracy at IoU 0.5 {score.accuracy:.3f}, "
        f"mean IoU {score.mean_iou:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_command(run))
