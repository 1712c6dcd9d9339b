"""The planner: its memory formula against torch's own tracker, and what it recommends."""

import json
from typing import Any

import pytest
import torch
from torch.distributed._tools.mem_tracker import MemTracker

from biomedgpt.cli.main import main
from biomedgpt.errors import ConfigError
from biomedgpt.flops import Workload, count_flops
from biomedgpt.loss import LossConfig, SequenceLoss
from biomedgpt.memory import Memory, count_memory
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.model.cpu.autograd import TokenEmbedding
from biomedgpt.plan import GB, RESERVE, Job, largest, make_plan

XLARGE = ["plan", "--size", "xlarge", "--gpus", "8", "--gpu-memory", "80"]


def measure(size: str, work: Workload, *, padding: bool, **options: Any) -> tuple[int, Memory]:
    """Peak of one training step in bytes, weights and gradients not counted; and the formula's."""
    torch.manual_seed(1)
    vocabulary = options.pop("vocab_size", 1000)
    config = preset(size, vocab_size=vocabulary, **options)
    model = BiomedGPT(config).train()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    source = torch.randint(4, vocabulary, (work.batch, work.source))
    if padding:
        source[0, -2:] = config.pad
    target = torch.randint(4, vocabulary, (work.batch, work.target))
    images = None if work.image is None else torch.randn(work.batch, 3, *work.image)
    batch = {
        "net_input": {
            "src_tokens": source,
            "prev_output_tokens": target,
            "patch_images": images,
        },
        "target": target,
        "constraint_nodes": None,
        "conf": None,
    }
    loss = SequenceLoss(LossConfig(label_smoothing=0.1, sample_patch_num=work.sample_patches or 0))
    tracker = MemTracker()
    inputs = [value for value in (source, target, images) if value is not None]
    tracker.track_external(model, *inputs)
    with tracker:
        loss(model, batch).loss.backward()
    peak = sum(memory["Total"] for memory in tracker.get_tracker_snapshot("peak").values())
    parameters = model.num_parameters()
    peak -= 8 * parameters + sum(buffer.nbytes for buffer in model.buffers())
    expected = count_memory(
        config, work, parameters=parameters, precision="fp32", ema=False, padding=padding
    )
    return peak, expected


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(
    ("size", "work", "padding", "options"),
    [
        ("nano", Workload(batch=8, source=32, target=16, image=(96, 96)), False, {}),
        ("nano", Workload(batch=4, source=128, target=64), True, {}),
        (
            "nano",
            Workload(batch=4, source=128, target=16, image=(128, 128), sample_patches=30),
            False,
            {},
        ),
        (
            "nano",
            Workload(batch=8, source=32, target=64, image=(96, 96)),
            False,
            {"vocab_size": 20_000},
        ),
        (
            "nano",
            Workload(batch=2, source=32, target=8, image=(64, 64)),
            False,
            {"vocab_size": 59_457},
        ),
        (
            "tiny",
            Workload(batch=2, source=256, target=32, image=(128, 128)),
            True,
            {"dropout": 0.1},
        ),
    ],
)
def test_memory_formula_agrees_with_torch(
    monkeypatch: pytest.MonkeyPatch,
    size: str,
    work: Workload,
    padding: bool,
    options: dict[str, Any],
    recompute: bool,
) -> None:
    # As on a GPU, where lookups have gradients of the whole matrix.
    monkeypatch.setattr(TokenEmbedding, "_adds_rows", lambda self: False)
    peak, memory = measure(size, work, padding=padding, checkpoint_activations=recompute, **options)
    assert memory.activations + memory.vocabulary == pytest.approx(peak, rel=0.2)


def test_state_of_half_precision_has_full_weights_beside() -> None:
    work = Workload(batch=1, source=8, target=4)
    memory = {
        precision: count_memory(
            preset("nano"), work, parameters=1000, precision=precision, devices=8
        )
        for precision in ("fp32", "bf16", "fp16")
    }
    assert memory["fp32"].state == 1000 * (4 + 4 + 8 + 8 + 4)
    assert memory["bf16"].state == memory["fp16"].state == 1000 * (2 + 2 + 16 + 6 + 2)
    assert memory["bf16"].activations < memory["fp32"].activations


def test_a_plan_fits_and_reaches_the_batch() -> None:
    job = Job(size="xlarge", gpus=8, gpu_memory=80, examples=1_000_000, tflops=100)
    plan = make_plan(job)
    assert plan.memory.total <= 80 * GB * (1 - RESERVE)
    assert plan.batch >= job.batch
    assert job.memory(plan.micro_batch).total == plan.memory.total
    # Fewer steps would need a micro-batch that does not fit.
    if plan.accumulation > 1:
        assert not job.fits(-(-job.batch // job.gpus // (plan.accumulation - 1)))
    flops = count_flops(job.config, job.work(1)).training
    assert plan.epoch_hours == pytest.approx(1e6 * flops / 800e12 / 3600, rel=0.02)


def test_recomputing_gives_larger_steps() -> None:
    job = {"size": "large", "gpus": 8, "gpu_memory": 24, "batch": 1024}
    plain = make_plan(Job(**job))
    recomputed = make_plan(Job(**job, checkpoint_activations=True))
    assert recomputed.micro_batch > 2 * plain.micro_batch
    assert recomputed.accumulation < plain.accumulation
    assert "--checkpoint-activations" in recomputed.options


@pytest.mark.parametrize(("limit", "fitting"), [(1, 1), (7, 7), (100, 41), (41, 41), (42, 41)])
def test_bisection_finds_the_largest(limit: int, fitting: int) -> None:
    assert largest(lambda number: number <= 41, limit) == fitting


@pytest.mark.parametrize(
    ("size", "memory", "advice"),
    [
        ("xlarge", 26.0, "it would fit with --checkpoint-activations"),
        ("xlarge", 24.0, "it would fit with --checkpoint-activations --no-ema"),
        ("xlarge", 3.0, "--size medium"),
        ("nano", 0.01, "use GPUs of at least"),
    ],
)
def test_what_to_change_when_nothing_fits(size: str, memory: float, advice: str) -> None:
    with pytest.raises(ConfigError, match="does not fit: one example takes") as caught:
        make_plan(Job(size=size, gpus=8, gpu_memory=memory))
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 0}, "gpus must be at least 1"),
        ({"gpu_memory": -1.0}, "gpu_memory must be greater than 0"),
        ({"gpu_memory": float("nan")}, "gpu_memory must be greater than 0"),
        ({"source": 2000}, "at most 1024 tokens"),
        ({"image_size": 8}, "image_size must be 0 or at least 16"),
        ({"image_size": 1000}, "image_size must be at most 672"),
        ({"examples": 0}, "examples must be at least 1"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Job(**({"size": "base", "gpus": 1, "gpu_memory": 24} | options))


def test_command_prints_the_plan_and_its_assumptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*XLARGE, "--examples", "1000000"]) == 0
    page = capsys.readouterr().out
    for words in ("micro-batch", "accumulation", "80 GB", "hours for 1,000,000", "not measured"):
        assert words in page


def test_command_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*XLARGE, "--checkpoint-activations", "--tflops", "120", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["job"]["checkpoint_activations"] is True
    assert found["batch"] == found["micro_batch"] * found["accumulation"] * 8
    assert found["memory_bytes"]["total"] < 80 * GB
    assert any("as measured" in text for text in found["assumptions"])


def test_command_says_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--size", "xlarge", "--gpus", "8", "--gpu-memory", "16"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: xlarge does not fit")
    assert error.count("\n") == 1
