"""The arguments of fairseq-train and fairseq-generate that a recipe stands for."""

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.folds import TRAIN, VALID, JoinedSplits, fold_names, open_split
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.decoding import fairseq_arguments
from biomedgpt.errors import ConfigError
from biomedgpt.recipes.arguments import check_options
from biomedgpt.recipes.processes import count_nodes
from biomedgpt.recipes.programs import USER_DIR, Programs
from biomedgpt.recipes.recipe import COMMON, DEFAULT_SIZE, Recipe, for_size
from biomedgpt.tasks import Instruction, Task, get_task

SMOKE_UPDATES = 4
SMOKE_IMAGE_SIZE = "64"
PREDICTIONS = {False: "predictions.jsonl", True: "predictions_blank.jsonl"}
"""Files of the predictions, with the images and with blank ones."""


@dataclass(frozen=True)
class Devices:
    """What a run uses."""

    count: int
    """Processes, one per device, on all nodes."""
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

    nodes = count_nodes()
    present = 0 if "--cpu" in options else torch.cuda.device_count()
    if args.devices is not None and args.devices < 1:
        raise ConfigError(f"--devices must be at least 1, got {args.devices}")
    if present == 0 and (args.devices is None or "--cpu" in options):
        return Devices((args.devices or 1) * nodes, gpu=False)
    if args.devices is not None and args.devices > present:
        raise ConfigError(
            f"--devices {args.devices}, but there are {present} GPUs; add --cpu for as many "
            "processes on the CPU"
        )
    return Devices((args.devices or present) * nodes, gpu=True)


def device_arguments(devices: Devices, options: Sequence[str], *, scale_window: int) -> list[str]:
    """Return fairseq-train's arguments for the devices.

    Args:
        devices: what to run on.
        options: what was asked for, which may name a precision; half is the default on GPUs.
        scale_window: updates without overflow before the loss is scaled up.
    """
    command = ["--distributed-world-size", str(devices.count)]
    if not devices.gpu:
        command += ["--cpu"]
    elif not {"--bf16", "--fp16", "--amp"} & set(options):
        command += ["--fp16", "--fp16-scale-window", str(scale_window)]
    if devices.count > 1 and devices.gpu:
        command += ["--find-unused-parameters"]
    elif devices.count > 1:
        # fairseq's own averaging: torch's insists on a GPU per process here.
        command += ["--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    return command


def check_precision(parsed: argparse.Namespace, devices: Devices) -> None:
    """Raise a ConfigError where fairseq's options ask for more than the devices can do."""
    if not devices.gpu and (parsed.fp16 or parsed.amp):
        raise ConfigError("half precision needs a GPU; leave out --fp16 and --amp")


def count_updates(parsed: argparse.Namespace, *, rows: int, devices: Devices) -> int:
    """Return the updates that fairseq-train makes with these options on ``rows`` an epoch."""
    per_update = parsed.batch_size * parsed.update_freq[0] * devices.count
    updates: int = math.ceil(rows / per_update) * (parsed.max_epoch or 10**9)
    return min(updates, parsed.max_update or updates)


def schedule(updates: int, *, warmup_ratio: float, options: Sequence[str]) -> list[str]:
    """Return fairseq-train's arguments for the learning rate over a run, but for those given."""
    wanted = {"--total-num-update": updates, "--warmup-updates": int(warmup_ratio * updates)}
    return [word for name, n in wanted.items() if name not in options for word in (name, str(n))]


@dataclass(frozen=True)
class RecipeRun:
    """One run of a recipe: a dataset, or one fold of it, in one folder."""

    recipe: Recipe
    dataset: PreparedDataset
    folder: Path
    fold: int | None = None

    @property
    def task(self) -> Task:
        """Task of the dataset."""
        return get_task(self.dataset.card.task)

    def rows(self, split: str) -> int:
        """Return the number of rows of a split; 0 without one."""
        counts = self.dataset.card.counts
        if self.fold is None:
            return counts.get(split, 0)
        return sum(counts[name] for name in fold_names(self.dataset, self.fold, split))

    def inputs(self, vocabulary: Path) -> list[str]:
        """Return the arguments that both programs share."""
        fold = [] if self.fold is None else ["--fold", str(self.fold)]
        return [
            *(str(self.dataset.folder), "--user-dir", str(USER_DIR)),
            *("--task", "biomedgpt", "--vocabulary", str(vocabulary), *fold),
            *("--num-workers", str(min(4, (os.cpu_count() or 1) - 1))),
        ]


def count_epoch(run: RecipeRun, *, mix: str | None, balanced: bool) -> int:
    """Return the training rows of an epoch; print them with others mixed in or balanced.

    Raises:
        DataError: codes of images that answers are to show are missing; says how to make them.
    """
    from biomedgpt.examples.answer_codes import AnswerCodes
    from biomedgpt.examples.mixing import SEED, Balance, mixed_folders, modalities, open_mixed

    rows: PreparedSplit | JoinedSplits = open_split(run.dataset, TRAIN, fold=run.fold)
    if mix:
        rows = open_mixed(run.dataset, mixed_folders(mix))
        listed = ", ".join(f"{len(part):,} of {part.folder}" for part in rows.parts)
        print(f"training rows: {listed}", flush=True)
    if run.task.name == Instruction.name:
        AnswerCodes(rows)
        if run.rows(VALID):
            AnswerCodes(open_split(run.dataset, VALID, fold=run.fold))
    if not balanced:
        return len(rows)
    balance = Balance(modalities(rows), seed=SEED)
    print(f"rows in an epoch: {balance.describe()}", flush=True)
    return len(balance)


def training_command(
    args: argparse.Namespace,
    run: RecipeRun,
    options: list[str],
    *,
    devices: Devices,
    fairseq: Programs,
) -> tuple[list[str], int]:
    """Return fairseq-train's arguments and the number of updates they make."""
    recipe = run.recipe
    scratch = args.checkpoint is None
    size = args.size or ("nano" if args.smoke else DEFAULT_SIZE)
    command = [
        *run.inputs(run.folder / VOCABULARY_FOLDER),
        *("--arch", f"biomedgpt_{size}", "--save-dir", str(run.folder), *COMMON, *recipe.train),
        *("--lr", str(recipe.scratch_lr if scratch else recipe.lr)),
        *("--max-epoch", str(recipe.scratch_epochs if scratch else recipe.epochs)),
        *("--batch-size", str(for_size(recipe.batch_size, size))),
        *("--update-freq", str(1 if scratch else recipe.update_freq)),
        *("--validate-interval", str(recipe.validate_every)),
        *("--save-interval", str(recipe.validate_every)),
    ]
    if recipe.image_size:
        command += ["--patch-image-size", str(for_size(recipe.image_size, size))]
        command += ["--augment", recipe.scratch_augment if scratch else recipe.augment]
    if not scratch:
        command += ["--finetune-from-model", str(args.checkpoint)]
        command += ["--freeze-embedding"] if recipe.freeze_embedding else []
    if run.rows(VALID):
        command += ["--eval-accuracy", "--maximize-best-checkpoint-metric"]
        command += ["--best-checkpoint-metric", run.task.metric]
    else:
        command += ["--disable-validation"]
    command += device_arguments(devices, options, scale_window=512)
    if args.smoke:
        command += ["--max-update", str(SMOKE_UPDATES), "--batch-size", "4", "--update-freq", "1"]
        command += ["--max-valid-steps", "2", "--log-interval", "1", "--num-workers", "0"]
        command += ["--patch-image-size", SMOKE_IMAGE_SIZE] if recipe.image_size else []
    command += options

    parsed = check_options(fairseq, fairseq.get_training_parser("biomedgpt"), command)
    check_precision(parsed, devices)
    rows = count_epoch(run, mix=parsed.mix, balanced=parsed.balance != "none")
    updates = count_updates(parsed, rows=rows, devices=devices)
    command += schedule(updates, warmup_ratio=recipe.warmup_ratio, options=options)
    if "--store-ema" not in options and "--ema-decay" not in options:
        command += ["--store-ema", "--uses-ema", "--ema-decay", "0.9999"]
        command += ["--ema-fp32"] if devices.gpu else []
    return command, updates


def generation_command(
    args: argparse.Namespace,
    run: RecipeRun,
    options: list[str],
    *,
    vocabulary: Path,
    checkpoint: Path,
    blank: bool,
    devices: Devices,
    fairseq: Programs,
) -> list[str]:
    """Return fairseq-generate's arguments."""
    results = run.folder / ("generate_blank" if blank else "generate")
    command = [
        *run.inputs(vocabulary),
        *("--path", str(checkpoint), "--gen-subset", args.split, "--batch-size", "32"),
        *fairseq_arguments(run.task.decoding),
        *run.recipe.generate,
        *("--predictions", str(run.folder / PREDICTIONS[blank])),
        *("--results-path", str(results), "--distributed-world-size", "1"),
    ]
    if args.smoke:
        command += ["--num-workers", "0"]
    if blank:
        command += ["--blank-images"]
    if not devices.gpu:
        command += ["--cpu"]
    command += options
    check_options(fairseq, fairseq.get_generation_parser(default_task="biomedgpt"), command)
    return command
