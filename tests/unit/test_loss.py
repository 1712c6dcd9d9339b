"""The sequence loss against the reference formula written out densely."""

import math

import pytest
import torch
from torch import Tensor, nn

from biomedgpt.errors import ConfigError
from biomedgpt.generation import AnswerTrie
from biomedgpt.loss import UNCONSTRAINED, LossConfig, SequenceLoss

PAD, EOS, VOCAB = 1, 2, 20
ANSWERS = [[5, 6], [5, 7, 8], [9], [5, 6, 10]]


class Toy(nn.Module):
    """A "model" whose features are an embedding of the decoder's input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCAB, 8)
        self.projection = nn.Linear(8, VOCAB, bias=False)
        self.noise = 0.0
        self.seen: dict[str, object] = {}

    @property
    def decoder(self) -> "Toy":
        return self

    def output_layer(self, features: Tensor, ids: Tensor | None = None) -> Tensor:
        weight = self.projection.weight if ids is None else self.projection.weight[ids]
        return features @ weight.T

    def forward(self, prev_output_tokens: Tensor, features_only: bool, **inputs: object) -> Tensor:
        assert features_only
        self.seen = inputs
        features = self.embedding(prev_output_tokens)
        rows = torch.arange(len(features)).view(-1, 1, 1)
        return features + self.noise * rows * features.detach().flip(-1)


def make_batch(conf: list[float] | None = None) -> dict:
    # Two prompt positions, then the answer and </s>; the second row is shorter.
    answers = [ANSWERS[1], ANSWERS[2], ANSWERS[0]]
    trie = AnswerTrie(ANSWERS, eos=EOS)
    target = torch.full((3, 6), PAD)
    nodes = torch.full((3, 6), UNCONSTRAINED)
    previous = torch.full((3, 6), PAD)
    for row, answer in enumerate(answers):
        target[row, 2 : 3 + len(answer)] = torch.tensor([*answer, EOS])
        nodes[row, 2 : 3 + len(answer)] = torch.tensor(trie.paths[ANSWERS.index(answer)])
        previous[row, : 3 + len(answer)] = torch.tensor([0, 11, 12, *answer])
    return {
        "net_input": {"prev_output_tokens": previous},
        "target": target,
        "constraint_nodes": nodes,
        "conf": None if conf is None else torch.tensor(conf),
    }


def allowed_next(prefix: list[int]) -> list[int]:
    """The reference's trie: tokens that may follow a prefix, from the answers themselves."""
    full = [[*answer, EOS] for answer in ANSWERS]
    return sorted({answer[len(prefix)] for answer in full if answer[: len(prefix)] == prefix})


def dense(model: Toy, batch: dict, *, eps: float, constrained: bool) -> list[tuple]:
    """Per target position: smoothed loss, nll, log-probabilities, allowed ids; full width."""
    logits = model.output_layer(model(**batch["net_input"], features_only=True))
    found = []
    for row in range(len(logits)):
        places = [p for p in range(logits.shape[1]) if batch["target"][row, p] != PAD]
        for place in places:
            prefix = [int(t) for t in batch["target"][row, places[0] : place]]
            ids = allowed_next(prefix) if constrained else list(range(VOCAB))
            mask = torch.zeros(VOCAB, dtype=torch.bool)
            mask[ids] = True
            log_probs = logits[row, place].masked_fill(~mask, -math.inf).log_softmax(0)
            if batch["conf"] is not None:
                log_probs = log_probs * batch["conf"][row]
            nll = -log_probs[batch["target"][row, place]]
            smooth = -log_probs[mask].sum()
            share = eps / (len(ids) - 1 + 1e-6) if constrained else eps / (VOCAB - 1)
            found.append(((1 - eps - share) * nll + share * smooth, nll, log_probs[mask]))
    return found


def gradients(model: Toy, loss: Tensor) -> list[Tensor]:
    model.zero_grad()
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("conf", [None, [1.0, 0.3, 0.6]])
def test_values_and_gradients_equal_the_dense_formula(
    constrained: bool, eps: float, conf: list[float] | None
) -> None:
    model, batch = Toy(), make_batch(conf)
    trie = AnswerTrie(ANSWERS, eos=EOS) if constrained else None
    output = SequenceLoss(LossConfig(label_smoothing=eps), trie=trie, pad=PAD)(model, batch)
    expected = dense(model, batch, eps=eps, constrained=constrained)
    total = torch.stack([loss for loss, _, _ in expected]).sum()
    assert output.tokens == len(expected) == 9
    torch.testing.assert_close(output.loss, total)
    torch.testing.assert_close(output.nll, torch.stack([nll for _, nll, _ in expected]).sum())
    for found, wanted in zip(gradients(model, output.loss), gradients(model, total), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("constrained", [False, True])
def test_drop_worst_leaves_out_the_highest_losses_after_its_update(constrained: bool) -> None:
    model, batch = Toy(), make_batch()
    trie = AnswerTrie(ANSWERS, eos=EOS) if constrained else None
    config = LossConfig(label_smoothing=0.1, drop_worst_ratio=0.3, drop_worst_after=10)
    loss = SequenceLoss(config, trie=trie, pad=PAD)
    expected = sorted(one for one, _, _ in dense(model, batch, eps=0.1, constrained=constrained))
    early, late = loss(model, batch, update=10), loss(model, batch, update=11)
    assert (early.tokens, late.tokens) == (9, 6)
    torch.testing.assert_close(early.loss, torch.stack(expected).sum())
    torch.testing.assert_close(late.loss, torch.stack(expected[:6]).sum())


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("conf", [None, [1.0, 0.3, 0.6]])
def test_rdrop_adds_the_divergence_of_two_passes(
    constrained: bool, conf: list[float] | None
) -> None:
    model, batch = Toy(), make_batch(conf)
    model.noise = 0.3  # rows of the doubled batch differ, as under dropout
    trie = AnswerTrie(ANSWERS, eos=EOS) if constrained else None
    config = LossConfig(label_smoothing=0.1, rdrop=True, rdrop_weight=2.0)
    output = SequenceLoss(config, trie=trie, pad=PAD)(model, batch)

    twice = {
        "net_input": {"prev_output_tokens": batch["net_input"]["prev_output_tokens"].repeat(2, 1)},
        "target": batch["target"].repeat(2, 1),
        "conf": None if conf is None else torch.tensor(conf * 2),
    }
    expected = dense(model, twice, eps=0.1, constrained=constrained)
    total = torch.stack([loss for loss, _, _ in expected]).sum()
    for (_, _, p), (_, _, q) in zip(expected[:9], expected[9:], strict=True):
        forward = nn.functional.kl_div(p, q.exp(), reduction="sum")
        backward = nn.functional.kl_div(q, p.exp(), reduction="sum")
        total = total + 2.0 * (forward + backward) / 2
    assert output.tokens == 18
    torch.testing.assert_close(output.loss, total)
    for found, wanted in zip(gradients(model, output.loss), gradients(model, total), strict=True):
        torch.testing.assert_close(found, wanted)


def test_nothing_of_vocabulary_width_is_built_under_a_trie() -> None:
    model, batch = Toy(), make_batch()
    widths = []
    project = model.output_layer

    def spy(features: Tensor, ids: Tensor | None = None) -> Tensor:
        logits = project(features, ids)
        widths.append(tuple(logits.shape))
        return logits

    model.output_layer = spy  # type: ignore[method-assign]
    SequenceLoss(LossConfig(), trie=AnswerTrie(ANSWERS, eos=EOS), pad=PAD)(model, batch)
    assert widths == [(9, 7)]  # 9 target positions; 5 6 7 8 9 10 and </s>


def test_answers_off_the_trie_carry_no_loss() -> None:
    model, batch = Toy(), make_batch()
    batch["constraint_nodes"][:] = UNCONSTRAINED
    loss = SequenceLoss(LossConfig(), trie=AnswerTrie(ANSWERS, eos=EOS), pad=PAD)
    output = loss(model, batch)
    assert output.tokens == 0
    assert output.loss.item() == 0.0
    output.loss.backward()  # still part of the graph, as data parallel training needs


def test_patches_are_sampled_in_training_only() -> None:
    model, batch = Toy(), make_batch()
    loss = SequenceLoss(LossConfig(sample_patch_num=4), pad=PAD)
    loss(model.train(), batch)
    assert model.seen == {"sample_patch_num": 4}
    loss(model.eval(), batch)
    assert model.seen == {}


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="label_smoothing"):
        LossConfig(label_smoothing=1.5)
