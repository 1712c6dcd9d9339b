"""`biomedgpt plan`: how to spread pretraining over GPUs."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from biomedgpt.cli import option
from biomedgpt.model.config import PRESETS

if TYPE_CHECKING:
    from biomedgpt.plan import Plan

# Name, kind of the value, what it is; the names are those of biomedgpt.plan.Job.
_NUMBERS: tuple[tuple[str, type, str], ...] = (
    ("image_size", int, "pixels along one side, 0 for text alone"),
    ("image_scales", int, "sizes at which images are encoded (default: 1)"),
    ("sample_patches", int, "patches drawn of each image (default: all of them)"),
    ("source", int, "longest source text, in tokens"),
    ("target", int, "longest target, in tokens"),
    ("batch", int, "examples per update, on all GPUs together"),
    ("examples", int, "examples per epoch, for its time"),
    ("dropout", float, "of the model"),
    ("vocabulary", int, "entries of the vocabulary"),
    ("tflops", float, "measured TFLOP/s of the model per GPU, as a run logs it"),
)


def add_parser(subparsers: Any) -> None:
    """Add ``plan``."""
    parser = subparsers.add_parser(
        "plan",
        help="say how to spread pretraining over GPUs: micro-batch, memory, time",
        description="Say how many examples a GPU takes at a time, how often gradients are "
        "accumulated, what memory that needs and how long an epoch takes. The formulas are in "
        "DESIGN.md; what they assume is printed.",
        epilog="example: biomedgpt plan --size xlarge --gpus 8 --gpu-memory 80",
    )
    option.choice(parser, "--size", PRESETS, "size of the model", required=True)
    option.integer(parser, "--gpus", "N", "on all nodes", required=True)
    option.number(parser, "--gpu-memory", "GB", "of each GPU, in 2^30 bytes", required=True)
    for name, kind, what in _NUMBERS:
        add = option.integer if kind is int else option.number
        add(parser, f"--{name.replace('_', '-')}", "N", what, default=argparse.SUPPRESS)
    what = "of weights and activations (default: bf16)"
    precisions = ("fp32", "bf16", "fp16")
    option.choice(parser, "--precision", precisions, what, default=argparse.SUPPRESS)
    option.flag(parser, "--checkpoint-activations", "recompute layers in the backward pass")
    option.without(parser, "ema", "no moving average of the weights")
    option.json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> None:
    """Print the plan."""
    from biomedgpt.plan import Job, make_plan

    plan = make_plan(option.call(Job, args))
    print(json.dumps(as_dict(plan), indent=2) if args.json else as_text(plan))


def as_dict(plan: "Plan") -> dict[str, Any]:
    """Return the plan as values of JSON; bytes, seconds and operations in their base units."""
    return {
        "job": dataclasses.asdict(plan.job),
        "parameters": plan.parameters,
        "micro_batch": plan.micro_batch,
        "accumulation": plan.accumulation,
        "batch": plan.batch,
        "memory_bytes": dataclasses.asdict(plan.memory) | {"total": plan.memory.total},
        "flops_per_example": plan.flops_per_example,
        "examples_per_second": plan.examples_per_second,
        "epoch_hours": plan.epoch_hours,
        "options": plan.options,
        "assumptions": plan.assumptions,
    }


def as_text(plan: "Plan") -> str:
    """Return the plan as a page for people."""
    from biomedgpt.plan import GB

    job, memory = plan.job, plan.memory
    parts = ", ".join(f"{name} {value / GB:.1f}" for name, value in vars(memory).items())
    epoch = "give --examples N"
    if plan.epoch_hours is not None:
        epoch = f"{_duration(plan.epoch_hours)} for {job.examples:,} examples"
    rows = [
        ("model", f"{job.size}, {plan.parameters / 1e6:,.1f} million parameters"),
        ("micro-batch", f"{_count(plan.micro_batch, 'example')} per GPU and step"),
        ("accumulation", f"{_count(plan.accumulation, 'step')} per update"),
        ("batch", f"{_count(plan.batch, 'example')} per update on {_count(job.gpus, 'GPU')}"),
        ("memory", f"{memory.total / GB:.1f} GB per GPU of {job.gpu_memory:g} GB: {parts}"),
        ("work", f"{plan.flops_per_example / 1e9:,.1f} GFLOP per example"),
        ("speed", f"{plan.examples_per_second:,.1f} examples/s"),
        ("epoch", epoch),
        ("options", " ".join(plan.options)),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {text}" for name, text in rows]
    return "\n".join([*lines, "", "assumed:", *(f"  {text}" for text in plan.assumptions)])


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
