"""Reading answers out of free text, by hand-written cases."""

import pytest

from biomedgpt.metrics.answer_extraction import (
    RULES,
    Asked,
    choices_in,
    find_judgement,
    find_number,
    find_option,
    is_number,
    judge,
    words_of,
)
from biomedgpt.metrics.llama3_med import closed_hit, normalize_word, open_recall

OPTIONS = ["normal", "pneumonia", "X-ray", "a mass"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no", "no"),
        ("No.", "no"),
        ("no, there is none", "no"),
        ("Yes, it is", "yes"),
        ("**Yes**", "yes"),
        ("yes yes yes", "yes"),
        ("The answer is yes.", "yes"),
        ("Answer: No", "no"),
        ("I would say yes", "yes"),
        ("normal", None),
        ("nothing", None),
        ("not sure", None),
        ("there is no fracture", None),
        ("yes or no", None),
        ("yes/no", None),
        ("yes no", None),
        ("both yes and no", None),
        ("", None),
        ("...", None),
    ],
)
def test_yes_or_no(text, said):
    assert find_judgement(text, ("yes", "no")) == said


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("b", "pneumonia"),
        ("B.", "pneumonia"),
        ("(b)", "pneumonia"),
        ("B) pneumonia", "pneumonia"),
        ("b: pneumonia", "pneumonia"),
        ("b pneumonia", "pneumonia"),
        ("b)pneumonia", "pneumonia"),
        ("option c", "X-ray"),
        ("The correct answer is c.", "X-ray"),
        ("I think the answer is (b)", "pneumonia"),
        ("x ray", "X-ray"),
        ("It is an X-ray.", "X-ray"),
        ("pneumonia, not normal", "pneumonia"),
        ("A", "normal"),
        # Words, not letters.
        ("a mass in the lung", "a mass"),
        ("a large one", None),
        ("no pneumonia", None),
        ("abnormal", None),
        ("normal or pneumonia", None),
        # A letter and a text that contradict each other.
        ("a) pneumonia", None),
        ("e", None),
        ("e) other", None),
        ("", None),
    ],
)
def test_option(text, option):
    place = find_option(text, OPTIONS)
    assert (None if place is None else OPTIONS[place]) == option


def test_options_within_options():
    assert find_option("bacterial pneumonia", ["pneumonia", "bacterial pneumonia"]) == 1
    assert find_option("it is bacterial pneumonia", ["pneumonia", "bacterial pneumonia"]) == 1
    assert find_option("pneumonia", ["pneumonia", "bacterial pneumonia"]) == 0
    assert find_option("No, it's normal", ["No, It's normal.", "cancer"]) == 0
    assert find_option("B", ["B", "A"]) == 0  # the text of an option, not its letter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("two", 2),
        ("There are 3 masses.", 3),
        ("2.5 cm", 2.5),
        ("1,000", 1000),
        ("10%", 10),
        ("-5", -5),
        ("two, 2", 2),
        ("2 or 3", None),
        ("t2 weighted", None),
        ("none", None),
        ("", None),
    ],
)
def test_number(text, number):
    assert find_number(text) == number


def test_references_that_are_numbers():
    assert is_number("Two.")
    assert is_number("12")
    assert not is_number("two masses")
    assert not is_number("l4")


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("Which side is it: left, right or both?", ["left", "right", "both"]),
        ("What was used, CT, MR, or x-ray?", ["CT", "MR", "x-ray"]),
        ("Is this a CT or MRI?", ["CT", "MRI"]),
        ("Is there a fracture?", []),
        ("Note: is it normal?", []),
    ],
)
def test_choices_that_a_question_names(question, choices):
    assert choices_in(question) == choices


def test_judgement_of_each_kind():
    def right(text, kind, *references, choices=()):
        found = judge(text, Asked(kind=kind, references=references, choices=choices))
        return found.aligned, found.right

    assert right("No, there is none.", "yes/no", "no") == (True, True)
    assert right("normal", "yes/no", "no") == (False, False)
    assert right("yes", "yes/no", "no") == (True, False)
    assert right("B) pneumonia", "option", "pneumonia", choices=OPTIONS) == (True, True)
    assert right("A", "option", "pneumonia", choices=OPTIONS) == (True, False)
    assert right("it shows pneumonia", "class", "pneumonia", choices=("normal", "pneumonia")) == (
        True,
        True,
    )
    assert right("no, never", "class", "no", choices=("yes", "no", "maybe")) == (True, True)
    assert right("there are 3", "number", "three") == (True, True)
    assert right("3.0", "number", "3") == (True, True)
    assert right("several", "number", "3") == (False, False)
    assert right("in the left lung", "phrase", "left lung") == (True, True)
    assert right("not the left lung", "phrase", "lung") == (True, True)
    assert right("no left lung", "phrase", "left lung") == (False, False)
    assert right("it is without left lung", "phrase", "left lung") == (True, False)
    assert right("left " * 12 + "lung", "phrase", "lung") == (True, False)  # too much beside it
    assert right("yes", "phrase", "left lung") == (False, False)
    assert right("", "phrase", "left lung") == (False, False)
    assert right("A small nodule is seen.", "sentence", "x") == (True, None)
    assert right("lung lung lung lung", "sentence", "x") == (False, None)


def test_every_kind_has_a_rule_in_words():
    assert set(RULES) == {"yes/no", "option", "class", "number", "phrase", "sentence"}
    assert all(len(words_of(rule)) > 5 for rule in RULES.values())


def test_llama3_med_measures_are_those_of_its_script():
    assert normalize_word("The left-sided  mass, two cm.") == "left sided mass 2 cm"
    assert normalize_word("dont") == "don't"
    assert normalize_word("1,000") == "1000"
    assert normalize_word("none") == "0"
    assert open_recall("a mass in the left lung", "left lung") == 1.0
    assert open_recall("the left one", "left lung") == 0.5
    assert open_recall("", "left lung") == 0.0
    # The published code counts the words of the prediction: twice said counts twice.
    assert open_recall("left left", "left lung") == pytest.approx(2 / 3)
    assert closed_hit("Yes, it is", "yes")
    assert closed_hit("normal", "no")  # as published: "no" is in "normal"
    assert not closed_hit("it is", "yes")
    assert not closed_hit("left", "left")  # neither yes nor no is in it
