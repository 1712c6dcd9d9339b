"""Looks at everything a long run needs before GPUs are taken, and lists all that is amiss.

Reading is kept cheap: of a checkpoint only names and shapes are read, and split files are hashed
once after every change.
"""

import argparse
import errno
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from biomedgpt.checkpoints.source import LAST
from biomedgpt.checkpoints.state_dict import EMBEDDING_KEY, identify_size, shapes_of
from biomedgpt.checkpoints.torch_file import PACKAGES, read_torch_file
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import BiomedGPTError, CheckpointError, ConfigError
from biomedgpt.model.config import ModelConfig
from biomedgpt.plan import GB, Job, count_parameters


def preflight_run(
    *,
    datasets: Sequence[Path],
    save_dir: Path,
    job: Job,
    micro_batch: int,
    gpu: bool,
    checkpoint: Path | None = None,
) -> list[str]:
    """Check a run before it starts.

    Args:
        datasets: folders of the prepared datasets it reads.
        save_dir: folder it writes to.
        job: model, devices and lengths, as for the planner; its `gpu_memory` is not used.
        micro_batch: examples per device and step.
        gpu: it runs on GPUs, of which this machine has some.
        checkpoint: weights it starts from.

    Returns:
        Warnings, each a sentence with a remedy.

    Raises:
        ConfigError: something is amiss; the message lists all of it, each with its remedy.
    """
    problems = [
        *(problem for folder in datasets for problem in _data(folder)),
        *_rendezvous(),
        *_weights(checkpoint, save_dir, job),
    ]
    refuse("the run cannot start yet", problems)
    return list(_gpu_memory(job, micro_batch)) if gpu else []


def refuse(what: str, problems: Sequence[str]) -> None:
    """Raise a ConfigError that lists problems, if there are any."""
    if problems:
        listed = problems[0] if len(problems) == 1 else "".join(f"\n  {line}" for line in problems)
        raise ConfigError(f"{what}: {listed}")


def missing_checkpoint(path: Path | None) -> list[str]:
    """Return what to say of a checkpoint that is not there."""
    if path is None or path.is_file():
        return []
    return [f"no checkpoint at {path} -> give an existing file"]


def checkpoint_bytes(config: ModelConfig, *, averaged: bool, half: bool) -> int:
    """Return the size of a checkpoint, all of it in float32.

    Weights take 4 bytes a parameter, Adam's two moments 8, the average 4, and in half precision
    the weights that are trained another 4; tied embeddings are stored once.
    """
    return count_parameters(config) * (12 + 4 * averaged + 4 * half)


def _data(folder: Path) -> Iterator[str]:
    try:
        dataset = PreparedDataset(folder)
    except BiomedGPTError as error:
        yield str(error)
        return
    for name in dataset.splits:
        try:
            dataset.split(name)
        except BiomedGPTError as error:
            yield str(error)


def disk_problems(
    save_dir: Path, config: ModelConfig, options: argparse.Namespace
) -> Iterator[str]:
    """Yield what to say of a folder that will not hold the checkpoints of a run.

    Args:
        save_dir: the folder, which exists.
        config: of the model.
        options: of fairseq-train.
    """
    each = checkpoint_bytes(config, averaged=options.store_ema, half=options.fp16 or options.bf16)
    # The last, the best, and those of --save-interval-updates; where two are the same, links.
    count = 1 + (not options.disable_validation)
    if options.save_interval_updates:
        count += max(1, options.keep_interval_updates)
    kept = {path.stat().st_ino: path.stat().st_size for path in save_dir.glob("checkpoint*.pt")}
    needed = (count + 1) * each - sum(kept.values())
    free = shutil.disk_usage(save_dir).free
    if free < needed:
        yield (
            f"{save_dir}: {free / GB:.2f} GB free, but {count} checkpoints of {each / GB:.2f} GB, "
            f"and one being written, need {needed / GB:.2f} -> make room, or give another "
            "--save-dir"
        )


def _rendezvous() -> Iterator[str]:
    """Look at the address where processes meet, if one is set."""
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if address is None and port is None:
        return  # torchrun finds a free port of its own
    if address is None or port is None:
        yield "only one of MASTER_ADDR and MASTER_PORT is set -> set both, or unset both"
        return
    if not port.isdecimal() or not 0 < int(port) < 65536:
        yield f"MASTER_PORT={port} is no port -> set it to 1024 to 65535"
        return
    try:
        found = socket.getaddrinfo(address, int(port), type=socket.SOCK_STREAM)
    except OSError:
        yield f"MASTER_ADDR={address} is unknown here -> set it to the name of the first node"
        return
    family, kind, protocol, _, place = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except PermissionError:
            yield f"port {port} may not be opened -> set MASTER_PORT to 1024 to 65535"
        except OSError as error:
            # Another node's address cannot be bound here, and that is as it should be.
            if error.errno == errno.EADDRINUSE:
                yield f"port {port} of {address} is in use -> set MASTER_PORT to another"


def _weights(checkpoint: Path | None, save_dir: Path, job: Job) -> Iterator[str]:
    last = save_dir / LAST
    for path, remedy in (
        (checkpoint, "get it again, or give another one"),
        (last if last.is_file() else None, "move it away, or give --restore-file FILE"),
    ):
        yield from missing_checkpoint(path)
        if path is None or not path.is_file():
            continue
        try:
            # Mapped: of the weights only names and shapes are looked at.
            state = read_torch_file(path, packages=PACKAGES, fix=remedy)
            shapes = shapes_of(state["model"])
        except CheckpointError as error:
            reason = (str(error.__cause__ or error).splitlines() or ["it ends too early"])[0]
            yield f"{path}: damaged, or no checkpoint ({reason[:100]}) -> {remedy}"
            continue
        except (KeyError, TypeError, AttributeError):
            yield f"{path}: not a fairseq checkpoint -> {remedy}"
            continue
        size = identify_size(shapes)
        if size is None:
            yield f"{path}: weights of no known size -> {remedy}"
        elif size != job.size:
            yield f"{path}: these are {size} weights, the run is {job.size} -> give --size {size}"
        elif shapes[EMBEDDING_KEY][0] != job.vocabulary:
            yield (
                f"{path}: its vocabulary has {shapes[EMBEDDING_KEY][0]} entries, the run's "
                f"{job.vocabulary} -> give the vocabulary it was trained with (--vocabulary)"
            )


@dataclass(frozen=True)
class _Gpu:
    name: str
    memory: int


def _gpus() -> list[_Gpu]:
    found = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return [_Gpu(device.name, device.total_memory) for device in found]


def _gpu_memory(job: Job, micro_batch: int) -> Iterator[str]:
    needed = job.memory(micro_batch).total
    for number, gpu in enumerate(_gpus()):
        if needed > gpu.memory:
            yield (
                f"GPU {number} ({gpu.name}) has {gpu.memory / GB:.0f} GB, and a micro-batch of "
                f"{micro_batch} may take {needed / GB:.0f} -> see `biomedgpt plan`, or lower "
                "--batch-size, or add --checkpoint-activations"
            )
