"""Words of a text, also in scripts that part them by nothing."""

import random

import pytest

from biomedgpt.tasks.base import count_words, cut_words

SPACED = ("the", "heart-shadow", "is", "größer", "als", "50%?", "сердце", "의료", "\u00a0x", "")


def test_words_between_spaces_are_those_of_the_reference() -> None:
    draw = random.Random(5)
    for _ in range(500):
        words = [draw.choice(SPACED) for _ in range(draw.randint(1, 9))]
        text = " ".join(words).strip(" ")
        words = text.split(" ")
        if text:
            assert count_words(text) == len(words)
        for most in range(1, 10):
            assert cut_words(text, most) == " ".join(words[:most])


@pytest.mark.parametrize(
    ("text", "count", "first_three"),
    [
        ("左肺有肿块吗", 6, "左肺有"),
        ("CT 显示 left lung 肿块", 7, "CT 显示"),
        ("心臓は正常ですか", 8, "心臓は"),
        ("ปอดซ้าย", 7, "ปอด"),
    ],
)
def test_a_character_is_a_word_where_nothing_parts_them(
    text: str, count: int, first_three: str
) -> None:
    assert count_words(text) == count
    assert cut_words(text, 3) == first_three
    assert cut_words(text, count) == text
    assert cut_words(text, 99) == text
