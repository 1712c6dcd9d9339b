"""The formula against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from biomedgpt.flops import Workload, count_flops, peak_tflops
from biomedgpt.model import BiomedGPT, preset


@pytest.mark.parametrize(
    ("size", "image", "sampled", "scales"),
    [
        ("nano", (96, 96), None, 1),
        ("nano", (50, 70), 5, 1),
        ("nano", None, None, 1),
        ("tiny", (128, 128), None, 1),
        ("tiny", (128, 128), 20, 1),
        ("nano", (96, 192), None, 3),
    ],
)
def test_flops_are_those_torch_counts(
    size: str, image: tuple[int, int] | None, sampled: int | None, scales: int
) -> None:
    config = preset(size, vocab_size=500, image_scales=scales)
    model = BiomedGPT(config).train()
    source, target = torch.full((2, 11), 5), torch.full((2, 7), 5)
    pixels = None if image is None else torch.randn(2, 3, *image)
    work = Workload(
        batch=2,
        source=11,
        target=7,
        image=image,
        image_scales=scales,
        sample_patches=sampled,
    )
    counter = FlopCounterMode(display=False)
    with counter:
        logits = model(source, target, pixels, sample_patch_num=sampled)
        forward = counter.get_total_flops()
        logits.square().sum().backward()
    found = count_flops(config, work)
    assert found.forward == forward
    assert found.training == counter.get_total_flops()


def test_fewer_projected_positions_cost_less() -> None:
    config = preset("base")
    work = Workload(batch=2, source=10, target=8)
    assert count_flops(config, work).logits == 2 * 16 * 768 * 59457
    some = Workload(batch=2, source=10, target=8, projected=3)
    assert count_flops(config, some).logits == 2 * 3 * 768 * 59457


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("Tesla V100-SXM2-32GB", 125.0),
        ("NVIDIA A10", 125.0),
        ("some CPU", None),
    ],
)
def test_peaks_are_found_by_name(name: str, peak: float | None) -> None:
    assert peak_tflops(name) == peak
