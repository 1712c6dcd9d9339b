"""A tiny run of a recipe, which the jobs share."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from checkout import ROOT
from fairseq_data import make_dataset
from shell import run_script

TRAIN = ROOT / "run_scripts" / "vqa" / "train_vqa_rad.sh"
UPDATES, SAVE_EVERY = 8, 3
OPTIONS = (
    *("--smoke", "--patch-image-size", "32", "--batch-size", "5"),
    *("--max-update", str(UPDATES), "--save-interval-updates", str(SAVE_EVERY)),
    # An average that has moved after a few updates; a peak, so that utilisation is known.
    *("--store-ema", "--uses-ema", "--ema-decay", "0.9", "--peak-tflops", "0.1"),
)
"""As every run of the recipe, but for what makes it end in seconds."""


@dataclass(frozen=True)
class TrainedRun:
    """A run that was not interrupted. Copy its folder to change it."""

    data: Path
    folder: Path
    said: str
    """What the recipe printed."""

    @property
    def best(self) -> Path:
        """The best checkpoint."""
        return self.folder / "checkpoint_best.pt"

    @property
    def log(self) -> str:
        """What fairseq logged."""
        return (self.folder / "train.log").read_text(encoding="utf-8")

    def command(self, save: Path, *options: str) -> list[str]:
        """Return fairseq-train's command of this run for another folder, without the recipe."""
        command: str = json.loads((self.folder / "run.json").read_text())["command"]
        arguments = shlex.split(command)[1:]
        start = (sys.executable, "-m", "fairseq_cli.train")
        return [*start, *arguments, "--save-dir", str(save), *options]


def train_tiny_run(place: Path) -> TrainedRun:
    """Train in a folder, or return what was trained there before."""
    # Blanks in the paths, as users have them.
    data, folder, said = place / "my data" / "prepared", place / "my run", place / "said.txt"
    if not said.exists():
        make_dataset(data, name="vqa-rad")
        done = run_script(TRAIN, "--data", data, "--save-dir", folder, *OPTIONS)
        assert done.returncode == 0, done.stderr
        said.write_text(done.stdout, encoding="utf-8")
    return TrainedRun(data, folder, said.read_text(encoding="utf-8"))
