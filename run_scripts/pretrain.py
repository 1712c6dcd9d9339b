"""Pretraining: checks everything first, then fairseq with the settings below.

    python run_scripts/pretrain.py --config FILE --save-dir DIR [options]

Options that are not listed by ``--help`` go to fairseq-train, after its parser has confirmed them.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]
warnings.simplefilter("ignore")  # other people's deprecations; ours are log records

from commands import (  # noqa: E402
    Devices,
    check_precision,
    choose_devices,
    count_updates,
    device_arguments,
)
from options import Parser, check_options, refuse_options_of_the_recipe  # noqa: E402
from preflight import preflight_run  # noqa: E402
from recipes import SIZES  # noqa: E402
from training import in_use, keep_vocabulary, run_training  # noqa: E402

from biomedgpt.cli.entry import run_command  # noqa: E402
from biomedgpt.errors import BiomedGPTError, ConfigError  # noqa: E402
from biomedgpt.files import atomic_path  # noqa: E402
from biomedgpt.plan import Job  # noqa: E402
from biomedgpt.pretraining.batches import TRAIN, VALID, PretrainingExamples  # noqa: E402
from biomedgpt.pretraining.run_file import PretrainingConfig  # noqa: E402
from biomedgpt.vocabulary import BPE_VARIABLE, Vocabulary  # noqa: E402

# OFA, run_scripts/pretraining, which BiomedGPT's scripts follow. From scratch the learning rate and
# the number of epochs are ours.
SETTINGS = (
    *("--criterion", "adjust_label_smoothed_cross_entropy", "--label-smoothing", "0.0"),
    *("--optimizer", "adam", "--adam-betas", "(0.9,0.999)", "--adam-eps", "1e-08"),
    *("--weight-decay", "0.01", "--clip-norm", "5.0", "--lr-scheduler", "polynomial_decay"),
    *("--dropout", "0.1", "--attention-dropout", "0.0", "--resnet-drop-path-rate", "0.0"),
    *("--encoder-drop-path-rate", "0.1", "--decoder-drop-path-rate", "0.1"),
    *("--update-freq", "1", "--fixed-validation-seed", "7", "--seed", "7"),
    *("--no-epoch-checkpoints", "--save-interval-updates", "1000"),
    *("--keep-interval-updates", "1", "--log-interval", "10", "--log-format", "json"),
    # The data are a file; fairseq looks for further validation sets in a folder.
    "--ignore-unused-valid-subsets",
)
DEFAULT_SIZE = "base"
LEARNING_RATE, SCRATCH_LEARNING_RATE = 1e-4, 5e-4
EPOCHS, SCRATCH_EPOCHS = 10, 20
WARMUP_RATIO = 0.01
BATCH_SIZE = dict(zip(SIZES, (32, 16, 16, 16, 4, 2), strict=True))
"""Examples per device and step; `biomedgpt plan` says what fits."""

SMOKE_UPDATES = 4
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


def main() -> int:
    """Run the recipe; return its exit status."""
    logging.getLogger().addHandler(logging.NullHandler())  # or fairseq's models bring a loud one
    return run_command(run_recipe)


def run_recipe() -> int:
    """Do what the command line says."""
    args, options = parse(sys.argv[1:])
    if args.config is None:
        return smoke(args, options)
    return train(args, options)


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Separate the recipe's options from fairseq's."""
    parser = Parser(
        prog="pretrain.sh",
        allow_abbrev=False,
        description="Pretrain on the corpora that a configuration names.",
        epilog="All other options are fairseq-train's.",
    )
    for option, metavar, what in (
        ("--config", "FILE", "configuration (TOML) of corpora and weights"),
        ("--save-dir", "DIR", "folder of the run"),
        ("--checkpoint", "FILE", "weights to continue from; the optimizer starts afresh"),
        (
            "--vocabulary",
            "DIR",
            "folder of the vocabulary (default: the run's, or vocabulary beside the configuration)",
        ),
    ):
        required = option == "--save-dir"
        parser.add_argument(option, type=Path, metavar=metavar, required=required, help=what)
    parser.add_argument("--size", choices=SIZES, help="size of the model (default: base)")
    parser.add_argument(
        "--devices", type=int, metavar="N", help="GPUs (default: all); with --cpu, processes"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="a few updates; without --config on phantoms"
    )
    args, options = parser.parse_known_args(arguments)
    if args.config is None and not args.smoke:
        raise ConfigError("give --config FILE, or --smoke to see all streams run on phantoms")
    refuse_options_of_the_recipe(options)
    return args, options


def train(args: argparse.Namespace, options: list[str]) -> int:
    """Train, or go on if the folder holds a run."""
    config = PretrainingConfig.load(args.config)
    vocabulary = find_vocabulary(args)
    try:
        import fairseq_ext  # noqa: F401
    except ImportError as error:
        raise ConfigError(str(error)) from error
    if args.checkpoint is not None and not args.checkpoint.is_file():
        raise ConfigError(f"no checkpoint at {args.checkpoint}; give an existing file")
    loaded = Vocabulary.load(vocabulary)
    examples = PretrainingExamples(config, loaded, TRAIN)
    validates = True
    try:
        PretrainingExamples(config, loaded, VALID)
    except ConfigError:
        validates = False  # no stream has a validation split
    devices = choose_devices(args, options)
    command, updates = training_command(
        args, options, rows=len(examples), devices=devices, validates=validates
    )

    folder = args.save_dir
    facts = folder / "run.json"
    for warning in preflight(args, config, command, loaded, devices):
        print(f"warning: {warning}", flush=True)
    if in_use(folder) and facts.is_file():
        begun = json.loads(facts.read_text(encoding="utf-8")).get("examples")
        if begun != examples.fingerprint:
            raise ConfigError(
                f"{folder} holds a run on other data, weights or seed than {args.config} names; "
                "use a new folder, and --checkpoint to continue from its weights"
            )
    # From here on files are written.
    keep_vocabulary(vocabulary, folder)
    content = {
        "recipe": "pretraining",
        "command": " ".join(["fairseq-train", *command]),
        "examples": examples.fingerprint,
    }
    with atomic_path(facts) as path:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    describe(examples)
    run_training(command, folder=folder, updates=updates, devices=devices)
    return 0


def find_vocabulary(args: argparse.Namespace) -> Path:
    """Return the folder of the vocabulary: as asked for, the run's, the data's, or BPE files."""
    beside: Path = args.config.parent / "vocabulary"
    kept: Path = args.save_dir / "vocabulary"
    if args.vocabulary is not None:
        asked: Path = args.vocabulary
        return asked
    if kept.is_dir() and in_use(args.save_dir):
        return kept
    if args.checkpoint is None and beside.is_dir():
        return beside
    if BPE_VARIABLE in os.environ:
        return Path(os.environ[BPE_VARIABLE])
    raise ConfigError(
        "no vocabulary; give the folder of the one that the checkpoint was trained with "
        f"(encoder.json, vocab.bpe, dict.txt) with --vocabulary DIR or ${BPE_VARIABLE}"
    )


def training_command(
    args: argparse.Namespace, options: list[str], *, rows: int, devices: Devices, validates: bool
) -> tuple[list[str], int]:
    """Return fairseq-train's arguments and the number of updates they make."""
    from fairseq.options import get_training_parser

    size = args.size or DEFAULT_SIZE
    scratch = args.checkpoint is None
    command = [
        *(str(args.config), "--user-dir", str(ROOT / "fairseq_ext")),
        *("--task", "biomedgpt_pretraining", "--vocabulary", str(args.save_dir / "vocabulary")),
        *("--arch", f"biomedgpt_{size}", "--save-dir", str(args.save_dir), *SETTINGS),
        *("--lr", str(SCRATCH_LEARNING_RATE if scratch else LEARNING_RATE)),
        *("--max-epoch", str(SCRATCH_EPOCHS if scratch else EPOCHS)),
        *("--batch-size", str(BATCH_SIZE[size])),
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
    command += options

    parsed = check_options(get_training_parser("biomedgpt_pretraining"), command)
    check_precision(parsed, devices)
    updates = count_updates(parsed, rows=rows, devices=devices)
    if "--total-num-update" not in options:
        command += ["--total-num-update", str(updates)]
    if "--warmup-updates" not in options:
        command += ["--warmup-updates", str(int(WARMUP_RATIO * updates))]
    return command, updates


def preflight(
    args: argparse.Namespace,
    config: PretrainingConfig,
    command: list[str],
    vocabulary: Vocabulary,
    devices: Devices,
) -> list[str]:
    """Check data, disk, address and checkpoint before devices are taken; return warnings.

    Raises:
        ConfigError: something is amiss.
    """
    from fairseq.options import get_training_parser

    options = check_options(get_training_parser("biomedgpt_pretraining"), list(command))
    job = Job(
        size=args.size or DEFAULT_SIZE,
        gpus=devices.count,
        gpu_memory=1.0,  # not looked at
        image_size=config.image_size,
        image_scales=vars(options).get("image_scales", 1),  # model options have no default here
        sample_patches=config.sampled_patches or None,
        source=config.max_source_tokens,
        target=config.max_target_tokens,
        batch=options.batch_size * options.update_freq[0] * devices.count,
        precision="bf16" if options.bf16 else "fp16" if options.fp16 else "fp32",
        checkpoint_activations="--checkpoint-activations" in command,
        ema="--store-ema" in command,
        dropout=options.dropout,
        vocabulary=len(vocabulary),
    )
    return preflight_run(
        datasets=list(dict.fromkeys(folder for entry in config.streams for folder in entry.data)),
        save_dir=args.save_dir,
        job=job,
        micro_batch=options.batch_size,
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
        draw_phantoms(data)
    encode_phantoms(data)
    own = ["--config", str(config), "--save-dir", str(args.save_dir)]
    for name in ("size", "devices", "checkpoint", "vocabulary"):
        value = getattr(args, name)
        own += [] if value is None else [f"--{name}", str(value)]
    # A process of its own: on several devices it turns into torchrun.
    status = subprocess.run(
        [sys.executable, __file__, *PHANTOM_OPTIONS, *own, *options], check=False
    ).returncode
    if status != 0:
        return status
    return report_losses(args.save_dir / "train.log")


def draw_phantoms(data: Path) -> None:
    """Write the corpora."""
    from biomedgpt.data.phantom_releases.corpora import write_phantom_corpora

    train, valid = PHANTOM_IMAGES
    print(f"drawing {train} phantoms", flush=True)
    write_phantom_corpora(data, train=train, valid=valid, size=PHANTOM_SIZE)


def encode_phantoms(data: Path) -> None:
    """Train a small image tokenizer and encode the images; what is done already is left alone."""
    from biomedgpt.vqgan.tokenizer import DESCRIPTION

    tokenizer = data / "tokenizer"
    steps: list[list[str]] = []
    if not (tokenizer / DESCRIPTION).is_file():
        steps.append(["train", "--data", str(data / "images"), "--out", str(tokenizer)])
        steps[-1] += ["--updates", str(PHANTOM_TOKENIZER_UPDATES)]
    steps.append(["encode", str(data / "images"), "--tokenizer", str(tokenizer)])
    for step in steps:
        command = [sys.executable, "-m", "biomedgpt.cli.main", "vqgan", *step]
        if subprocess.run(command, check=False, cwd=ROOT).returncode != 0:
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


if __name__ == "__main__":
    sys.exit(main())
