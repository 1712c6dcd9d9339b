"""The arguments of fairseq-train and fairseq-generate that a recipe stands for."""

import argparse
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.folds import TRAIN, VALID, JoinedSplits, fold_names, open_split
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.decoding import fairseq_arguments
from biomedgpt.errors import ConfigError
from biomedgpt.recipes.arguments import check_options, is_given
from biomedgpt.recipes.processes import count_nodes
from biomedgpt.recipes.programs import USER_DIR, Programs
from biomedgpt.recipes.recipe import COMMON, DEFAULT_SIZE, Recipe, for_size
from biomedgpt.tasks import Instruction, Task, get_task

AVERAGED = ("--store-ema", "--uses-ema")
SHARED_MEMORY = Path("/dev/shm")
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
    elif not any(is_given(name, options) for name in ("--bf16", "--fp16", "--amp")):
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


def schedule_arguments(warmup_ratio: float, options: Sequence[str]) -> list[str]:
    """Return fairseq-train's arguments for the learning rate over a run, but for those given.

    How long the run is shows once fairseq has read the data, see `fairseq_ext.schedule`.
    """
    command = []
    if not is_given("--total-num-update", options):
        command += ["--fit-schedule", "--total-num-update", "1"]
    if not is_given("--warmup-updates", options):
        command += ["--warmup-ratio", str(warmup_ratio)]
    if is_given("--max-update", options) and not is_given("--max-epoch", options):
        command += ["--max-epoch", "0"]  # that many updates, however many epochs they are
    return command


def gives_batch(options: Sequence[str]) -> bool:
    """Say whether the batch of a device is among the options that are given."""
    names = ("--batch-size", "--update-freq", "--max-tokens")
    return any(is_given(name, options) for name in names)


def batch_arguments(
    batch_size: int, update_freq: int, *, devices: Devices, options: Sequence[str], scale: bool
) -> list[str]:
    """Return fairseq-train's arguments for batches: the recipe's on any number of devices.

    Devices first share the steps of an update, then cut batches into parts. What the user gives is
    per device, as fairseq means it.

    Args:
        batch_size: examples of a step on one device.
        update_freq: steps of an update on one device.
        devices: what to run on.
        options: those given.
        scale: let the batch grow with the devices instead.

    Raises:
        ConfigError: so many devices cannot share it.
    """
    parts = 1
    if not (gives_batch(options) or scale):
        parts = devices.count // math.gcd(devices.count, update_freq)
        if parts > batch_size:
            raise ConfigError(
                f"an update of this recipe takes {batch_size * update_freq} examples, which "
                f"{devices} cannot share, at most {batch_size} a step; use another number of them "
                "(--devices), or say what each takes (--batch-size, --update-freq)"
            )
        update_freq = update_freq * parts // devices.count
    return [
        *("--batch-size", str(batch_size), "--update-freq", str(update_freq)),
        *("--batch-parts", str(parts)),
    ]


def describe_batch(options: argparse.Namespace, devices: Devices) -> str:
    """Return what a run trains on, and how many examples an update takes."""
    steps = " then ".join(map(str, options.update_freq))
    each = f"{steps} step{'' if steps == '1' else 's'} of"
    place = "" if devices.count == 1 else " on each"
    if options.max_tokens is not None:
        most = f"at most {options.batch_size} examples and {options.max_tokens} tokens"
        return f"training on {devices}; an update: {each} {most}{place}"
    size = options.batch_size / options.batch_parts
    update = f"{each} {size:g} examples{place}"
    if len(options.update_freq) == 1:
        total = round(size * options.update_freq[0] * devices.count)
        update = f"{total} examples, {each} {size:g}{place}"
    return f"training on {devices}; an update: {update}"


def worker_arguments(
    options: argparse.Namespace, *, image_size: int, given: Sequence[str]
) -> list[str]:
    """Return fairseq-train's arguments where data workers do not fit into shared memory.

    Each keeps two batches there. A container may have 64 MB of it; what does not fit ends a run
    with a bus error.

    Args:
        options: of fairseq-train.
        image_size: pixels along one side.
        given: what was asked for: then there is a warning, no change.
    """
    if not SHARED_MEMORY.is_dir() or options.num_workers == 0 or options.batch_size is None:
        return []
    free = shutil.disk_usage(SHARED_MEMORY).free
    batch = math.ceil(options.batch_size / options.batch_parts) * 3 * image_size**2 * 4
    fitting = free // (2 * batch)
    if fitting >= options.num_workers:
        return []
    short = (
        f"{SHARED_MEMORY} has {free / 2**20:.0f} MB, too little for {options.num_workers} data "
        f"workers with two batches of {batch / 2**20:.0f} MB each"
    )
    remedy = "give the container more, as in docker run --shm-size 8g"
    if is_given("--num-workers", given):
        print(f"warning: {short}; {remedy}, or give --num-workers {fitting}", flush=True)
        return []
    print(f"note: {short}; using {fitting} ({remedy})", flush=True)
    return ["--num-workers", str(fitting)]


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


def describe_epoch(run: RecipeRun, *, mix: str | None, balanced: bool) -> None:
    """Print the training rows of an epoch with others mixed in or balanced.

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
    if balanced:
        print(f"rows in an epoch: {Balance(modalities(rows), seed=SEED).describe()}", flush=True)


def training_command(
    args: argparse.Namespace,
    run: RecipeRun,
    options: list[str],
    *,
    devices: Devices,
    fairseq: Programs,
) -> tuple[list[str], argparse.Namespace]:
    """Return fairseq-train's arguments, and what they mean."""
    recipe = run.recipe
    scratch = args.checkpoint is None
    size = args.size or ("nano" if args.smoke else DEFAULT_SIZE)
    factor = devices.count if args.scale_batch else 1
    command = [
        *run.inputs(run.folder / VOCABULARY_FOLDER),
        *("--arch", f"biomedgpt_{size}", "--save-dir", str(run.folder), *COMMON, *recipe.train),
        *("--lr", str((recipe.scratch_lr if scratch else recipe.lr) * factor)),
        *("--max-epoch", str(recipe.scratch_epochs if scratch else recipe.epochs)),
        *batch_arguments(
            for_size(recipe.batch_size, size),
            1 if scratch else recipe.update_freq,
            devices=devices,
            options=options,
            scale=args.scale_batch,
        ),
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
        command += ["--batch-parts", "1"]
        command += ["--max-valid-steps", "2", "--log-interval", "1", "--num-workers", "0"]
        command += ["--patch-image-size", SMOKE_IMAGE_SIZE] if recipe.image_size else []
    command += schedule_arguments(recipe.warmup_ratio, options)
    if not is_given("--ema-decay", options):
        command += ["--ema-decay", "0.9999"]
    command += options

    parser = fairseq.get_training_parser("biomedgpt")
    parsed = check_options(fairseq, parser, [*command, *AVERAGED], given=options)
    if parsed.ema_decay > 0:  # 0: the average would be the weights
        command += AVERAGED
    else:
        parsed.store_ema = parsed.uses_ema = False
    check_precision(parsed, devices)
    if recipe.image_size:
        pixels = parsed.patch_image_size
        command += worker_arguments(parsed, image_size=pixels, given=options)
    describe_epoch(run, mix=parsed.mix, balanced=parsed.balance != "none")
    return command, parsed


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
    parser = fairseq.get_generation_parser(default_task="biomedgpt")
    check_options(fairseq, parser, command, given=options)
    return command
