"""Speed, utilisation and memory of training, logged by fairseq with its other statistics.

examples_per_s and tokens_per_s are those of all processes together; tokens are those of source and
target that are no padding. tflops is the model's operations (`biomedgpt.flops`, padding included)
per second and device, mfu its share of what the device can do, in percent; peak_gb is the memory of
the first process in 2^30 bytes, like fairseq's gb_free: allocated by torch in the update on a GPU,
resident so far on a CPU.
"""

import resource
import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from fairseq.logging import metrics
from torch import Tensor, nn

from biomedgpt.flops import Workload, count_flops, peak_tflops
from biomedgpt.model import BiomedGPT, ModelConfig


class WorkCounter:
    """Counts what a model computes in training; it watches the model's forward passes."""

    def __init__(self, model: BiomedGPT) -> None:
        self.flops = 0
        self.tokens: Tensor | int = 0
        model.register_forward_pre_hook(self._count_pass, with_kwargs=True)
        model.decoder.output_projection.register_forward_pre_hook(self._count_logits)

    def take(self) -> dict[str, Tensor | int]:
        """Return what was counted since the last call, as sums to log."""
        found = {"flops": self.flops, "tokens": self.tokens}
        self.flops = self.tokens = 0
        return found

    def _count_pass(self, model: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        if not model.training:
            return
        names = ("src_tokens", "prev_output_tokens", "patch_images")
        inputs = dict(zip(names, args, strict=False)) | inputs
        source, target = inputs["src_tokens"], inputs["prev_output_tokens"]
        images = inputs.get("patch_images")
        config = model.config
        assert isinstance(config, ModelConfig)
        work = Workload(
            batch=len(source),
            source=source.shape[1],
            target=target.shape[1],
            image=None if images is None else (images.shape[2], images.shape[3]),
            image_scales=config.image_scales,
            sample_patches=inputs.get("sample_patch_num"),
            projected=0,
        )
        self.flops += count_flops(config, work).training
        self.tokens = self.tokens + source.ne(config.pad).sum() + target.ne(config.pad).sum()

    def _count_logits(self, projection: nn.Linear, args: tuple[Tensor, ...]) -> None:
        if projection.training:
            (features,) = args
            self.flops += 6 * features.numel() * projection.out_features


class Throughput:
    """Turns logged sums into speeds.

    Args:
        peak: what a device can do in TFLOP/s; by default that of the GPU's data sheet. Without
            either, utilisation is not reported.
    """

    def __init__(self, peak: float | None) -> None:
        self.peak = peak

    def log(self, logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the speed of an update; called where fairseq reduces the statistics of one."""
        if not any("flops" in log for log in logging_outputs):
            return  # validation
        sums = {
            name: float(sum(log.get(name, 0) for log in logging_outputs))
            for name in ("nsentences", "tokens", "flops")
        }
        metrics.log_speed("examples_per_s", sums["nsentences"], priority=110, round=2)
        metrics.log_speed("tokens_per_s", sums["tokens"], priority=111, round=1)
        devices = dist.get_world_size() if dist.is_initialized() else 1
        metrics.log_speed("tflops", sums["flops"] / devices / 1e12, priority=112, round=4)
        peak = self.peak or _peak_of_this_gpu()
        if peak is not None:
            share = 100 * sums["flops"] / devices / 1e12 / peak
            metrics.log_speed("mfu", share, priority=113, round=2)
        metrics.log_scalar("peak_gb", _peak_memory() / 2**30, weight=0, priority=1400, round=2)


def _peak_of_this_gpu() -> float | None:
    return peak_tflops(torch.cuda.get_device_name()) if torch.cuda.is_initialized() else None


def _peak_memory() -> float:
    """Return the peak memory of this process, in bytes."""
    free = metrics.get_meter("train", "gb_free")
    if free is not None:
        # fairseq has noted what the update left of the GPU, and begun a new peak.
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return float(total - free.val * 2**30)
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
