"""Pretraining: checks everything first, then fairseq with the settings below; what it is scored by.

Options that are not listed by ``--help`` go to fairseq-train, after its parser has confirmed them.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from biomedgpt.checkpoints.checkpoint import load_checkpoint
from biomedgpt.checkpoints.source import LAST
from biomedgpt.data.phantom_releases.corpora import write_phantom_corpora
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.errors import BiomedGPTError, ConfigError
from biomedgpt.files import write_json
from biomedgpt.plan import Job
from biomedgpt.pretraining.batches import TRAIN, VALID, PretrainingExamples
from biomedgpt.pretraining.grounding import find_boxes, score_grounding
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.recipes.arguments import check_options
from biomedgpt.recipes.commands import (
    SMOKE_UPDATES,
    Devices,
    batch_arguments,
    check_precision,
    choose_devices,
    device_arguments,
    gives_batch,
    schedule_arguments,
)
from biomedgpt.recipes.preflight import preflight_run
from biomedgpt.recipes.processes import run_child
from biomedgpt.recipes.programs import USER_DIR, Loader, Programs
from biomedgpt.recipes.recipe import COMMON, for_size
from biomedgpt.recipes.training import find_vocabulary, read_facts, run_training
from biomedgpt.vocabulary import BPE_VARIABLE, Vocabulary
from biomedgpt.vqgan.tokenizer import DESCRIPTION

# OFA, run_scripts/pretraining, which BiomedGPT's scripts follow. From scratch the learning rate and
# the number of epochs are ours.
SETTINGS = (
    *(*COMMON, "--label-smoothing", "0.0", "--clip-norm", "5.0"),
    *("--save-interval-updates", "1000", "--keep-interval-updates", "1"),
    # The data are a file; fairseq looks for further validation sets in a folder.
    "--ignore-unused-valid-subsets",
)
DEFAULT_SIZE = "base"
LEARNING_RATE, SCRATCH_LEARNING_RATE = 1e-4, 5e-4
EPOCHS, SCRATCH_EPOCHS = 10, 20
WARMUP_RATIO = 0.01
BATCH_SIZE = {"nano": 32, "base": 16, "large": 4, "xlarge": 2}
"""Examples per device and step; `biomedgpt plan` says what fits. An update takes those of its
default batch, on all devices together."""

PHANTOM_IMAGES = (800, 16)  # for training and validation
PHANTOM_SIZE = 64
PHANTOM_UPDATES = 400
PHANTOM_OPTIONS = (
    *("--cpu", "--devices", "2", "--size", "nano", "--batch-size", "16", "--lr", "1e-3"),
    *("--max-update", str(PHANTOM_UPDATES), "--save-interval-updates", "50"),
    *("--log-interval", "1", "--num-workers", "0", "--dropout", "0.0"),
    *("--encoder-drop-path-rate", "0.0", "--decoder-drop-path-rate", "0.0"),
)
PHANTOM_TOKENIZER_UPDATES = 300
LEAST_FALL = 0.3
"""Share by which the loss of every stream falls in the smoke test."""
WINDOW = 20
"""Updates at both ends of the smoke test whose mean losses are compared."""


def add_parsers(commands: Any) -> None:
    """Add ``pretrain`` and ``grounding``."""
    parser = commands.add_parser(
        "pretrain",
        prog="pretrain.sh",
        allow_abbrev=False,
        description="Pretrain on the corpora that a configuration names.",
        epilog="All other options are fairseq-train's.",
    )
    parser.set_defaults(run=pretrain)
    parser.add_paths(
        required={"--save-dir DIR": "folder of the run"},
        optional={
            "--config FILE": "configuration (TOML) of corpora and weights",
            "--checkpoint FILE": "weights to continue from; the optimizer starts afresh",
            "--vocabulary DIR": "folder of the vocabulary (default: the run's, or vocabulary "
            "beside the configuration)",
        },
    )
    parser.add_run_options(size=f"size of the model (default: {DEFAULT_SIZE})")
    parser.add_resume_options()
    parser.add_argument(
        "--smoke", action="store_true", help="a few updates; without --config on phantoms"
    )

    parser = commands.add_parser(
        "grounding",
        prog="evaluate_grounding.sh",
        description="Score how well a pretrained model finds regions.",
    )
    parser.set_defaults(run=evaluate_grounding)
    parser.add_paths(
        required={"--data DIR": "prepared dataset", "--save-dir DIR": "folder of the run"},
        optional={"--checkpoint FILE": "(default: the last of the run)"},
    )
    parser.add_argument("--split", default="valid", help="split to answer (default: valid)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="(default: 32)")


def pretrain(args: argparse.Namespace, options: list[str], load: Loader) -> int:
    """Do what the command line says."""
    if args.config is not None:
        return train(args, options, load)
    if not args.smoke:
        raise ConfigError("give --config FILE, or --smoke to see all streams run on phantoms")
    return smoke(args, options)


def train(args: argparse.Namespace, options: list[str], load: Loader) -> int:
    """Train, or go on if the folder holds a run."""
    config, folder = PretrainingConfig.load(args.config), args.save_dir
    vocabulary = find_vocabulary(args, folder=folder, beside=args.config.parent / VOCABULARY_FOLDER)
    if vocabulary is None:
        raise ConfigError(
            "no vocabulary; give the folder of the one that the checkpoint was trained with "
            f"(encoder.json, vocab.bpe, dict.txt) with --vocabulary DIR or ${BPE_VARIABLE}"
        )
    try:
        fairseq = load()
    except ImportError as error:
        raise ConfigError(str(error)) from error
    loaded = Vocabulary.load(vocabulary)
    examples = PretrainingExamples(config, loaded, TRAIN)
    validates = True
    try:
        PretrainingExamples(config, loaded, VALID)
    except ConfigError:
        validates = False  # no stream has a validation split
    devices = choose_devices(args, options)
    command, parsed = training_command(fairseq, args, options, devices=devices, validates=validates)
    for warning in preflight(args, config, parsed, loaded, devices):
        print(f"warning: {warning}", flush=True)
    if (begun := read_facts(folder)) and begun.get("examples") != examples.fingerprint:
        raise ConfigError(
            f"{folder} holds a run on other data, weights or seed than {args.config} names; "
            "use a new folder, and --checkpoint to continue from its weights"
        )
    describe(examples)
    return run_training(
        args,
        command,
        parsed,
        fairseq=fairseq,
        folder=folder,
        vocabulary=vocabulary,
        devices=devices,
        files={},
        recipe="pretraining",
        examples=examples.fingerprint,
    )


def training_command(
    fairseq: Programs,
    args: argparse.Namespace,
    options: list[str],
    *,
    devices: Devices,
    validates: bool,
) -> tuple[list[str], argparse.Namespace]:
    """Return fairseq-train's arguments, and what they mean."""
    size = args.size or DEFAULT_SIZE
    scratch = args.checkpoint is None
    command = [
        *(str(args.config), "--user-dir", str(USER_DIR)),
        *("--task", "biomedgpt_pretraining", "--vocabulary"),
        *(str(args.save_dir / VOCABULARY_FOLDER), "--save-dir", str(args.save_dir)),
        *("--arch", f"biomedgpt_{size}", *SETTINGS),
        *("--lr", str(SCRATCH_LEARNING_RATE if scratch else LEARNING_RATE)),
        *("--max-epoch", str(SCRATCH_EPOCHS if scratch else EPOCHS)),
        *update_arguments(size, devices, options, smoke=args.smoke),
        *("--num-workers", str(min(8, (os.cpu_count() or 1) - 1))),
    ]
    if not scratch:
        command += ["--finetune-from-model", str(args.checkpoint)]
    if not validates:
        command += ["--disable-validation"]
    command += device_arguments(devices, options, scale_window=128)
    if args.smoke:
        command += ["--max-update", str(SMOKE_UPDATES), "--log-interval", "1"]
        command += ["--num-workers", "0"]
    command += schedule_arguments(WARMUP_RATIO, options) + options

    parser = fairseq.get_training_parser("biomedgpt_pretraining")
    parsed = check_options(fairseq, parser, command, given=options)
    check_precision(parsed, devices)
    return command, parsed


def update_arguments(
    size: str, devices: Devices, options: Sequence[str], *, smoke: bool
) -> list[str]:
    """Return fairseq-train's arguments for batches; a step of each device where they are given."""
    batch_size = for_size(BATCH_SIZE, size)
    one_step = smoke or gives_batch(options)
    steps = 1 if one_step else Job.batch // batch_size
    return batch_arguments(batch_size, steps, devices=devices, options=options, scale=one_step)


def preflight(
    args: argparse.Namespace,
    config: PretrainingConfig,
    options: argparse.Namespace,
    vocabulary: Vocabulary,
    devices: Devices,
) -> list[str]:
    """Check data, disk, address and checkpoint before devices are taken; return warnings.

    Raises:
        ConfigError: something is amiss.
    """
    chosen = vars(options)  # model options have no default here
    job = Job(
        size=args.size or DEFAULT_SIZE,
        gpus=devices.count,
        gpu_memory=1.0,  # not looked at
        image_size=config.image_size,
        image_scales=chosen.get("image_scales", 1),
        sample_patches=config.sampled_patches or None,
        source=config.max_source_tokens,
        target=config.max_target_tokens,
        batch=options.batch_size * options.update_freq[0] * devices.count // options.batch_parts,
        precision="bf16" if options.bf16 else "fp16" if options.fp16 else "fp32",
        checkpoint_activations=chosen.get("checkpoint_activations", False),
        ema=options.store_ema,
        dropout=options.dropout,
        vocabulary=len(vocabulary),
    )
    return preflight_run(
        datasets=list(dict.fromkeys(folder for entry in config.streams for folder in entry.data)),
        save_dir=args.save_dir,
        job=job,
        micro_batch=-(-options.batch_size // options.batch_parts),
        gpu=devices.gpu,
        checkpoint=args.checkpoint,
    )


def describe(examples: PretrainingExamples) -> None:
    """Print the streams with their rows and how many of them an epoch shows."""
    assert examples.mixture is not None
    for stream, count in zip(examples.streams, examples.mixture.counts, strict=True):
        share = count / len(examples)
        print(f"{stream.kind:20} {len(stream):>12,} rows, {count:>10,} an epoch ({share:.1%})")


# The whole way in miniature


def smoke(args: argparse.Namespace, options: list[str]) -> int:
    """Draw phantoms, train on all streams, and check that the loss of each falls."""
    data = args.save_dir / "phantoms"
    config = data / "pretraining.toml"
    if not config.is_file():
        train_images, valid_images = PHANTOM_IMAGES
        print(f"drawing {train_images} phantoms", flush=True)
        write_phantom_corpora(data, train=train_images, valid=valid_images, size=PHANTOM_SIZE)
    encode_phantoms(data)
    own = ["--config", str(config), "--save-dir", str(args.save_dir)]
    for name in ("size", "devices", "checkpoint", "vocabulary"):
        value = getattr(args, name)
        own += [] if value is None else [f"--{name}", str(value)]
    if args.allow_changed:
        own += ["--allow-changed", ",".join(args.allow_changed)]
    # A process of its own: on several devices it turns into torchrun.
    train = [sys.executable, sys.argv[0], "pretrain", *PHANTOM_OPTIONS, *own, *options]
    status = run_child(train)
    if status != 0:
        return status
    return report_losses(args.save_dir / "train.log")


def encode_phantoms(data: Path) -> None:
    """Train a small image tokenizer and encode the images; what is done already is left alone."""
    tokenizer = data / "tokenizer"
    steps: list[list[str]] = []
    if not (tokenizer / DESCRIPTION).is_file():
        updates = str(PHANTOM_TOKENIZER_UPDATES)
        images = ["--data", str(data / "images"), "--out", str(tokenizer)]
        steps.append(["train", *images, "--updates", updates])
    steps.append(["encode", str(data / "images"), "--tokenizer", str(tokenizer)])
    for step in steps:
        command = [sys.executable, "-m", "biomedgpt.cli.main", "vqgan", *step]
        if run_child(command) != 0:
            raise BiomedGPTError(f"biomedgpt vqgan {step[0]} failed, see above; fix that first")


def report_losses(log: Path) -> int:
    """Print how far the loss of each stream fell; return 1 if one did not fall enough."""
    losses: dict[str, dict[int, float]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if " | train_inner | {" not in line:
            continue
        stats = json.loads(line[line.index("{") :])
        for name, value in stats.items():
            if name.startswith("loss_") and value is not None:
                # Of an update that was repeated after a stop, the last one counts.
                losses.setdefault(name, {})[int(stats["num_updates"])] = float(value)
    status = 0
    for name, by_update in losses.items():
        values = [by_update[update] for update in sorted(by_update)]
        width = min(WINDOW, max(len(values) // 2, 1))
        first, last = mean(values[:width]), mean(values[-width:])
        fall = 1 - last / first
        enough = fall >= LEAST_FALL
        status = status if enough else 1
        print(
            f"{name:25} {first:6.3f} -> {last:6.3f} nats per token, {fall:5.1%} less"
            f"{'' if enough else f': below {LEAST_FALL:.0%}'}"
        )
    return status


# Evaluation


def evaluate_grounding(args: argparse.Namespace, unknown: list[str], _: object) -> int:
    """Score a split; write and print the scores."""
    if unknown:
        raise ConfigError(f"unrecognized arguments: {' '.join(unknown)}; see --help")
    split = PreparedDataset(args.data).split(args.split)
    trained = load_checkpoint(args.checkpoint or args.save_dir / LAST)
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
