"""What a free answer says, by rules that are stated in words and applied to every model alike.

A question asks for an answer of some kind (`Kind`). The rules below read the answer out of the text
a model wrote, or say that there is none of that kind; nothing is guessed. Texts are compared as
lists of words: lower case, punctuation and hyphens between words dropped (`words_of`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from biomedgpt.metrics.normalize import NUMBER_WORDS

Kind = Literal["yes/no", "option", "class", "number", "phrase", "sentence"]
"""What an answer is to be; in the order of the tables."""

RULES_VERSION = "answers-1.0"
RULES: dict[Kind, str] = {
    "yes/no": (
        "the first word is yes or no and the other one does not follow right away ('yes or no'); "
        "else exactly one of the two is the last word. 'normal' is not 'no', and 'there is no "
        "fracture' is neither"
    ),
    "option": (
        "the whole answer is a letter; or it begins with a letter marked as one ('B)', '(b)', "
        "'b.', 'b:', 'option b'), unless the text after it is that of another option; or it is the "
        "text of one option, with or without its letter; or it holds the text of exactly one "
        "option as a run of whole words, which no 'no', 'not' or 'without' precedes (an option "
        "within another one that is found does not count); or it holds exactly one marked letter"
    ),
    "class": (
        "it is the name of a class, or holds the name of exactly one as for an option; where all "
        "classes are among yes, no and maybe, as for yes/no"
    ),
    "number": (
        "it holds exactly one number, written in digits ('3', '2.5', '10 %') or as a word up to "
        "twenty; 't2' and 'l4' hold none"
    ),
    "phrase": (
        "it has a word, and does not begin with yes or no; it is right when it is an accepted "
        "answer, or holds one as a run of whole words, which no 'no', 'not' or 'without' "
        "precedes, among at most 10 other words"
    ),
    "sentence": "it has at least three different words; whether it is right is not judged",
}
"""By kind of answer."""

_WORD = re.compile(r"(?<!\w)[-+]?\d+(?:[.,]\d+)*(?!\w)|\w+(?:['’]\w+)*")
_LEAD = re.compile(
    r"^(?:(?:the|my)\s+)?(?:(?:correct|best|right|final)\s+)?(?:answer|response)"
    r"(?:\s+is|\s*:)?[\s:]*",
    re.IGNORECASE,
)
_ONLY_LETTER = re.compile(r"^\W*(?:(?:option|choice)\s+)?([a-z])\W*$", re.IGNORECASE)
_MARKED_START = re.compile(
    r"^[\s\"'*]*(?:\(\s*([a-z])\s*\)|\[\s*([a-z])\s*\]|([a-z])\s*[).:\]](?!\w)|([a-z])\s*[)](?=\w)"
    r"|(?:option|choice)\s+\(?([a-z])\b\)?[).:]?)",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"\(([a-z])\)|(?<![\w(])([a-z])\)|\b(?:option|choice|answer is)\s+\(?([a-z])\b(?!\s+\w)",
    re.IGNORECASE,
)
_NEGATIONS = frozenset(("no", "not", "without"))
_MOST_OTHER_WORDS = 10
_LEAST_WORDS = 3
_YES_NO = ("yes", "no")
_JUDGEMENTS = frozenset(("yes", "no", "maybe"))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an answer is judged by."""

    kind: Kind
    """Of the answer asked for."""
    references: Sequence[str]
    """Accepted answers; of an option, its text."""
    choices: Sequence[str] = ()
    """Texts of the options, or names of the classes."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What became of one answer."""

    answer: str
    """What the text says, "" where it says nothing of the kind."""
    aligned: bool
    """Whether it is of the kind asked for."""
    right: bool | None
    """Whether it is an accepted answer; None for sentences."""


def judge(text: str, asked: Asked) -> Judgement:
    """Read an answer by the rule of its kind; see `RULES`.

    >>> judge("B) pneumonia", Asked(kind="option", references=["pneumonia"],
    ...       choices=["normal", "pneumonia"])).right
    True
    """
    if asked.kind == "sentence":
        aligned = len(set(words_of(text))) >= _LEAST_WORDS
        return Judgement(answer=text.strip() if aligned else "", aligned=aligned, right=None)
    found = extract(text, asked)
    if found is None:
        return Judgement(answer="", aligned=False, right=False)
    return Judgement(answer=found, aligned=True, right=_is_right(found, asked))


def extract(text: str, asked: Asked) -> str | None:
    """Return what a text says, None where it says nothing of the kind asked for."""
    match asked.kind:
        case "yes/no":
            return find_judgement(text, _YES_NO)
        case "option":
            place = find_option(text, asked.choices)
            return None if place is None else asked.choices[place]
        case "class":
            if {key_of(one) for one in asked.choices} <= _JUDGEMENTS:
                return find_judgement(text, [key_of(one) for one in asked.choices])
            place = find_text(text, asked.choices)
            return None if place is None else asked.choices[place]
        case "number":
            value = find_number(text)
            return None if value is None else f"{value:g}"
        case "phrase":
            words = words_of(_without_lead(text))
            return text.strip() if words and words[0] not in _YES_NO else None
        case "sentence":
            return text.strip()


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, numbers with their sign and decimals.

    >>> words_of("X-ray, -2.5 mm (left)")
    ['x', 'ray', '-2.5', 'mm', 'left']
    """
    return _WORD.findall(text.lower().replace("_", " "))


def key_of(text: str) -> str:
    """Return the form under which two texts are the same."""
    return " ".join(words_of(text)) or " ".join(text.lower().split())


def find_judgement(text: str, allowed: Sequence[str]) -> str | None:
    """Return which of ``allowed`` (yes, no, maybe) a text says; see the rule of yes/no.

    >>> find_judgement("No, there is none.", ("yes", "no"))
    'no'
    """
    words = words_of(_without_lead(text))
    if not words:
        return None
    if words[0] in allowed:
        following = [word for word in words[1:3] if word not in ("or", "and")][:1]
        contradicted = bool(following) and following[0] in allowed and following[0] != words[0]
        return None if contradicted else words[0]
    said = {word for word in words if word in allowed}
    return words[-1] if said == {words[-1]} else None


def find_option(text: str, options: Sequence[str]) -> int | None:
    """Return the place of the option that a text names; see the rule of options.

    >>> find_option("B) pneumonia", ["normal", "pneumonia"])
    1
    """
    text = _without_lead(text)
    keys = [key_of(option) for option in options]
    # An option may be a letter itself.
    if keys.count(key_of(text)) == 1:
        return keys.index(key_of(text))
    if alone := _ONLY_LETTER.match(text):
        return _place(alone[1], options)
    if marked := _MARKED_START.match(text):
        place = _place(next(filter(None, marked.groups())), options)
        rest = key_of(text[marked.end() :])
        if place is None or (rest in keys and keys[place] != rest):
            return None
        return place
    words = words_of(text)
    first = _place(words[0], options) if words and len(words[0]) == 1 else None
    if first is not None and " ".join(words[1:]) == keys[first]:
        return first
    found = find_text(text, options)
    if found is not None:
        return found
    letters = {next(filter(None, one)).lower() for one in _MARKED.findall(text)}
    return _place(letters.pop(), options) if len(letters) == 1 else None


def find_text(text: str, choices: Sequence[str]) -> int | None:
    """Return the place of the one choice that a text is, or else holds as whole words."""
    keys = [key_of(choice) for choice in choices]
    if keys.count(key_of(text)) == 1:
        return keys.index(key_of(text))
    words = words_of(text)
    found = [key for key in keys if _holds(words, key.split())]
    longest = [
        key
        for key in found
        if not any(_holds(other.split(), key.split()) and other != key for other in found)
    ]
    return keys.index(longest[0]) if len(longest) == 1 else None


def choices_in(question: str) -> list[str]:
    """Return the choices that a question names itself, empty where it names none.

    They stand after a colon ("which side: left, right or both?"), after a comma that ends the
    question proper ("what was used, CT or MR?"), or at its end ("is this a CT or MR?", where the
    first one is taken to have as many words as the last).

    >>> choices_in("Which side is it: left, right or both?")
    ['left', 'right', 'both']
    """
    plain = " ".join(question.split()).rstrip(" ?.")
    head, colon, listed = plain.rpartition(":")
    pieces = [one.strip() for one in re.split(r",\s*(?:or\s+)?|\s+or\s+", listed) if one.strip()]
    if not re.search(r"\bor\b", listed) or len(pieces) < 2:
        return []
    if colon and head:
        return pieces
    if len(pieces) > 2 and len(pieces[0].split()) > len(pieces[-1].split()):
        return pieces[1:]
    length = len(pieces[-1].split())
    return [" ".join(pieces[0].split()[-length:]), *pieces[1:]]


def find_number(text: str) -> float | None:
    """Return the one number that a text holds.

    >>> find_number("There are two of them, 2.")
    2.0
    """
    values = {number for word in words_of(text) if (number := _number(word)) is not None}
    return values.pop() if len(values) == 1 else None


def is_number(text: str) -> bool:
    """Say whether a reference is a number and nothing else."""
    words = words_of(text)
    return len(words) == 1 and _number(words[0]) is not None


def _number(word: str) -> float | None:
    if word in NUMBER_WORDS:
        return float(NUMBER_WORDS.index(word))
    if not re.fullmatch(r"[-+]?[0-9]+(?:[.,][0-9]+)*", word):
        return None
    plain = re.sub(r",(?=\d{3}(?:\D|$))", "", word).replace(",", ".")
    return float(plain) if plain.count(".") <= 1 else None


def _is_right(found: str, asked: Asked) -> bool:
    if asked.kind == "number":
        return float(found) in {find_number(one) for one in asked.references}
    if asked.kind != "phrase":
        return key_of(found) in {key_of(one) for one in asked.references}
    words = words_of(_without_lead(found))
    return any(
        key_of(one) == key_of(found)
        or (_holds(words, words_of(one)) and len(words) - len(words_of(one)) <= _MOST_OTHER_WORDS)
        for one in asked.references
    )


def _holds(words: Sequence[str], run: Sequence[str]) -> bool:
    """Say whether ``run`` occurs among ``words`` without a negation right before it."""
    if not run:
        return False
    return any(
        list(words[start : start + len(run)]) == list(run)
        and not (start and words[start - 1] in _NEGATIONS)
        for start in range(len(words) - len(run) + 1)
    )


def _place(letter: str, options: Sequence[str]) -> int | None:
    place = ord(letter.lower()) - ord("a")
    return place if 0 <= place < len(options) else None


def _without_lead(text: str) -> str:
    """Return a text without "the answer is" and the like before it."""
    return _LEAD.sub("", text.strip(), count=1)
