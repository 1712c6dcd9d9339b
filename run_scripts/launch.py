"""Runs a recipe: checks everything first, then fairseq with the recipe's settings.

    python run_scripts/launch.py train vqa-rad --data DIR --save-dir DIR [options]
    python run_scripts/launch.py evaluate vqa-rad --data DIR --save-dir DIR [options]

One device: fairseq runs in this process. Several: one process each, under torchrun. A
cross-validation runs fold after fold, each in SAVE_DIR/foldN, and is scored over all of them.
Options that are not listed by ``--help`` go to fairseq, after its parser has confirmed them.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]
warnings.simplefilter("ignore")  # other people's deprecations; ours are log records

from commands import (  # noqa: E402
    PREDICTIONS,
    Run,
    choose_devices,
    generation_command,
    training_command,
)
from options import Parser, ShowHelp, refuse_options_of_the_recipe  # noqa: E402
from recipes import DATASETS, GROUPS, SIZES  # noqa: E402
from screen import Screen, start_logging  # noqa: E402
from training import in_use, keep_vocabulary, run_fairseq, run_training  # noqa: E402

from biomedgpt.cli.entry import run_command  # noqa: E402
from biomedgpt.cli.score import main as score  # noqa: E402
from biomedgpt.data.prepared.card import CARD_FILE  # noqa: E402
from biomedgpt.data.prepared.dataset import PreparedDataset  # noqa: E402
from biomedgpt.doctor import check_recipe  # noqa: E402
from biomedgpt.errors import ConfigError, DataError  # noqa: E402
from biomedgpt.files import atomic_path  # noqa: E402
from biomedgpt.metrics.captioning import find_java  # noqa: E402
from biomedgpt.vocabulary import BPE_VARIABLE  # noqa: E402

OWN = {f"own-{group}": recipe for group, recipe in GROUPS.items()}
"""Recipes for one's own data."""
RECIPES = DATASETS | OWN
SMOKE_FOLDS = 2


def main() -> int:
    """Run one command; return its exit status."""
    logging.getLogger().addHandler(logging.NullHandler())  # or fairseq's models bring a loud one
    return run_command(run_recipe)


def run_recipe() -> int:
    """Do what the command line says."""
    args, options = parse(sys.argv[1:])
    status: int = args.run(args, options)
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
        script = f"{name}_{script_name(arguments[1])}.sh" if arguments[1:] else None
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
        command.add_argument(
            "--fold",
            type=int,
            metavar="N",
            help="cross-validation: only this fold (default: all, one after the other)",
        )
    for name, what in (("train", "size of the model"), ("evaluate", "refuse any other size")):
        commands.choices[name].add_argument("--size", choices=SIZES, help=what)
    commands.choices["evaluate"].add_argument(
        "--split", default="test", help="split to answer (default: test)"
    )
    args, options = parser.parse_known_args(arguments)
    refuse_options_of_the_recipe(options)
    return args, options


def script_name(recipe: str) -> str:
    """Return how the shell scripts of a recipe are called."""
    return "own" if recipe in OWN else recipe.replace("-", "_")


# Checks before anything starts


def preflight(args: argparse.Namespace, vocabulary: Path | None) -> None:
    """List everything that is missing, each with the command that supplies it.

    Raises:
        ConfigError: something is missing.
    """
    checks = check_recipe(args.recipe, data=args.data, vocabulary=vocabulary)
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


def plan(args: argparse.Namespace) -> list[Run]:
    """Return the runs asked for: one, or one per fold; none if there is no such dataset.

    Raises:
        ConfigError: no such fold, or a fold of a dataset that has none.
    """
    try:
        dataset = PreparedDataset(args.data)
    except DataError:
        return []  # `preflight` says it, with all else that is missing
    run = Run(RECIPES[args.recipe], dataset, args.save_dir)
    if args.fold is None and not dataset.folds:
        return [run]
    if args.fold is None:
        count = SMOKE_FOLDS if args.smoke else len(dataset.folds)
        numbers = list(range(count))
    else:
        numbers = [args.fold]
    runs = [replace(run, fold=number, folder=args.save_dir / f"fold{number}") for number in numbers]
    for one in runs:
        one.rows("train")  # refuses folds that do not exist
    return runs


# Training


def train(args: argparse.Namespace, options: list[str]) -> int:
    """Train, or resume if the save folder holds a checkpoint."""
    runs = plan(args)
    if len(runs) > 1:
        return train_folds(runs)
    folder = runs[0].folder if runs else args.save_dir
    kept = folder / "vocabulary"
    vocabulary = args.vocabulary or (kept if kept.is_dir() and in_use(folder) else None)
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
    (run,) = runs
    devices = choose_devices(args, options)
    command, updates = training_command(args, run, options, vocabulary=kept, devices=devices)

    # From here on files are written.
    keep_vocabulary(vocabulary, folder)
    write_facts(args, run, command)
    run_training(command, folder=folder, updates=updates, devices=devices)
    print(f"done; next: evaluate with the same --data and --save-dir {args.save_dir}")
    return 0


def train_folds(runs: Sequence[Run]) -> int:
    """Train fold after fold, each in a process of its own; stop at the first failure."""
    for run in runs:
        print(f"fold {run.fold} of {len(run.dataset.folds)}: {run.folder}", flush=True)
        status = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--fold", str(run.fold)], check=False
        ).returncode
        if status != 0:
            return status
    return 0


def write_facts(args: argparse.Namespace, run: Run, command: list[str]) -> None:
    """Note in ``run.json`` what was run, and keep the data's card: it has the candidate answers."""
    facts = {"recipe": args.recipe, "command": " ".join(["fairseq-train", *command])}
    with atomic_path(run.folder / "run.json") as path:
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    with atomic_path(run.folder / CARD_FILE) as path:
        path.write_bytes((args.data / CARD_FILE).read_bytes())


# Evaluation


def evaluate(args: argparse.Namespace, options: list[str]) -> int:
    """Generate for real and, where the task has images, for blank ones; then score."""
    runs = plan(args)
    folders = [run.folder for run in runs] or [args.save_dir]
    vocabularies = [args.vocabulary or folder / "vocabulary" for folder in folders]
    checkpoints = [args.checkpoint or best_checkpoint(folder) for folder in folders]
    args.checkpoint = next((path for path in checkpoints if not path.is_file()), checkpoints[0])
    there = [path for path in vocabularies if path.is_dir()]
    preflight(args, there[0] if there == vocabularies else None)
    devices = choose_devices(args, options)
    kinds = (False, True) if runs[0].task.fields.image else (False,)
    commands = [
        (
            generation_command(
                args,
                run,
                options,
                vocabulary=vocabulary,
                checkpoint=checkpoint,
                blank=blank,
                devices=devices,
            ),
            checkpoint,
            "blank images" if blank else f"{args.split} split",
        )
        for run, vocabulary, checkpoint in zip(runs, vocabularies, checkpoints, strict=True)
        for blank in kinds
    ]
    group = runs[0].task.group
    if group == "captioning" and find_java() is None:
        print("note: no Java on this machine, so METEOR will not be computed", flush=True)
    from fairseq_cli.generate import cli_main

    from fairseq_ext import checkpoints as reader

    averaged = {path: reader.examine(str(path), size=args.size) for path in set(checkpoints)}
    log = args.save_dir / "evaluate.log"
    start_logging(log, Screen(0))
    for command, checkpoint, what in commands:
        print(f"generating: {what}, {checkpoint.name}, {devices}", flush=True)
        run_fairseq(cli_main, [*command, *(["--ema-eval"] if averaged[checkpoint] else [])], log)
    files = [str(run.folder / PREDICTIONS[False]) for run in runs]
    if True in kinds:
        files += ["--blank", *(str(run.folder / PREDICTIONS[True]) for run in runs)]
    files += ["--data", str(args.data), "--json", str(args.save_dir / "score.json")]
    return score(group, files)


def best_checkpoint(folder: Path) -> Path:
    """Return the best checkpoint of a run, or the last one where none was validated."""
    names = ("checkpoint_best.pt", "checkpoint_last.pt")
    found = [folder / name for name in names if (folder / name).is_file()]
    return found[0] if found else folder / names[0]


if __name__ == "__main__":
    sys.exit(main())
