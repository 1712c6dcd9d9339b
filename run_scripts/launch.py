"""Runs a recipe: checks everything first, then fairseq with the recipe's settings.

    python run_scripts/launch.py train vqa-rad --data DIR --save-dir DIR [options]
    python run_scripts/launch.py evaluate vqa-rad --data DIR --save-dir DIR [options]

One device: fairseq runs in this process. Several: one process each, under torchrun.
Options that are not listed by ``--help`` go to fairseq, after its parser has confirmed them.
"""

import argparse
import json
import logging
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]
warnings.simplefilter("ignore")  # other people's deprecations; ours are log records

from options import Parser, ShowHelp, check_options, refuse_options_of_the_recipe  # noqa: E402
from recipes import COMMON, RECIPES, SIZES, Recipe  # noqa: E402
from screen import Screen, logged_failures, start_logging  # noqa: E402

from biomedgpt.cli.entry import run_command  # noqa: E402
from biomedgpt.data.prepared import PreparedDataset  # noqa: E402
from biomedgpt.data.registry import DATASETS  # noqa: E402
from biomedgpt.doctor import BPE_VARIABLE, check_recipe  # noqa: E402
from biomedgpt.errors import ConfigError  # noqa: E402
from biomedgpt.files import atomic_path  # noqa: E402
from biomedgpt.vocabulary import Vocabulary  # noqa: E402

PREDICTIONS = {False: "predictions.jsonl", True: "predictions_blank.jsonl"}
SMOKE_UPDATES = 4
SMOKE_IMAGE_SIZE = "64"


def main() -> int:
    """Run one command; return its exit status."""
    logging.getLogger().addHandler(logging.NullHandler())  # or fairseq's models bring a loud one
    return run_command(run_recipe)


def run_recipe() -> int:
    """Do what the command line says."""
    args, options = parse(sys.argv[1:])
    status: int = args.run(args, RECIPES[args.recipe], options)
    return status


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Separate the recipe's options from fairseq's."""
    parser = Parser(
        allow_abbrev=False,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    for name, run in (("train", train), ("evaluate", evaluate)):
        script = f"{name}_{arguments[1].replace('-', '_')}.sh" if arguments[1:] else None
        command = commands.add_parser(name, allow_abbrev=False, add_help=False, prog=script)
        command.set_defaults(run=run)
        command.add_argument("recipe", choices=RECIPES, help=argparse.SUPPRESS)
        command.add_argument("-h", "--help", action=ShowHelp, nargs=0, help="show this and leave")
        for option, metavar, what in (
            ("--data", "DIR", "prepared dataset (biomedgpt data prepare)"),
            ("--save-dir", "DIR", "folder of the run"),
            ("--vocabulary", "DIR", "folder of the vocabulary (default: the run's or the data's)"),
            ("--checkpoint", "FILE", "weights to start from or to evaluate"),
        ):
            required = option in ("--data", "--save-dir")
            command.add_argument(option, type=Path, metavar=metavar, required=required, help=what)
        command.add_argument("--smoke", action="store_true", help="a few steps, to see if it runs")
        command.add_argument(
            "--devices",
            type=int,
            metavar="N",
            help="GPUs to use (default: all); with --cpu, processes",
        )
    commands.choices["train"].add_argument("--size", choices=SIZES, help="size of the model")
    commands.choices["evaluate"].add_argument(
        "--split", default="test", help="split to answer (default: test)"
    )
    args, options = parser.parse_known_args(arguments)
    refuse_options_of_the_recipe(options)
    return args, options


# Checks before anything starts


def preflight(args: argparse.Namespace, vocabulary: Path | None) -> None:
    """List everything that is missing, each with the command that supplies it.

    Raises:
        ConfigError: something is missing.
    """
    checks = check_recipe(DATASETS[args.recipe], data=args.data, vocabulary=vocabulary)
    lacking = [f"{check.detail} -> {check.remedy}" for check in checks if check.failed]
    try:
        import fairseq_ext  # noqa: F401
    except ImportError as error:
        lacking.append(str(error))
    if args.checkpoint is not None and not args.checkpoint.is_file():
        lacking.append(f"no checkpoint at {args.checkpoint} -> give an existing file")
    if lacking:
        listed = lacking[0] if len(lacking) == 1 else "".join(f"\n  {line}" for line in lacking)
        raise ConfigError(f"cannot run {args.recipe} yet: {listed}")


@dataclass(frozen=True)
class Devices:
    """What a run uses."""

    count: int
    """Processes, one per device."""
    gpu: bool

    def __str__(self) -> str:
        if not self.gpu:
            return "the CPU" if self.count == 1 else f"the CPU, {self.count} processes"
        return "1 GPU" if self.count == 1 else f"{self.count} GPUs"


def choose_devices(args: argparse.Namespace, options: Sequence[str]) -> Devices:
    """Return what to run on: all GPUs, those asked for, or the CPU.

    Raises:
        ConfigError: more GPUs than there are, or less than one process.
    """
    import torch

    present = 0 if "--cpu" in options else torch.cuda.device_count()
    if args.devices is not None and args.devices < 1:
        raise ConfigError(f"--devices must be at least 1, got {args.devices}")
    if present == 0 and (args.devices is None or "--cpu" in options):
        return Devices(args.devices or 1, gpu=False)
    if args.devices is not None and args.devices > present:
        raise ConfigError(
            f"--devices {args.devices}, but there are {present} GPUs; add --cpu for as many "
            "processes on the CPU"
        )
    return Devices(args.devices or present, gpu=True)


# Training


def train(args: argparse.Namespace, recipe: Recipe, options: list[str]) -> int:
    """Train, or resume if the save folder holds a checkpoint."""
    kept = args.save_dir / "vocabulary"
    # Without a checkpoint it may be what a start that failed has left behind.
    in_use = kept.is_dir() and any(args.save_dir.glob("checkpoint*.pt"))
    vocabulary = args.vocabulary or (kept if in_use else None)
    if vocabulary is None and args.checkpoint is None and (args.data / "vocabulary").is_dir():
        vocabulary = args.data / "vocabulary"
    if vocabulary is None and BPE_VARIABLE in os.environ:
        vocabulary = Path(os.environ[BPE_VARIABLE])
    preflight(args, vocabulary)
    if vocabulary is None:
        raise ConfigError(
            "a checkpoint needs the vocabulary it was trained with; give its folder (encoder.json, "
            f"vocab.bpe, dict.txt) with --vocabulary DIR or ${BPE_VARIABLE}"
        )
    devices = choose_devices(args, options)
    command, updates = training_command(args, recipe, options, vocabulary=kept, devices=devices)

    # From here on files are written. The folder then has all that evaluation needs.
    loaded = Vocabulary.load(vocabulary)
    if in_use and Vocabulary.load(kept).fingerprint != loaded.fingerprint:
        raise ConfigError(f"{args.save_dir} holds a run with another vocabulary; use a new folder")
    try:
        loaded.save(kept)
    except OSError as error:
        raise ConfigError(
            f"--save-dir {args.save_dir}: cannot be made or used as a folder ({error.strerror}); "
            "give another one"
        ) from error
    write_facts(args, command)
    log = args.save_dir / "train.log"
    print(f"training {updates} updates on {devices}; details in {log}", flush=True)
    if devices.count > 1:
        worker = [str(Path(__file__).with_name("worker.py")), str(log), str(updates), *command]
        torchrun = [
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={devices.count}",
        ]
        os.execv(sys.executable, [sys.executable, *torchrun, *worker])
    start_logging(log, Screen(updates))
    from fairseq_cli.train import cli_main

    try:
        run_fairseq(cli_main, command, log)
    except KeyboardInterrupt as interrupt:
        hint = "give the command again to go on from the last checkpoint"
        raise KeyboardInterrupt(hint) from interrupt
    print(f"done; next: evaluate with the same --data and --save-dir {args.save_dir}")
    return 0


def training_command(
    args: argparse.Namespace,
    recipe: Recipe,
    options: list[str],
    *,
    vocabulary: Path,
    devices: Devices,
) -> tuple[list[str], int]:
    """Return fairseq-train's arguments and the number of updates they make."""
    from fairseq.options import get_training_parser

    scratch = args.checkpoint is None
    size = args.size or ("nano" if args.smoke else recipe.default_size)
    rows = PreparedDataset(args.data).card.counts
    command = [
        *(str(args.data), "--user-dir", str(ROOT / "fairseq_ext"), "--task", "biomedgpt"),
        *("--arch", f"biomedgpt_{size}", "--vocabulary", str(vocabulary)),
        *("--save-dir", str(args.save_dir), *COMMON, *recipe.train),
        *("--lr", str(recipe.scratch_lr if scratch else recipe.lr)),
        *("--max-epoch", str(recipe.epochs), "--batch-size", str(recipe.batch_size[size])),
        *("--update-freq", str(1 if scratch else recipe.update_freq)),
        *("--patch-image-size", str(recipe.image_size[size])),
        *("--validate-interval", str(recipe.validate_every), "--log-format", "json"),
        *("--save-interval", str(recipe.validate_every)),
        *("--num-workers", str(min(4, (os.cpu_count() or 1) - 1))),
        *("--distributed-world-size", str(devices.count)),
    ]
    if not scratch:
        command += ["--finetune-from-model", str(args.checkpoint), "--freeze-embedding"]
    if "valid" in rows:
        command += ["--eval-accuracy", "--maximize-best-checkpoint-metric"]
        command += ["--best-checkpoint-metric", recipe.metric]
    else:
        command += ["--disable-validation"]
    if not devices.gpu:
        command += ["--cpu"]
    elif "--bf16" not in options and "--fp16" not in options:
        command += ["--fp16", "--fp16-scale-window", "512"]
    if devices.count > 1 and devices.gpu:
        command += ["--find-unused-parameters"]
    elif devices.count > 1:
        # fairseq's own averaging: torch's insists on a GPU per process here.
        command += ["--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    if args.smoke:
        command += ["--max-update", str(SMOKE_UPDATES), "--batch-size", "4", "--update-freq", "1"]
        command += ["--patch-image-size", SMOKE_IMAGE_SIZE, "--max-valid-steps", "2"]
        command += ["--log-interval", "1", "--num-workers", "0"]
    command += options

    parsed = check_options(get_training_parser("biomedgpt"), command)
    if not devices.gpu and (parsed.fp16 or parsed.amp):
        raise ConfigError("half precision needs a GPU; leave out --fp16 and --amp")
    restore = parsed.restore_file
    if restore != "checkpoint_last.pt" and not Path(restore).is_file():
        raise ConfigError(f"--restore-file {restore}: no such file; fairseq would start afresh")
    per_update = parsed.batch_size * parsed.update_freq[0] * devices.count
    updates = math.ceil(rows["train"] / per_update) * (parsed.max_epoch or 10**9)
    updates = min(updates, parsed.max_update or updates)
    decay = min(0.9999, 1 - 10 / max(updates, 20))
    command += ["--total-num-update", str(updates)]
    if "--warmup-updates" not in options:
        command += ["--warmup-updates", str(int(recipe.warmup_ratio * updates))]
    if "--store-ema" not in options and "--ema-decay" not in options:
        command += ["--store-ema", "--uses-ema", "--ema-decay", f"{decay:.6f}"]
        command += ["--ema-fp32"] if devices.gpu else []
    return command, updates


def write_facts(args: argparse.Namespace, command: list[str]) -> None:
    """Note in ``run.json`` what was run."""
    facts = {"recipe": args.recipe, "command": " ".join(["fairseq-train", *command])}
    with atomic_path(args.save_dir / "run.json") as path:
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def run_fairseq(cli_main: Callable[[], Any], command: list[str], log: Path) -> None:
    """Call one of fairseq's commands in this process; tracebacks go to ``log``."""
    sys.argv = ["fairseq", *command]
    with logged_failures(log):
        cli_main()


# Evaluation


def evaluate(args: argparse.Namespace, recipe: Recipe, options: list[str]) -> int:
    """Generate for real and for blank images, then score both."""
    vocabulary = args.vocabulary or args.save_dir / "vocabulary"
    names = ("checkpoint_best.pt", "checkpoint_last.pt")
    found = [args.save_dir / name for name in names if (args.save_dir / name).is_file()]
    args.checkpoint = args.checkpoint or (found[0] if found else args.save_dir / names[0])
    preflight(args, vocabulary if vocabulary.is_dir() else None)
    devices = choose_devices(args, options)
    commands = {
        blank: generation_command(args, recipe, options, vocabulary, blank=blank, devices=devices)
        for blank in (False, True)
    }
    from fairseq_cli.generate import cli_main

    from fairseq_ext import checkpoints

    averaged = checkpoints.examine(str(args.checkpoint))
    log = args.save_dir / "evaluate.log"
    start_logging(log, Screen(0))

    for blank, command in commands.items():
        what = "blank images" if blank else f"{args.split} split"
        print(f"generating: {what}, {args.checkpoint.name}, {devices}", flush=True)
        run_fairseq(cli_main, [*command, *(["--ema-eval"] if averaged else [])], log)
    real, blank_file = (args.save_dir / PREDICTIONS[blank] for blank in (False, True))
    script = [sys.executable, str(ROOT / "evaluation" / "vqa.py"), str(real)]
    script += ["--blank", str(blank_file), "--data", str(args.data)]
    script += ["--json", str(args.save_dir / "score.json")]
    return subprocess.run(script, check=False).returncode


def generation_command(
    args: argparse.Namespace,
    recipe: Recipe,
    options: list[str],
    vocabulary: Path,
    *,
    blank: bool,
    devices: Devices,
) -> list[str]:
    """Return fairseq-generate's arguments."""
    from fairseq.options import get_generation_parser

    results = args.save_dir / ("generate_blank" if blank else "generate")
    command = [
        *(str(args.data), "--user-dir", str(ROOT / "fairseq_ext"), "--task", "biomedgpt"),
        *("--vocabulary", str(vocabulary), "--path", str(args.checkpoint)),
        *("--gen-subset", args.split, "--batch-size", "32", *recipe.generate),
        *("--predictions", str(args.save_dir / PREDICTIONS[blank])),
        *("--results-path", str(results), "--num-workers", str(min(4, (os.cpu_count() or 1) - 1))),
        *("--distributed-world-size", "1"),
    ]
    if blank:
        command += ["--blank-images"]
    if not devices.gpu:
        command += ["--cpu"]
    command += options
    check_options(get_generation_parser(default_task="biomedgpt"), command)
    return command


if __name__ == "__main__":
    sys.exit(main())
