"""Starts a recipe with fairseq; see `biomedgpt.recipes.launch`.

python run_scripts/launch.py train vqa-rad --data DIR --save-dir DIR [options]
python run_scripts/launch.py evaluate vqa-rad --data DIR --save-dir DIR [options]
python run_scripts/launch.py pretrain --config FILE --save-dir DIR [options]
"""

import sys
import warnings
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
warnings.simplefilter("ignore")  # other people's deprecations; ours are log records

from biomedgpt.cli.entry import run_command  # noqa: E402
from biomedgpt.recipes.launch import run  # noqa: E402


def load_fairseq() -> Any:
    """Import fairseq with our plug-in."""
    from fairseq_ext import programs

    return programs


if __name__ == "__main__":
    sys.exit(run_command(lambda: run(sys.argv[1:], load_fairseq)))
