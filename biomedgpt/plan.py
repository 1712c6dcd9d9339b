"""How to spread pretraining over GPUs: micro-batch, accumulation, memory and time.

A device takes as many examples at a time as fit (`biomedgpt.memory`) into its memory less a
reserve for CUDA itself and for fragmentation; gradients are accumulated until all devices together
have seen the batch. An epoch takes

    examples x operations of a training step per example (biomedgpt.flops) / (GPUs x speed)

seconds, where speed is that of the model per GPU, as a short run on the same GPUs logs it (tflops).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from biomedgpt.errors import ConfigError
from biomedgpt.flops import Workload, count_flops
from biomedgpt.memory import Memory, Precision, count_memory
from biomedgpt.model.config import PRESETS, ModelConfig, preset
from biomedgpt.model.model import BiomedGPT

GB = 2**30
RESERVE = 0.1
"""Share of a GPU's memory that is left to CUDA, its libraries and fragmentation."""
ASSUMED_TFLOPS = 90.0
"""Speed of the model on a GPU where none was measured: under a third of an A100's bf16 peak."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be trained, and on what."""

    size: str
    gpus: int
    gpu_memory: float
    """Of each GPU, in units of 2^30 bytes."""
    image_size: int = 256
    """Pixels along one side; 0 for text alone."""
    image_scales: int = 1
    """Sizes at which it is encoded, see `ModelConfig`."""
    sample_patches: int | None = None
    source: int = 512
    """Longest source text, in tokens."""
    target: int = 128
    """Longest target, in tokens."""
    batch: int = 256
    """Examples per update, on all devices together."""
    examples: int | None = None
    """Examples per epoch."""
    precision: Precision = "bf16"
    checkpoint_activations: bool = False
    ema: bool = True
    dropout: float = 0.1
    vocabulary: int = 59457
    tflops: float | None = None
    """Measured speed of the model per GPU in TFLOP/s."""

    def __post_init__(self) -> None:
        counts = ("gpus", "source", "target", "batch", "vocabulary", "image_scales")
        for name in (*counts, "examples", "sample_patches"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        for name in ("gpu_memory", "tflops"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be greater than 0, got {value}")
        if self.image_size < 0 or 0 < self.image_size < 16:
            raise ConfigError(f"image_size must be 0 or at least 16, got {self.image_size}")
        longest = self.config.max_positions
        if max(self.source, self.target) > longest:
            raise ConfigError(f"source and target must be at most {longest} tokens")
        largest = 16 * self.config.image_bucket_size * self.image_scales
        if self.image_size > largest:
            raise ConfigError(f"image_size must be at most {largest}, got {self.image_size}")

    @property
    def config(self) -> ModelConfig:
        """The model."""
        return preset(
            self.size,
            vocab_size=self.vocabulary,
            image_scales=self.image_scales,
            dropout=self.dropout,
            checkpoint_activations=self.checkpoint_activations,
        )

    def work(self, examples: int) -> Workload:
        """Return what a device computes at a time with a micro-batch of ``examples``."""
        return Workload(
            batch=examples,
            source=self.source,
            target=self.target,
            image=(self.image_size, self.image_size) if self.image_size else None,
            image_scales=self.image_scales,
            sample_patches=self.sample_patches,
        )

    def memory(self, examples: int) -> Memory:
        """Return the memory of a device with a micro-batch of ``examples``."""
        return count_memory(
            self.config,
            self.work(examples),
            parameters=count_parameters(self.config),
            precision=self.precision,
            devices=self.gpus,
            ema=self.ema,
        )

    @property
    def available(self) -> float:
        """Bytes of a GPU that may be filled."""
        return self.gpu_memory * GB * (1 - RESERVE)

    def fits(self, examples: int) -> bool:
        """Say if a micro-batch fits."""
        return self.memory(examples).total <= self.available


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What came out."""

    job: Job
    parameters: int
    micro_batch: int
    """Examples per device and step."""
    accumulation: int
    """Steps per update."""
    memory: Memory
    flops_per_example: float
    """Of a training step."""
    speed: float
    """TFLOP/s per GPU that the time is reckoned with."""

    @property
    def batch(self) -> int:
        """Examples per update."""
        return self.micro_batch * self.accumulation * self.job.gpus

    @property
    def examples_per_second(self) -> float:
        """On all GPUs together."""
        return self.speed * 1e12 * self.job.gpus / self.flops_per_example

    @property
    def epoch_hours(self) -> float | None:
        """Time of one epoch, or None without the number of examples."""
        if self.job.examples is None:
            return None
        return self.job.examples / self.examples_per_second / 3600

    @property
    def options(self) -> list[str]:
        """Options of fairseq-train that this comes to."""
        precision = [] if self.job.precision == "fp32" else [f"--{self.job.precision}"]
        recompute = ["--checkpoint-activations"] if self.job.checkpoint_activations else []
        average = ["--store-ema", "--ema-fp32"] if self.job.ema else []
        steps = ["--batch-size", str(self.micro_batch), "--update-freq", str(self.accumulation)]
        return [*steps, *precision, *recompute, *average]

    @property
    def assumptions(self) -> list[str]:
        """What the figures rest on, in sentences."""
        measured = (
            "as measured (--tflops)"
            if self.job.tflops is not None
            else "not measured; give --tflops, which a short run logs"
        )
        return [
            f"every example is as long as allowed: {self.job.source} source tokens, "
            f"{self.job.target} target tokens, {self.job.work(1).patches} patches",
            f"speed {self.speed:g} TFLOP/s per GPU ({measured}); reading data and the exchange of "
            "gradients hide behind it",
            f"{RESERVE:.0%} of each GPU's memory is left to CUDA and fragmentation",
            "attention keeps its weights; a fused kernel needs less",
            "each GPU holds all weights and the whole optimizer state (DDP)",
        ]


@cache
def count_parameters(config: ModelConfig) -> int:
    """Return the number of parameters without making them."""
    with torch.device("meta"):
        return BiomedGPT(config).num_parameters()


def make_plan(job: Job) -> Plan:
    """Return the plan with the fewest steps per update.

    Raises:
        ConfigError: not one example fits; the message says what to change.
    """
    if not job.fits(1):
        raise ConfigError(_what_to_change(job))
    share = -(-job.batch // job.gpus)
    most = largest(job.fits, share)
    accumulation = -(-share // most)
    micro_batch = -(-share // accumulation)
    return Plan(
        job=job,
        parameters=count_parameters(job.config),
        micro_batch=micro_batch,
        accumulation=accumulation,
        memory=job.memory(micro_batch),
        flops_per_example=count_flops(job.config, job.work(micro_batch)).training / micro_batch,
        speed=job.tflops or ASSUMED_TFLOPS,
    )


def largest(fits: Callable[[int], bool], limit: int) -> int:
    """Return the largest number up to ``limit`` that fits, where 1 does, by bisection."""
    return 1 + bisect_left(range(2, limit + 1), True, key=lambda number: not fits(number))


def _what_to_change(job: Job) -> str:
    memory = job.memory(1)
    message = (
        f"{job.size} does not fit: one example takes {memory.total / GB:.1f} GB per GPU, "
        f"{memory.state / GB:.1f} of it for weights, gradients and optimizer, and of "
        f"{job.gpu_memory:g} GB {job.available / GB:.1f} may be filled"
    )
    for what, changed in _remedies(job):
        if changed.fits(1):
            return f"{message}; it would fit with {what}"
    needed = memory.total / (1 - RESERVE) / GB
    return f"{message}; use GPUs of at least {needed:.0f} GB"


def _remedies(job: Job) -> Iterator[tuple[str, Job]]:
    """Yield what could help, the least loss first; each adds to the ones before."""
    names = list(PRESETS)
    smaller = reversed(names[: names.index(job.size)])
    steps: list[tuple[str, dict[str, Any]]] = [
        ("--precision bf16", {"precision": "bf16"}),
        ("--checkpoint-activations", {"checkpoint_activations": True}),
        ("--no-ema", {"ema": False}),
        ("--source 128", {"source": 128}),
        ("--image-size 128", {"image_size": 128}),
        *((f"--size {name}", {"size": name}) for name in smaller),
    ]
    words: list[str] = []
    for option, change in steps:
        changed = replace(job, **change)
        # Half precision may need more: its optimizer keeps full weights and gradients beside. What
        # the job has already needs as much.
        if changed.memory(1).total < job.memory(1).total:
            words = [word for word in words if not word.startswith("--size")] + [option]
            job = changed
            yield " ".join(words), job
