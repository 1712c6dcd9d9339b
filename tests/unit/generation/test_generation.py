"""Generation against plain implementations that recompute everything at each step."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from torch import Tensor

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.generation import AnswerTrie, generate, score_candidates, scoring
from biomedgpt.generation.beam import best_candidates
from biomedgpt.model import BiomedGPT, preset

BOS, PAD, EOS = 0, 1, 2
VOCAB = 40


@pytest.fixture(scope="module")
def model() -> BiomedGPT:
    torch.manual_seed(0)
    model = BiomedGPT(preset("nano", vocab_size=VOCAB))
    with torch.no_grad():
        for parameter in model.parameters():  # wide enough that outputs differ between inputs
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model.eval()


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    torch.manual_seed(1)
    src = torch.randint(4, VOCAB, (3, 7))
    src[1, 5:] = PAD
    return {
        "src_tokens": src,
        "patch_images": torch.randn(3, 3, 32, 48),
        "patch_masks": torch.tensor([True, True, False]),
    }


PREFIX = torch.tensor([[5, 6, 7], [8, PAD, PAD], [9, 10, PAD]])


def next_log_probs(model: BiomedGPT, inputs: dict[str, Tensor], row: int, tokens: list[int]):
    """Log-probabilities of the token after ``tokens``, one example, nothing cached."""
    one = {key: value[row : row + 1] for key, value in inputs.items()}
    with torch.no_grad():
        logits = model(prev_output_tokens=torch.tensor([tokens]), **one)
    return logits[0, -1].log_softmax(-1)


def greedy(model, inputs, row: int, prefix: list[int], max_len: int) -> list[int]:
    tokens = [BOS, *prefix]
    for step in range(max_len + 1):
        log_probs = next_log_probs(model, inputs, row, tokens)
        log_probs[PAD] = -torch.inf
        if step == 0:
            log_probs[EOS] = -torch.inf
        tokens.append(EOS if step == max_len else int(log_probs.argmax()))
        if tokens[-1] == EOS:
            break
    return tokens[1 + len(prefix) :]


def test_cached_decoding_equals_recomputing_with_prefixes_of_different_lengths(model, inputs):
    found = generate(
        model, inputs, config=GenerationConfig(beam=1, max_len=9), prefix_tokens=PREFIX
    )
    for row, (hypothesis,) in enumerate(found):
        prefix = [t for t in PREFIX[row].tolist() if t != PAD]
        assert hypothesis.tokens.tolist() == greedy(model, inputs, row, prefix, 9)


@pytest.mark.parametrize("prefix", [None, PREFIX])
def test_scores_are_the_log_probabilities_of_the_tokens(model, inputs, prefix):
    config = GenerationConfig(beam=4, max_len=6, length_penalty=0.7)
    for row, hypotheses in enumerate(generate(model, inputs, config=config, prefix_tokens=prefix)):
        assert len(hypotheses) == 4
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            tokens = [BOS] + ([] if prefix is None else [t for t in prefix[row].tolist() if t != 1])
            total = 0.0
            for token, score in zip(
                hypothesis.tokens.tolist(), hypothesis.positional_scores.tolist(), strict=True
            ):
                expected = float(next_log_probs(model, inputs, row, tokens)[token])
                assert score == pytest.approx(expected, abs=1e-4)
                total += expected
                tokens.append(token)
            assert hypothesis.score == pytest.approx(
                total / len(hypothesis.tokens) ** 0.7, abs=1e-4
            )


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("prefix", [None, PREFIX])
@pytest.mark.parametrize("sampling", [False, True])
def test_long_outputs_have_the_scores_of_whole_targets(model, inputs, beams, prefix, sampling):
    """Many steps, so that slots of beams that died are given back, in examples of any length."""
    config = GenerationConfig(
        beam=beams, min_len=20, max_len=70, sampling=sampling, temperature=1.0 + sampling
    )
    for row, hypotheses in enumerate(generate(model, inputs, config=config, prefix_tokens=prefix)):
        one = {key: value[row : row + 1] for key, value in inputs.items()}
        for hypothesis in hypotheses:
            before = [BOS] + ([] if prefix is None else [t for t in prefix[row].tolist() if t != 1])
            answer = hypothesis.tokens.tolist()
            given = torch.tensor([[*before, *answer[:-1]]])
            with torch.no_grad():
                logits = model(prev_output_tokens=given, **one)[0, len(before) - 1 :]
            if sampling:
                logits = logits / 2
            expected = logits.log_softmax(-1)[torch.arange(len(answer)), answer]
            assert torch.allclose(hypothesis.positional_scores, expected, atol=1e-4)


def test_beam_search_finds_the_best_of_all_sequences(model, inputs):
    """With as many beams as sequences, search is exhaustive; compare with enumeration."""
    allowed = torch.tensor([11, 12, 13])
    config = GenerationConfig(beam=39, max_len=3, unnormalized=True)
    found = generate(model, inputs, config=config, allowed_ids=allowed)
    ids = [EOS, *allowed.tolist()]
    for row in range(3):
        scores = {}
        for length in (1, 2, 3):
            sequences = list(itertools.product(allowed.tolist(), repeat=length))
            repeated = {
                key: value[row : row + 1].expand(len(sequences), *value.shape[1:])
                for key, value in inputs.items()
            }
            given = torch.tensor([[BOS, *sequence] for sequence in sequences])
            with torch.no_grad():
                logits = model(prev_output_tokens=given, **repeated)[..., ids]
            chosen = torch.tensor([[ids.index(t) for t in [*s, EOS]] for s in sequences])
            totals = logits.log_softmax(-1).gather(-1, chosen[..., None]).sum((1, 2))
            for sequence, score in zip(sequences, totals.tolist(), strict=True):
                scores[(*sequence, EOS)] = score
        best = max(scores, key=lambda s: scores[s])
        assert tuple(found[row][0].tokens.tolist()) == best
        assert found[row][0].score == pytest.approx(scores[best], abs=1e-4)
        assert {tuple(h.tokens.tolist()) for h in found[row]} == set(scores)


def test_lengths_are_respected(model, inputs):
    config = GenerationConfig(beam=3, min_len=4, max_len=5)
    for hypotheses in generate(model, inputs, config=config):
        for hypothesis in hypotheses:
            assert 5 <= len(hypothesis.tokens) <= 6
            assert hypothesis.tokens[-1] == EOS
            assert PAD not in hypothesis.tokens


def repeats(tokens: list[int], size: int) -> bool:
    ngrams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return len(ngrams) != len(set(ngrams))


@pytest.mark.parametrize("sampling", [False, True])
def test_ngram_blocking_really_blocks(model, inputs, sampling):
    options = {"beam": 2, "min_len": 25, "max_len": 30, "sampling": sampling, "temperature": 0.1}
    ids = torch.arange(4, 12)  # few tokens, so that free decoding repeats itself
    free = generate(model, inputs, config=GenerationConfig(**options), allowed_ids=ids)
    assert any(repeats(h.tokens.tolist(), 2) for hs in free for h in hs)
    for size in (2, 3):
        config = GenerationConfig(no_repeat_ngram_size=size, **options)
        blocked = generate(model, inputs, config=config, allowed_ids=ids)
        assert not any(repeats(h.tokens.tolist(), size) for hs in blocked for h in hs)


ANSWERS = [[4], [4, 5], [4, 5, 6], [7, 8], [7, 9], [10], [11, 12, 13, 14], [11, 12, 4]]


def naive_candidate_scores(model, inputs, row: int, prefix: list[int]) -> list[float]:
    scores = []
    for answer in ANSWERS:
        total, done = 0.0, []
        for token in [*answer, EOS]:
            allowed = sorted(
                {
                    [*other, EOS][len(done)]
                    for other in ANSWERS
                    if [*other, EOS][: len(done)] == done and len(other) >= len(done)
                }
            )
            log_probs = next_log_probs(model, inputs, row, [BOS, *prefix, *done])
            total += float(log_probs[allowed].log_softmax(-1)[allowed.index(token)])
            done.append(token)
        scores.append(total)
    return scores


@pytest.mark.parametrize("block", [128, 3])
@pytest.mark.parametrize("max_nodes", [512, 12])
def test_all_candidates_are_scored_exactly(model, inputs, max_nodes, block, monkeypatch):
    monkeypatch.setattr(scoring, "_BLOCK", block)
    monkeypatch.setattr(scoring, "_EDGES", block)
    trie = AnswerTrie(ANSWERS)
    scores = score_candidates(model, inputs, trie, prefix_tokens=PREFIX, max_nodes=max_nodes)
    assert scores.exp().sum(1).tolist() == pytest.approx([1.0] * 3, abs=1e-4)
    for row in range(3):
        prefix = [t for t in PREFIX[row].tolist() if t != PAD]
        expected = naive_candidate_scores(model, inputs, row, prefix)
        assert scores[row].tolist() == pytest.approx(expected, abs=1e-4)


def test_constrained_search_gives_answers_only_and_agrees_with_scoring(model, inputs):
    config = GenerationConfig(beam=len(ANSWERS), max_len=10, unnormalized=True)
    trie = AnswerTrie(ANSWERS)
    found = generate(model, inputs, config=config, trie=trie, prefix_tokens=PREFIX)
    scores = score_candidates(model, inputs, trie, prefix_tokens=PREFIX)
    for row, hypotheses in enumerate(found):
        answers = [h.tokens.tolist()[:-1] for h in hypotheses]
        assert sorted(answers) == sorted(ANSWERS)
        for answer, hypothesis in zip(answers, hypotheses, strict=True):
            index = ANSWERS.index(answer)
            assert hypothesis.score == pytest.approx(float(scores[row, index]), abs=1e-4)


def test_image_codes_are_generated_in_their_range(model, inputs):
    config = GenerationConfig(beam=2, min_len=16, max_len=16)
    codes = torch.arange(20, 36)
    for hypotheses in generate(model, inputs, config=config, allowed_ids=codes, code_targets=True):
        for hypothesis in hypotheses:
            assert hypothesis.tokens[:-1].min() >= 20
            assert hypothesis.tokens[:-1].max() < 36
            assert len(hypothesis.tokens) == 17


def test_sampling_is_reproducible_and_top_1_is_greedy(model, inputs):
    def run(**options):
        config = GenerationConfig(sampling=True, max_len=8, **options)
        return [[h.tokens.tolist() for h in hs] for hs in generate(model, inputs, config=config)]

    assert run(beam=5, seed=3) == run(beam=5, seed=3)
    assert run(beam=5, seed=3) != run(beam=5, seed=4)
    expected = [[greedy(model, inputs, row, [], 8)] for row in range(3)]
    assert run(beam=1, top_k=1) == expected
    assert run(beam=1, top_p=1e-6) == expected


def test_sampled_frequencies_follow_the_distribution(model, inputs):
    config = GenerationConfig(sampling=True, beam=4000, max_len=1, min_len=1)
    ids = torch.tensor([11, 12, 13])
    found = generate(model, inputs, config=config, allowed_ids=ids)[0]
    share = torch.tensor([sum(int(h.tokens[0]) == i for h in found) / 4000 for i in (11, 12, 13)])
    expected = next_log_probs(model, inputs, 0, [BOS])[[EOS, 11, 12, 13]].softmax(-1)[1:]
    assert torch.allclose(share, expected / expected.sum(), atol=0.04)


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="min_len"):
        GenerationConfig(min_len=5, max_len=4)
    with pytest.raises(ConfigError, match="sampling"):
        GenerationConfig(top_k=5)
    with pytest.raises(DataError, match="candidate 1"):
        AnswerTrie([[4], []])


def test_changed_weights_are_noticed_however_they_change(model, inputs):
    config = GenerationConfig(beam=2, max_len=4)

    def run(one: BiomedGPT) -> list[list[float]]:
        return [[h.score for h in hs] for hs in generate(one, inputs, config=config)]

    changed = copy.deepcopy(model)
    first = run(changed)
    assert run(changed) == first
    copied = copy.deepcopy(changed)  # with what was made of its weights
    assert run(copied) == first
    with torch.no_grad():
        changed.decoder.layers[1].fc2.weight[0, 0] += 3
    second = run(changed)
    assert second != first
    for parameter in changed.decoder.layers[0].parameters():
        parameter.data.mul_(1.5)  # as optimizers do, unseen by the count of changes
    third = run(changed)
    assert third != second
    buffer = io.BytesIO()
    torch.save(changed.state_dict(), buffer)
    buffer.seek(0)
    copied.load_state_dict(torch.load(buffer, weights_only=True))
    assert run(copied) == third
    pickle.dumps(changed)


def test_weights_that_are_not_packed_give_the_same(model, inputs):
    config = GenerationConfig(beam=3, max_len=20)
    double = {
        key: value.double() if value.is_floating_point() else value for key, value in inputs.items()
    }
    first = generate(model, inputs, config=config, prefix_tokens=PREFIX)
    second = generate(copy.deepcopy(model).double(), double, config=config, prefix_tokens=PREFIX)
    for one, other in zip(first, second, strict=True):
        assert [h.tokens.tolist() for h in one] == [h.tokens.tolist() for h in other]
        assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-4)


@pytest.mark.parametrize("beams", [1, 5])
@pytest.mark.parametrize("size", [59457, 8192, 300, 7])
def test_best_candidates_are_those_of_the_whole_vocabulary(beams, size):
    torch.manual_seed(0)
    log_probs, so_far = torch.randn(3, beams, size), torch.randn(3, beams)
    log_probs[1, :, 5:] = -torch.inf  # fewer than are looked for
    for scores in (None, so_far):
        given = log_probs[:, :1] if scores is None else log_probs
        total = given if scores is None else given + scores[..., None]
        expected = total.flatten(1).topk(min(2 * beams, total[0].numel()), dim=1)
        values, origin, token = best_candidates(given, scores, 2 * beams)
        found = expected.values.shape[1]
        assert torch.equal(values[:, :found], expected.values)
        assert bool(values[:, found:].eq(-torch.inf).all())
        possible = values.ne(-torch.inf)
        picked = total[torch.arange(3)[:, None], origin, token]
        assert torch.equal(picked[possible], values[possible])


@pytest.mark.parametrize("sampling", [False, True])
def test_an_answer_ends_where_the_positions_do(sampling: bool, inputs: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    model = BiomedGPT(preset("nano", vocab_size=VOCAB, max_positions=20)).eval()
    prefix = torch.full((3, 16), 5)
    config = GenerationConfig(beam=1 if sampling else 2, max_len=40, min_len=9, sampling=sampling)
    for found in generate(model, inputs, config=config, prefix_tokens=prefix):
        assert 1 <= len(found[0].tokens) <= 20 - 17 + 1  # and </s>
