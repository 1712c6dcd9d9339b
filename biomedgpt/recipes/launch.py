"""Runs a recipe: checks everything first, then fairseq with the recipe's settings.

    python run_scripts/launch.py train vqa-rad --data DIR --save-dir DIR [options]
    python run_scripts/launch.py evaluate vqa-rad --data DIR --save-dir DIR [options]

One device: fairseq runs in this process. Several: one process each, under torchrun. A
cross-validation runs fold after fold, each in SAVE_DIR/foldN, and is scored over all of them.
Options that are not listed by ``--help`` go to fairseq, after its parser has confirmed them.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from biomedgpt.checkpoints.source import RUN_FILES
from biomedgpt.data.prepared.card import CARD_FILE
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.doctor import check_recipe
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import write_json
from biomedgpt.metrics.captioning import find_java
from biomedgpt.recipes import pretrain
from biomedgpt.recipes.arguments import (
    RecipeParser,
    describe_plugin,
    refuse_options_of_the_recipe,
)
from biomedgpt.recipes.commands import (
    PREDICTIONS,
    RecipeRun,
    choose_devices,
    generation_command,
    training_command,
)
from biomedgpt.recipes.preflight import missing_checkpoint, refuse
from biomedgpt.recipes.processes import run_child
from biomedgpt.recipes.programs import Loader
from biomedgpt.recipes.recipe import get_recipe, recipe_names, script_name
from biomedgpt.recipes.save_folder import all_are_asked_to_stop
from biomedgpt.recipes.screen import Screen, start_logging
from biomedgpt.recipes.training import (
    WORKER,
    find_vocabulary,
    run_fairseq,
    run_training,
    run_worker,
)
from biomedgpt.scoring.evaluation import evaluate_files, evaluate_folds
from biomedgpt.scoring.score_file import Score
from biomedgpt.scoring.table import format_report
from biomedgpt.vocabulary import BPE_VARIABLE

SMOKE_FOLDS = 2


def run(arguments: Sequence[str], load: Loader) -> int:
    """Do what the command line says; return the exit status.

    Args:
        arguments: of the command line.
        load: imports fairseq, which `biomedgpt` does not.
    """
    if arguments[:1] == [WORKER]:
        return run_worker(arguments[1:], load)
    logging.getLogger().addHandler(logging.NullHandler())  # or fairseq's models bring a loud one
    args, options = parse(arguments, load)
    status: int = args.run(args, options, load)
    return status


def parse(arguments: Sequence[str], load: Loader) -> tuple[argparse.Namespace, list[str]]:
    """Separate the recipe's options from fairseq's."""
    parser = RecipeParser(
        allow_abbrev=False,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    for name, run, size, what in (
        (
            *("train", train, "size of the model"),
            "Train, from scratch or from the weights of --checkpoint. A run that was stopped goes "
            "on when the command is given again.",
        ),
        (
            *("evaluate", evaluate, "refuse any other size"),
            "Answer a split, once more with blank images where there are any, and score it.",
        ),
    ):
        script = f"{name}_{script_name(arguments[1])}.sh" if arguments[1:] else None
        command = commands.add_parser(name, allow_abbrev=False, prog=script, description=what)
        command.set_defaults(run=run)
        command.more_help = partial(describe_plugin, load)
        command.add_argument("recipe", choices=recipe_names(), help=argparse.SUPPRESS)
        command.add_paths(
            required={
                "--data DIR": "prepared dataset (biomedgpt data prepare)",
                "--save-dir DIR": "folder of the run",
            },
            optional={
                "--vocabulary DIR": "folder of the vocabulary (encoder.json, vocab.bpe, dict.txt; "
                f"default: the run's, or the data's; with --checkpoint ${BPE_VARIABLE})",
                "--checkpoint FILE": "weights to start from or to evaluate",
            },
        )
        command.add_run_options(size=size)
        command.add_argument("--smoke", action="store_true", help="a few steps, to see if it runs")
        command.add_argument(
            "--fold",
            type=int,
            metavar="N",
            help="cross-validation: only this fold (default: all, one after the other)",
        )
    commands.choices["train"].add_resume_options()
    commands.choices["train"].add_argument(
        "--scale-batch",
        action="store_true",
        help="with N devices, N times the batch and N times the learning rate of the recipe "
        "(default: the recipe's on any number of devices)",
    )
    command.add_argument("--split", default="test", help="split to answer (default: test)")
    pretrain.add_parsers(commands)
    args, options = parser.parse_known_args(arguments)
    refuse_options_of_the_recipe(options)
    return args, options


# Checks before anything starts


def preflight(args: argparse.Namespace, vocabulary: Path | None, load: Loader) -> None:
    """List everything that is missing, each with the command that supplies it.

    Raises:
        ConfigError: something is missing.
    """
    checks = check_recipe(args.recipe, data=args.data, vocabulary=vocabulary)
    lacking = [f"{check.detail} -> {check.remedy}" for check in checks if check.failed]
    try:
        load()
    except ImportError as error:
        lacking.append(str(error))
    refuse(f"cannot run {args.recipe} yet", [*lacking, *missing_checkpoint(args.checkpoint)])


def plan(args: argparse.Namespace) -> list[RecipeRun]:
    """Return the runs asked for: one, or one per fold; none if there is no such dataset.

    Raises:
        ConfigError: no such fold, or a fold of a dataset that has none.
    """
    try:
        dataset = PreparedDataset(args.data)
    except DataError:
        return []  # `preflight` says it, with all else that is missing
    run = RecipeRun(get_recipe(args.recipe), dataset, args.save_dir)
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


def train(args: argparse.Namespace, options: list[str], load: Loader) -> int:
    """Train, or resume if the save folder holds a checkpoint."""
    runs = plan(args)
    if len(runs) > 1:
        return train_folds(runs)
    folder = runs[0].folder if runs else args.save_dir
    vocabulary = find_vocabulary(args, folder=folder, beside=args.data / VOCABULARY_FOLDER)
    preflight(args, vocabulary, load)
    if vocabulary is None:
        raise ConfigError(
            "a checkpoint needs the vocabulary it was trained with; give its folder (encoder.json, "
            f"vocab.bpe, dict.txt) with --vocabulary DIR or ${BPE_VARIABLE}"
        )
    (run,) = runs
    fairseq, devices = load(), choose_devices(args, options)
    command, parsed = training_command(args, run, options, devices=devices, fairseq=fairseq)
    return run_training(
        args,
        command,
        parsed,
        fairseq=fairseq,
        folder=folder,
        vocabulary=vocabulary,
        devices=devices,
        # The card has the candidate answers.
        files={CARD_FILE: (args.data / CARD_FILE).read_text(encoding="utf-8")},
        recipe=args.recipe,
    )


def train_folds(runs: Sequence[RecipeRun]) -> int:
    """Train fold after fold, each in a process of its own; stop at the first failure."""
    for run in runs:
        print(f"fold {run.fold} of {len(run.dataset.folds)}: {run.folder}", flush=True)
        status = run_child([sys.executable, *sys.argv, "--fold", str(run.fold)])
        if status != 0 or all_are_asked_to_stop():
            return status
    return 0


# Evaluation


def evaluate(args: argparse.Namespace, options: list[str], load: Loader) -> int:
    """Generate for real and, where the task has images, for blank ones; then score."""
    runs = plan(args)
    folders = [run.folder for run in runs] or [args.save_dir]
    vocabularies = [args.vocabulary or folder / VOCABULARY_FOLDER for folder in folders]
    checkpoints = [args.checkpoint or best_checkpoint(folder) for folder in folders]
    args.checkpoint = next((path for path in checkpoints if not path.is_file()), checkpoints[0])
    there = [path for path in vocabularies if path.is_dir()]
    preflight(args, there[0] if there == vocabularies else None, load)
    fairseq, devices = load(), choose_devices(args, options)
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
                fairseq=fairseq,
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
    averaged = {path: fairseq.examine(str(path), size=args.size) for path in set(checkpoints)}
    log = args.save_dir / "evaluate.log"
    start_logging(log, Screen())
    for command, checkpoint, what in commands:
        print(f"generating: {what}, {checkpoint.name}, {devices}", flush=True)
        ema = ["--ema-eval"] if averaged[checkpoint] else []
        run_fairseq(fairseq.generate, [*command, *ema], log)
    files = [run.folder / PREDICTIONS[False] for run in runs]
    blanks = [run.folder / PREDICTIONS[True] for run in runs if True in kinds]
    result: Score
    if len(runs) > 1:
        result = evaluate_folds(group, files, blanks=blanks, data=args.data)
    else:
        result = evaluate_files(group, files[0], blank=next(iter(blanks), None), data=args.data)
    write_json(args.save_dir / "score.json", result.to_dict())
    print(format_report(result))
    return 0


def best_checkpoint(folder: Path) -> Path:
    """Return the best checkpoint of a run, or the last one where none was validated."""
    found = (folder / name for name in RUN_FILES if (folder / name).is_file())
    return next(found, folder / RUN_FILES[0])
