import math
from pathlib import Path

import numpy as np
import pytest

from biomedgpt.pretraining.masking import mask_words, split_words, word_starts
from biomedgpt.vocabulary import Vocabulary

MASK = -1


def restore(masked: list[int], words: list[list[int]]) -> list[int]:
    """Numbers of the words that were masked, found by matching what is left."""
    hidden, position = [], 0
    kept = [i for i in masked if i != MASK]
    flat = {word[0]: number for number, word in enumerate(words)}
    shown = {flat[i] for i in kept if i in flat}
    for number in range(len(words)):
        if number not in shown:
            hidden.append(number)
    assert position == 0
    return hidden


def make_words(rng: np.random.Generator, count: int) -> list[list[int]]:
    """Words of one to three entries, all different."""
    sizes = rng.integers(1, 4, count)
    ends = np.cumsum(sizes)
    return [list(range(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


@pytest.mark.parametrize("ratio", [0.15, 0.3, 0.9])
@pytest.mark.parametrize("mean", [1.0, 3.0])
def test_exactly_the_share_of_whole_words_is_masked(ratio: float, mean: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        words = make_words(rng, int(rng.integers(1, 60)))
        masked = mask_words(words, mask=MASK, ratio=ratio, span_length=mean, rng=rng)
        hidden = restore(masked, words)
        assert len(hidden) == math.ceil(ratio * len(words))
        # What is left is whole words in their order.
        left = [i for n, word in enumerate(words) if n not in hidden for i in word]
        assert [i for i in masked if i != MASK] == left
        # Never longer than the text, so that a limit holds.
        assert len(masked) <= sum(map(len, words))


def test_spans_are_poisson_and_become_one_mask() -> None:
    rng = np.random.default_rng(2)
    lengths = []
    words = [[i] for i in range(400)]
    for _ in range(50):
        masked = mask_words(words, mask=MASK, ratio=0.3, span_length=3.0, rng=rng)
        masks = sum(i == MASK for i in masked)
        lengths.append(120 / masks)
    assert np.mean(lengths) == pytest.approx(3.0, rel=0.05)  # zeros included, as in a Poisson


def test_masks_fall_anywhere() -> None:
    rng = np.random.default_rng(3)
    words = [[i] for i in range(10)]
    hits = np.zeros(10)
    for _ in range(2000):
        masked = mask_words(words, mask=MASK, ratio=0.3, span_length=3.0, rng=rng)
        hits[restore(masked, words)] += 1
    assert hits.min() > 0.15 * 2000
    assert hits.sum() == 3 * 2000


def test_same_seed_same_masks() -> None:
    words = [[i] for i in range(50)]
    draws = [
        mask_words(
            words, mask=MASK, ratio=0.3, span_length=3.0, rng=np.random.default_rng((1, seed))
        )
        for seed in (4, 4, 5)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_words_begin_with_a_space(gpt2_bpe: Path) -> None:
    vocabulary = Vocabulary.from_gpt2_bpe(gpt2_bpe)
    starts = word_starts(vocabulary)
    text = " hyperintensities, in T2-weighted images."
    words = split_words(vocabulary.encode_text(text), starts)
    assert [vocabulary.decode_text(word) for word in words] == [
        " hyperintensities,",
        " in",
        " T2-weighted",
        " images.",
    ]
    assert not starts[vocabulary.mask :].any()


def test_words_of_a_trained_vocabulary_begin_with_a_space() -> None:
    vocabulary = Vocabulary.train_sentencepiece([" a small text of words"] * 3, size=300)
    ids = vocabulary.encode_text(" words of text unseen")
    words = split_words(ids, word_starts(vocabulary))
    assert [vocabulary.decode_text(word) for word in words] == [" words", " of", " text", " unseen"]
