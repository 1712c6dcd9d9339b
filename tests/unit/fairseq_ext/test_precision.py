"""Half precision trains what float32 trains: optimizers, averages and batch norm, on a CPU."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("fairseq", reason="needs the train extra")

from fairseq import optim
from fairseq.optim import adam
from omegaconf import OmegaConf

from biomedgpt.model import preset
from biomedgpt.model.resnet import BatchNorm, ResNet
from fairseq_ext import checkpoints
from fairseq_ext.adam import FairseqAdam
from fairseq_ext.ema import TiedEMA
from fairseq_ext.models import FairseqBiomedGPT

HALF = (torch.float16, torch.bfloat16)
OPTIMIZER = OmegaConf.create(
    {
        "_name": "adam",
        "adam_betas": "(0.9,0.999)",
        "adam_eps": 1e-8,
        "weight_decay": 0.1,
        "use_old_adam": False,
        "fp16_adam_stats": False,
        "tpu": False,
        "lr": [1e-3],
    }
)


FAST = OmegaConf.merge(OPTIMIZER, {"lr": [0.05]})
"""A step that bfloat16 can tell from none."""


def settings(**common: Any) -> SimpleNamespace:
    """Return fairseq's options as far as its optimizers look at them."""
    given = {
        "fp16": False,
        "bf16": False,
        "fp16_no_flatten_grads": False,
        "fp16_init_scale": 128,
        "fp16_scale_window": 128,
        "fp16_scale_tolerance": 0.0,
        "threshold_loss_scale": None,
        "min_loss_scale": 1e-4,
        "amp_scale_window": None,
        "memory_efficient_fp16": False,
        "memory_efficient_bf16": False,
        "model_parallel_size": 1,
    }
    return SimpleNamespace(
        common=SimpleNamespace(**given | common),
        optimizer=FAST,
        optimization=SimpleNamespace(update_freq=[1]),
        distributed_training=SimpleNamespace(distributed_world_size=1),
    )


@pytest.fixture
def cpu_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.cuda.amp, "GradScaler", lambda **options: torch.amp.GradScaler("cpu", **options)
    )


def amp(parameter: nn.Parameter, *, inner: Any, scale: float) -> Any:
    options = settings(fp16_init_scale=scale)
    return optim.AMPOptimizer(options, [parameter], inner(OPTIMIZER, [parameter]))


@pytest.mark.usefixtures("cpu_scaler")
@pytest.mark.parametrize("inner", [FairseqAdam, adam.FairseqAdam])
def test_amp_moves_weights_as_float32_does_whatever_the_scale(inner: Any) -> None:
    start = torch.randn(100, generator=torch.Generator().manual_seed(0))
    gradient = torch.randn(100, generator=torch.Generator().manual_seed(1)) * 1e-4

    def train(scale: float | None) -> Tensor:
        parameter = nn.Parameter(start.clone())
        if scale is None:
            optimizer = inner(OPTIMIZER, [parameter])
        else:
            optimizer = amp(parameter, inner=inner, scale=scale)
        for _ in range(20):
            optimizer.zero_grad()
            optimizer.backward((parameter * gradient).sum())
            optimizer.multiply_grads(0.5)
            optimizer.clip_grad_norm(1e-3)
            optimizer.step()
        return parameter.detach()

    expected = train(None)
    assert (expected - start).abs().mean() > 0.01
    for scale in (1.0, 128.0, 2.0**16, 2.0**24):
        torch.testing.assert_close(train(scale), expected)


@pytest.mark.usefixtures("cpu_scaler")
@pytest.mark.parametrize("inner", [FairseqAdam, adam.FairseqAdam])
def test_amp_leaves_weights_alone_where_gradients_overflow(inner: Any) -> None:
    parameter = nn.Parameter(torch.ones(4))
    optimizer = amp(parameter, inner=inner, scale=128.0)
    for factor, moved in ((float("inf"), False), (1.0, True)):
        before = parameter.detach().clone()
        optimizer.zero_grad()
        optimizer.backward((parameter * factor).sum())
        optimizer.clip_grad_norm(1.0)
        optimizer.step()
        assert torch.equal(parameter, before) != moved
    assert optimizer.scaler.get_scale() == 64.0


def build(parameters: list[nn.Parameter], **common: Any) -> Any:
    kind = "MemoryEfficientFP16Optimizer" if common.keys() & MEMORY_EFFICIENT else "FP16Optimizer"
    return getattr(optim, kind).build_optimizer(settings(**common), parameters)


MEMORY_EFFICIENT = {"memory_efficient_fp16", "memory_efficient_bf16"}
PRECISIONS: tuple[tuple[torch.dtype, dict[str, bool]], ...] = (
    (torch.float16, {"fp16": True}),
    (torch.float16, {"fp16": True, "fp16_no_flatten_grads": True}),
    (torch.float16, {"fp16": True, "memory_efficient_fp16": True}),
    (torch.bfloat16, {"bf16": True}),
    (torch.bfloat16, {"bf16": True, "memory_efficient_bf16": True}),
)


@pytest.mark.parametrize(("dtype", "common"), PRECISIONS)
def test_parameters_without_gradient_are_left_alone(
    dtype: torch.dtype, common: dict[str, bool]
) -> None:
    used, unused = (nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2))
    optimizer = build([used, unused], **common)
    for _ in range(50):
        optimizer.zero_grad()
        optimizer.backward(used.sum())
        optimizer.clip_grad_norm(0.0)
        optimizer.step()
    assert torch.equal(unused, torch.ones_like(unused))
    assert (used < 0.9).all()
    # A batch that uses it, too: it moves, and stands still again after that.
    optimizer.zero_grad()
    optimizer.backward(unused.sum() + used.sum())
    optimizer.clip_grad_norm(0.0)
    optimizer.step()
    moved = unused.detach().clone()
    assert (moved < 1).all()
    optimizer.zero_grad()
    optimizer.backward(used.sum())
    optimizer.clip_grad_norm(0.0)
    optimizer.step()
    assert torch.equal(unused, moved)


def test_a_run_with_one_flat_tensor_goes_on() -> None:
    """fairseq kept moments of all parameters in one row; runs begun so have such checkpoints."""
    shapes = ((2, 3), (4,))
    moments = torch.arange(10.0)
    flat = {"step": torch.tensor(7.0), "exp_avg": moments, "exp_avg_sq": moments**2}
    parameters = [nn.Parameter(torch.zeros(shape, dtype=torch.float16)) for shape in shapes]
    optimizer = build(parameters, fp16=True)
    group = optimizer.state_dict()["param_groups"][0]
    optimizer.load_state_dict(
        {"state": {0: flat}, "param_groups": [group | {"params": [0]}], "loss_scale": 4.0}
    )
    state = optimizer.state_dict()["state"]
    torch.testing.assert_close(state[0]["exp_avg"], moments[:6].view(2, 3))
    torch.testing.assert_close(state[1]["exp_avg_sq"], moments[6:] ** 2)
    assert int(state[1]["step"]) == 7
    assert optimizer.scaler.loss_scale == 4.0


def average(model: nn.Module, **options: Any) -> TiedEMA:
    given = {"ema_decay": 0.9999, "ema_fp32": False, "ema_seed_model": None}
    given |= {"ema_update_freq": 1, "ema_start_update": 0}
    return TiedEMA(model, SimpleNamespace(**given | options))


def averages(ema: TiedEMA) -> dict[str, Tensor]:
    found: dict[str, Tensor] = ema.fp32_params or ema.get_model().state_dict()
    return found


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_averages_move_in_every_precision(dtype: torch.dtype, asked: bool) -> None:
    torch.manual_seed(0)
    model = FairseqBiomedGPT(preset("nano", vocab_size=40)).to(dtype)
    ema = average(model, ema_fp32=asked)
    start = {key: value.float().clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(parameter.float().abs().mean().to(dtype) * 0.5)
    for update in range(200_000, 200_300):  # so far on the decay is that asked for
        ema.step(model, update)
    expected = 1 - 0.9999**300
    for key, new in model.state_dict().items():
        way = new.float() - start[key]
        moved = averages(ema)[key].float() - start[key]
        assert (moved - expected * way).abs().max() <= 0.01 * expected * way.abs().max() + 1e-7, key
    # What validation uses is the same, in the precision of the model.
    for key, value in ema.get_model().state_dict().items():
        torch.testing.assert_close(value, averages(ema)[key].to(value.dtype))


def test_a_checkpoint_has_the_average_once_and_in_full(tmp_path: Any) -> None:
    model = FairseqBiomedGPT(preset("nano", vocab_size=40)).half()
    ema = average(model)
    with torch.no_grad():
        ema.fp32_params["encoder.embed_tokens.weight"].fill_(1 + 1e-5)  # not 1 in float16 only
    # As fairseq's trainer hands it over: all in float32, and tied tensors apart.
    state = {
        "model": {key: value.float().clone() for key, value in model.state_dict().items()},
        "extra_state": {
            "ema": {k: v.float().clone() for k, v in ema.get_model().state_dict().items()},
            "ema_fp32_params": {key: value.clone() for key, value in ema.fp32_params.items()},
        },
    }
    path = tmp_path / "checkpoint.pt"
    checkpoints.write(state, str(path))
    extra = torch.load(path, weights_only=True)["extra_state"]
    assert "ema_fp32_params" not in extra
    assert (extra["ema"]["decoder.output_projection.weight"] == 1 + 1e-5).all()
    sizes = sum(value.numel() for value in model.parameters()) * 4 * 2
    assert path.stat().st_size < sizes * 1.2  # buffers and the zip file's table beside them


@pytest.mark.parametrize("dtype", HALF)
def test_batch_norm_keeps_its_statistics_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    mean, deviation = torch.randn(16, generator=generator) * 2, torch.rand(16) * 2 + 0.3
    norms = [BatchNorm(16), BatchNorm(16).to(dtype)]
    for batch in range(1500):
        drift = mean * (1 + 0.3 * batch / 1500)
        images = torch.randn(8, 16, 4, 4, generator=generator)
        images = (images * deviation[:, None, None] + drift[:, None, None]).to(dtype)
        outputs = [
            norm(images.to(norm.weight.dtype) if norm is norms[0] else images) for norm in norms
        ]
    assert outputs[1].dtype == dtype
    for name in ("running_mean", "running_var"):
        exact, half = (getattr(norm, name) for norm in norms)
        assert ((exact - half).abs() / deviation).max() < 1e-3


@pytest.mark.parametrize("mode", ["train", "frozen", "sync"])
@pytest.mark.parametrize("dtype", HALF)
def test_norms_of_the_resnet_stay_in_float32(mode: Any, dtype: torch.dtype) -> None:
    resnet = ResNet((1, 1, 1), width=8, batch_norm=mode)
    whole = copy.deepcopy(resnet)
    resnet.to(dtype)
    norms = {name: value for name, value in resnet.state_dict().items() if "conv" not in name}
    kept = {name: whole.state_dict()[name] for name in norms if "downsample.0" not in name}
    for name, value in kept.items():
        assert norms[name].dtype == value.dtype
        assert torch.equal(norms[name], value)
    assert resnet.conv1.weight.dtype == dtype
    if mode != "sync":  # which works on GPUs only
        assert resnet(torch.randn(2, 3, 32, 32, dtype=dtype)).dtype == dtype
    assert resnet.double().bn1.weight.dtype == torch.float64


def scale_of(optimizer: Any) -> float:
    scaler = optimizer.scaler
    return float(getattr(scaler, "loss_scale", None) or scaler.get_scale())


@pytest.mark.usefixtures("cpu_scaler")
@pytest.mark.parametrize(("dtype", "common"), [*PRECISIONS, (torch.float32, {"amp": True})])
def test_a_run_that_resumes_goes_on_from_the_very_weights(
    dtype: torch.dtype, common: dict[str, bool]
) -> None:
    """Bit for bit: steps of less than the weights' precision, and the scale of the loss."""
    gradients = torch.randn(10, 64, generator=torch.Generator().manual_seed(0))

    def make(start: Tensor) -> tuple[nn.Parameter, Any]:
        parameter = nn.Parameter(start.to(dtype, copy=True))
        if "amp" in common:
            return parameter, amp(parameter, inner=FairseqAdam, scale=128.0)
        optimizer = build([parameter], **common)
        optimizer.set_lr(1e-4)
        return parameter, optimizer

    def train(parameter: nn.Parameter, optimizer: Any, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            factor = float("inf") if step == 2 and dtype != torch.bfloat16 else 1.0
            optimizer.backward((parameter * gradients[step].to(dtype)).sum() * factor)
            try:
                optimizer.clip_grad_norm(1.0)
                optimizer.step()
            except OverflowError:  # of --fp16: the trainer leaves the update out
                pass

    start = torch.randn(64, generator=torch.Generator().manual_seed(1))
    whole, optimizer = make(start)
    train(whole, optimizer, range(10))

    first, optimizer = make(start)
    train(first, optimizer, range(5))
    stored = copy.deepcopy((first.detach(), optimizer.state_dict()))
    second, resumed = make(stored[0])
    resumed.load_state_dict(stored[1])
    assert resumed.scaler is None or scale_of(resumed) == scale_of(optimizer)
    train(second, resumed, range(5, 10))
    assert torch.equal(second, whole)
    assert not torch.equal(second, first)
