"""Score a VQA prediction file: VQA-RAD, SLAKE, PathVQA and one's own data alike.

    python evaluation/vqa.py PREDICTIONS.jsonl --blank BLANK.jsonl --data PREPARED_DIR

Needs no torch. A file that does not fit its dataset is refused with one line and exit status 1.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from biomedgpt.cli.entry import Parser, run_command
from biomedgpt.files import atomic_path
from biomedgpt.metrics.vqa_files import evaluate_vqa_files
from biomedgpt.metrics.vqa_table import format_report


def main(argv: Sequence[str] | None = None) -> int:
    """Score the files named on the command line; return the exit status."""
    return run_command(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = Parser(
        description="Score VQA predictions: accuracy (overall, open, closed), token recall, "
        "weighted F1, intervals and baselines."
    )
    parser.add_argument("predictions", type=Path, help="prediction file (JSON lines)")
    parser.add_argument(
        "--blank", type=Path, help="predictions of the same model with the images blanked"
    )
    parser.add_argument(
        "--data", type=Path, help="prepared dataset whose ids and hash the file must match"
    )
    parser.add_argument("--json", type=Path, help="also write the score to this file")
    args = parser.parse_args(argv)
    evaluation = evaluate_vqa_files(args.predictions, blank=args.blank, data=args.data)
    if args.json is not None:
        text = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
        with atomic_path(args.json) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    print(format_report(evaluation))
    return 0


if __name__ == "__main__":
    sys.exit(main())
