"""Adam in one pass: the update of fairseq's optimizer, and states that either goes on with."""

import copy

import pytest
import torch
from torch import Tensor, nn

from biomedgpt.optimizer import Adam

SHAPES = ((30, 7), (5,), (2, 3, 4, 5))
LR, BETAS, EPS, DECAY = 1e-2, (0.9, 0.999), 1e-6, 0.1


def weights(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def gradients(update: int) -> list[Tensor]:
    """From large ones to some that are not larger than epsilon."""
    generator = torch.Generator().manual_seed(100 + update)
    return [torch.randn(shape, generator=generator) * 10.0 ** -(update % 8) for shape in SHAPES]


def give(parameters: list[nn.Parameter], update: int) -> None:
    for parameter, gradient in zip(parameters, gradients(update), strict=True):
        parameter.grad = gradient


def optimizer(parameters: list[nn.Parameter]) -> Adam:
    return Adam(parameters, lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)


def assert_equal(one: list[nn.Parameter], other: list[nn.Parameter]) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class WrittenOut:
    """The formula in float64: decoupled decay, epsilon beside the uncorrected moment."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.weights = [parameter.detach().double() for parameter in parameters]
        self.first = [torch.zeros_like(weight) for weight in self.weights]
        self.second = [torch.zeros_like(weight) for weight in self.weights]
        self.updates = 0

    def step(self, given: list[Tensor], *, factor: float, max_norm: float) -> float:
        self.updates += 1
        scaled = [gradient.double() * factor for gradient in given]
        norm = float(torch.cat([gradient.flatten() for gradient in scaled]).norm())
        if max_norm > 0:
            scaled = [gradient * min(1.0, max_norm / (norm + 1e-6)) for gradient in scaled]
        size = LR * (1 - BETAS[1] ** self.updates) ** 0.5 / (1 - BETAS[0] ** self.updates)
        for i, gradient in enumerate(scaled):
            self.first[i] = BETAS[0] * self.first[i] + (1 - BETAS[0]) * gradient
            self.second[i] = BETAS[1] * self.second[i] + (1 - BETAS[1]) * gradient**2
            decayed = self.weights[i] * (1 - LR * DECAY)
            self.weights[i] = decayed - size * self.first[i] / (self.second[i].sqrt() + EPS)
        return norm


@pytest.mark.parametrize("max_norm", [0.0, 0.5])
def test_updates_are_those_of_the_formula(max_norm: float) -> None:
    parameters = weights()
    adam, expected = optimizer(parameters), WrittenOut(parameters)
    for update in range(20):
        adam.zero_grad()
        give(parameters, update)
        adam.scale_gradients(1 / 3)
        norm = adam.clip_gradients(max_norm)
        adam.step()
        assert float(norm) == pytest.approx(
            expected.step(gradients(update), factor=1 / 3, max_norm=max_norm), rel=1e-5
        )
    for parameter, weight in zip(parameters, expected.weights, strict=True):
        torch.testing.assert_close(parameter.detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_what_was_to_be_scaled_is_forgotten_with_the_gradients() -> None:
    parameters, others = weights(), weights()
    adam, plain = optimizer(parameters), optimizer(others)
    adam.scale_gradients(float("nan"))  # of a batch that was given up
    adam.zero_grad()
    for update in range(3):
        give(parameters, update)
        give(others, update)
        adam.step()
        plain.step()
    assert_equal(parameters, others)
    assert adam.param_groups[0]["eps"] == EPS


def test_a_parameter_without_a_gradient_stays() -> None:
    parameters = weights()
    adam = optimizer(parameters)
    give(parameters, 0)
    parameters[1].grad = None
    before = parameters[1].detach().clone()
    adam.clip_gradients(1.0)
    adam.step()
    assert torch.equal(parameters[1], before)
    assert not torch.equal(parameters[0], weights()[0])


def test_its_own_state_goes_on() -> None:
    parameters, others = weights(), weights()
    whole, first = optimizer(parameters), optimizer(others)
    for update in range(6):
        give(parameters, update)
        whole.step()
    for update in range(3):
        give(others, update)
        first.step()
    second = optimizer(others)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for update in range(3, 6):
        give(others, update)
        second.step()
    assert_equal(parameters, others)


class TestBesideFairseq:
    """With the optimizer that the plug-in takes the place of."""

    @pytest.fixture(autouse=True)
    def _fairseq(self) -> None:
        pytest.importorskip("fairseq", reason="needs the train extra")

    def build(self, parameters: list[nn.Parameter], *, old: bool):
        from fairseq import optim
        from fairseq.optim.adam import FairseqAdamConfig

        import fairseq_ext  # noqa: F401  (puts itself in the place of fairseq's)

        config = FairseqAdamConfig(
            adam_betas=str(BETAS), adam_eps=EPS, weight_decay=DECAY, lr=[LR], use_old_adam=old
        )
        config.tpu = False
        return optim.OPTIMIZER_REGISTRY["adam"].build_optimizer(config, parameters)

    def step(self, adam, parameters: list[nn.Parameter], update: int) -> float:
        adam.zero_grad()
        give(parameters, update)
        adam.multiply_grads(1 / 3)
        norm = adam.clip_grad_norm(0.5)
        adam.step()
        return float(norm)

    def test_same_updates_and_name(self) -> None:
        parameters, others = weights(), weights()
        ours, theirs = self.build(parameters, old=False), self.build(others, old=True)
        assert isinstance(ours.optimizer, Adam)
        assert not isinstance(theirs.optimizer, Adam)
        # Trainers compare the names before they read a state.
        assert type(ours).__name__ == type(theirs).__name__
        for update in range(20):
            norm = self.step(theirs, others, update)
            assert self.step(ours, parameters, update) == pytest.approx(norm, rel=1e-5)
        assert_equal(parameters, others)

    @pytest.mark.parametrize("old_first", [True, False])
    def test_either_goes_on_with_the_state_of_the_other(self, old_first: bool) -> None:
        parameters, others = weights(), weights()
        theirs = self.build(others, old=True)
        mixed = self.build(parameters, old=old_first)
        for update in range(9):
            if update in (3, 6):  # there, and back again
                state = copy.deepcopy(mixed.state_dict())
                mixed = self.build(parameters, old=old_first == (update == 6))
                mixed.load_state_dict(state, {"lr": LR})
            self.step(mixed, parameters, update)
            self.step(theirs, others, update)
        assert_equal(parameters, others)

    def test_weights_in_half_precision_keep_moments_in_float32(self) -> None:
        parameters = [nn.Parameter(parameter.detach().bfloat16()) for parameter in weights()]
        adam = self.build(parameters, old=False)
        for parameter, gradient in zip(parameters, gradients(0), strict=True):
            parameter.grad = gradient.bfloat16()
        adam.step()
        assert adam.supports_memory_efficient_fp16
        assert adam.optimizer.state[parameters[0]]["exp_avg"].dtype == torch.float32
