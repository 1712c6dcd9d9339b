"""Open recall and closed accuracy as Llama3-Med defines them, for comparison with its numbers.

Source: the repository standardmodelbio/Llama3-Med, ``llama3med/eval/run_eval.py`` and
``llama3med/eval/eval_metrics/``, which are LLaVA-Med's. The glossary they import is not in that
repository; it is the one of VQA v2's evaluation, as in LLaVA-Med. What it does, oddities included:

* Texts are lower-cased and normalised twice (`normalize_word`).
* **Open recall**: over the words of reference and prediction, tp is how often the *prediction* says
  words of the reference, fn how often the reference has words that the prediction lacks; recall is
  tp / (tp + fn). A word said twice counts twice.
* **Closed accuracy**: a closed question is right when the prediction has "yes" or "no" anywhere,
  also within a word, and the reference anywhere likewise: by this measure "normal" says "no".
  Only use it to compare with published numbers.
"""

import re
from collections import Counter

from biomedgpt.metrics.normalize import NUMBER_WORDS

SOURCE = (
    "Llama3-Med (standardmodelbio/Llama3-Med, llama3med/eval/run_eval.py), with VQA v2's "
    "normalisation of words"
)
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32
"""The published code hands a flag over as the count of replacements; 32 are made."""
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBERS = {"none": "0"} | {word: str(n) for n, word in enumerate(NUMBER_WORDS[:11])}
_ENDINGS = {
    "'t": "ain aren can couldn didn doesn don hadn hasn haven isn mightn mustn needn oughtn shan "
    "shouldn wasn weren won wouldn",
    "'ve": "could might must not should we would you",
    "'d": "he it there they who you",
    "'ll": "how it somebody something they what who why you",
    "'re": "there they what why you",
    "'s": "he how somebody someone that there what where who why",
}
_CONTRACTIONS = {
    stem + ending.replace("'", ""): stem + ending
    for ending, stems in _ENDINGS.items()
    for stem in stems.split()
}


def normalize_word(text: str) -> str:
    """Return a text in the form in which VQA v2's evaluation compares it.

    >>> normalize_word("The left-sided  mass, two cm.")
    'left sided mass 2 cm'
    """
    cleaned = text
    commas = _DIGIT_COMMA.search(text) is not None
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if beside_space or commas else " ")
    cleaned = _PERIOD.sub("", cleaned, count=_MOST_PERIODS)
    words = [_NUMBERS.get(word, word) for word in cleaned.lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def open_recall(prediction: str, reference: str) -> float:
    """Return the recall of one open answer.

    >>> open_recall("a mass in the left lung", "left lung")
    1.0
    """
    said, wanted = _words(prediction), _words(reference)
    hits = sum(count for word, count in said.items() if word in wanted)
    missed = sum(count for word, count in wanted.items() if word not in said)
    return hits / (hits + missed) if hits else 0.0


def closed_hit(prediction: str, reference: str) -> bool:
    """Say whether one closed answer counts as right."""
    said, wanted = normalize_word(prediction.lower()), normalize_word(reference.lower())
    return ("yes" in said or "no" in said) and wanted in said


def _words(text: str) -> Counter[str]:
    return Counter(normalize_word(normalize_word(text.lower())).split())
