"""The arrangements for a CPU compute what torch's own modules do."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from biomedgpt.model.cpu.autograd import Dense, TokenEmbedding, TokenProjection
from biomedgpt.model.cpu.packed import can_pack, linear
from biomedgpt.model.resnet import ResNet

HALF = torch.bfloat16
needs_onednn = pytest.mark.skipif(not can_pack(torch.zeros(1, 1)), reason="no oneDNN on an x86 CPU")


@needs_onednn
@pytest.mark.parametrize(
    ("shape", "outputs", "bias"),
    [((2, 64, 512), 600, True), ((150, 640), 512, False), ((4, 64), 20_000, False)],
)
def test_dense_maps_have_the_values_and_gradients_of_linear_ones(shape, outputs, bias):
    torch.manual_seed(0)
    fast = Dense(shape[-1], outputs, bias=bias)
    plain = nn.Linear(shape[-1], outputs, bias=bias)
    plain.load_state_dict(fast.state_dict())
    results = []
    for layer in (fast, plain):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        found = layer(x)
        # Not contiguous, as gradients of heads are.
        found.transpose(0, -1).cos().sum().backward()
        gradients = [parameter.grad for parameter in layer.parameters()]
        results.append((found.detach(), x.grad, *gradients))
    assert "Dense" in type(fast(x).grad_fn).__name__
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), plain(x))


def test_dense_maps_leave_other_types_to_torch():
    layer = Dense(512, 512)
    x = torch.randn(200, 512)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    half = copy.deepcopy(layer).bfloat16()
    assert half(x.bfloat16()).dtype == torch.bfloat16


SOURCE, TARGET = torch.tensor([[0, 5, 5, 1]]), torch.tensor([[0, 7, 1, 1]])


def embedding_pair():
    """Return ours with its projection, and torch's with the same weights."""
    torch.manual_seed(0)
    ours = TokenEmbedding(50, 8, padding_idx=1)
    plain = nn.Embedding(50, 8, padding_idx=1)
    plain.load_state_dict(ours.state_dict())
    return ours, TokenProjection(ours), plain


def loss_of(embedding, project):
    features = embedding(SOURCE).sum(1, keepdim=True) * embedding(TARGET)
    return project(features).square().sum()


@pytest.mark.parametrize("use", ["whole", "rows", "none"])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_token_embedding_has_the_gradient_of_all_its_uses(use, steps):
    ours, projection, plain = embedding_pair()
    chosen = torch.tensor([3, 7, 9])
    projections = {
        "whole": (projection, lambda x: F.linear(x, plain.weight)),
        "rows": (
            lambda x: F.linear(x, projection.matrix()[chosen]),
            lambda x: F.linear(x, plain.weight[chosen]),
        ),
        "none": (lambda x: x, lambda x: x),
    }
    for embedding, project in zip((ours, plain), projections[use], strict=True):
        for _ in range(steps):  # the second one adds to the gradient of the first
            loss_of(embedding, project).backward()
        (loss_of(embedding, project) + loss_of(embedding, project)).backward()
    assert projection.weight is ours.weight
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)
    found = torch.autograd.grad(loss_of(ours, projections[use][0]), ours.weight)
    expected = torch.autograd.grad(loss_of(plain, projections[use][1]), plain.weight)
    torch.testing.assert_close(found, expected)


def test_a_token_embedding_follows_its_weight():
    ours, projection, plain = embedding_pair()
    loss_of(ours, projection)  # never went backward
    for other in (ours.double(), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        twin = copy.deepcopy(plain).double()
        projection = TokenProjection(other)
        with torch.no_grad():
            other.weight.mul_(2.0)
            twin.load_state_dict(other.state_dict())
        for embedding, project in (
            (other, projection),
            (twin, partial(F.linear, weight=twin.weight)),
        ):
            loss_of(embedding, project).backward()
        torch.testing.assert_close(other.weight.grad, twin.weight.grad)
    projection.weight = nn.Parameter(torch.zeros(50, 8, dtype=torch.float64))
    assert not projection(other(SOURCE)).any()


def test_a_backward_pass_that_failed_leaves_no_gradient_behind():
    ours, projection, plain = embedding_pair()

    def fail(gradient):
        raise RuntimeError("out of memory")

    found = ours(SOURCE)
    found.register_hook(fail)
    target = ours(TARGET)
    with pytest.raises(RuntimeError, match="out of memory"):
        projection(found.sum(1, keepdim=True) * target).sum().backward()
    ours.weight.grad = None
    loss_of(ours, projection).backward()
    loss_of(plain, lambda x: F.linear(x, plain.weight)).backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)


@needs_onednn
def test_folded_batch_norms_change_nothing_and_follow_the_weights():
    torch.manual_seed(0)
    resnet = ResNet((2, 1, 1), width=16)
    images = torch.randn(2, 3, 64, 96)
    for parameter in resnet.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    resnet.train()(images)  # statistics of its own
    resnet.eval()

    def check():
        with torch.no_grad():
            assert resnet._can_fold()
            found = resnet(images)
        expected = resnet(images)  # with gradients, batch norms are layers
        assert expected.requires_grad
        torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-4)
        return found

    first = check()
    resnet.layer2[0].bn2.weight.data.mul_(2.0)  # as some optimizers do
    second = check()
    assert not torch.allclose(first, second)
    resnet.train()(images)
    resnet.eval()
    assert not torch.allclose(second, check())
    images = images[:1, :, :32, :32]  # another size, packed for the first
    check()
    other = pickle.loads(pickle.dumps(copy.deepcopy(resnet)))
    with torch.no_grad():
        torch.testing.assert_close(other(images), resnet(images))


@pytest.mark.skipif(not can_pack(torch.zeros(1, 1, dtype=HALF)), reason="no AVX-512 BF16")
def test_packed_half_precision_computes_what_the_plain_one_does():
    torch.manual_seed(0)
    x, plain = torch.randn(5, 64).to(HALF), nn.Linear(64, 200).to(HALF)
    with torch.no_grad():
        torch.testing.assert_close(linear(plain.weight, plain.bias)(x), plain(x))
        resnet = ResNet((2, 1, 1), width=16).eval()
        images = torch.randn(1, 3, 64, 64)
        expected = resnet(images)
        found = resnet.to(HALF)(images.to(HALF)).float()
    assert float((found - expected).norm() / expected.norm()) < 0.02


def test_compiled_models_have_none_of_torchs_internal_operators():
    torch.manual_seed(0)
    embedding = TokenEmbedding(20_000, 512)
    layers = nn.Sequential(embedding, Dense(512, 512), TokenProjection(embedding))
    tokens = torch.arange(200)[None]
    seen = []

    def backend(graph, inputs):
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    found = torch.compile(layers, backend=backend, fullgraph=True)(tokens)
    assert seen
    assert not any("mkldnn" in name for name in seen)
    torch.testing.assert_close(found, layers(tokens), rtol=1e-4, atol=1e-4)
