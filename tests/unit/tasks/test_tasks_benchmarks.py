"""Instructions, targets and records of the tasks beside visual question answering."""

import json
from typing import Any

import pytest
from measuring import measured, measured_captions, remarks_on_captions

from biomedgpt.errors import DataError
from biomedgpt.tasks import TASKS, RunInfo, get_task
from biomedgpt.tasks.entailment import ANSWER_OF_LABEL

RUN = RunInfo(
    dataset="toy",
    dataset_hash="abc",
    split="test",
    decoding={"mode": "beam"},
    majority={"": "normal"},
)
ROWS: dict[str, dict[str, str]] = {
    "classification": {"answer": "normal"},
    "captioning": {"caption": "Normal heart.", "references": ""},
    "summarization": {
        "source": "My dog/cat is ill. Dose?\nThanks",
        "summary": "What is the dose for a 3-year-old?",
    },
    "entailment": {"sentence1": " He has  GOUT", "sentence2": "Gout is absent", "answer": "no"},
    "question_answering": {
        "question": "Which value is low?",
        "options": json.dumps(["+5 mmol/L", "-5  mmol/L"]),
        "context": "",
        "answer": "b",
    },
}


def row(task: str, **changes: str) -> dict[str, str]:
    return {"id": "7"} | ROWS[task] | changes


def records(task: str, *answers: tuple[str, dict[str, str]]) -> list[dict[str, Any]]:
    return [
        get_task(task).prediction_record(
            row(task, id=str(number), **changes), text=text, score=0.0, run=RUN
        )
        for number, (text, changes) in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("task", "instruction"),
    [
        ("classification", "what does the image describe?"),
        ("captioning", "what does the image describe?"),
        ("summarization", 'what is the summary of article " my dog cat is ill. dose? thanks "?'),
        ("entailment", 'can text1 " he has gout " imply text2 " gout is absent "?'),
        (
            "question_answering",
            'what is the answer to question " which value is low? "? '
            "options: a) +5 mmol/l b) -5 mmol/l",
        ),
    ],
)
def test_instructions(task: str, instruction: str) -> None:
    assert get_task(task).instruction(row(task)) == instruction
    assert set(get_task(task).fields.all) <= set(ROWS[task])


@pytest.mark.parametrize(
    ("task", "target"),
    [
        ("classification", "normal"),
        ("captioning", "Normal heart"),
        ("summarization", "what is the dose for a 3 year old?"),
        ("entailment", "no"),
        ("question_answering", "b"),
    ],
)
def test_targets(task: str, target: str) -> None:
    assert get_task(task).target(row(task)) == target
    assert get_task(task).confidence(row(task)) == 1


def test_yes_no_questions_end_with_their_text() -> None:
    task = get_task("question_answering").with_(max_source_words=3)
    changes = {"options": "", "context": "We found\nNO effect at all.", "answer": "no"}
    asked = row("question_answering", question="Does it help?", **changes)
    assert (
        task.instruction(asked)
        == 'what is the answer to question " does it help? "? text: we found no'
    )
    assert task.is_cut(asked)
    assert task.target(asked) == "no"


def test_both_sentences_are_cut_and_reported() -> None:
    task = get_task("entailment").with_(max_source_words=2)
    assert task.instruction(row("entailment")) == 'can text1 " he has " imply text2 " gout is "?'
    assert task.is_cut(row("entailment", sentence1="gout"))
    assert task.is_cut(row("entailment", sentence2="gout"))
    assert not task.is_cut(row("entailment", sentence1="gout", sentence2="no gout"))


def test_labels_of_entailment_have_the_words_of_the_reference() -> None:
    assert ANSWER_OF_LABEL == {"neutral": "maybe", "entailment": "yes", "contradiction": "no"}


def test_captions_keep_all_references_as_written() -> None:
    several = [{"answer": "Clear lungs.", "confidence": 1.0}, {"answer": "Ok!", "confidence": 1.0}]
    (record,) = records("captioning", (" clear lungs ", {"references": json.dumps(several)}))
    assert record["references"] == several
    assert record["prediction"] == "clear lungs"
    assert get_task("captioning").target(row("captioning", caption="T2-weighted,  x/y")) == (
        "T2weighted xy"
    )


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("captioning", {"caption": " "}, "no answer"),
        ("captioning", {"caption": "..."}, "without any word"),
        ("summarization", {"summary": "-"}, "without any word"),
        ("classification", {"answer": ""}, "no answer"),
        ("question_answering", {"answer": "c"}, "none of the options a, b"),
        ("question_answering", {"options": "{"}, "'options'"),
        ("question_answering", {"options": "[1]"}, "'options'"),
        ("question_answering", {"options": json.dumps(["x"] * 27)}, "'options'"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_by_id(
    task: str, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=f"'7'.*{message}"):
        get_task(task).target(row(task, **changes))


def test_records_have_what_the_baselines_need() -> None:
    assert records("classification", ("normal", {}))[0]["majority"] == "normal"
    assert records("summarization", ("dose", {}))[0]["source"] == ROWS["summarization"]["source"]
    (answered,) = records("question_answering", ("a", {}))
    assert (answered["question"], answered["reference"]) == ("Which value is low?", "b")
    assert answered["majority"] == "normal"


def test_sums_over_batches_equal_the_accuracy_of_the_whole() -> None:
    task = get_task("classification")
    lines = records(
        "classification",
        ("normal", {}),
        ("pneumonia", {}),
        ("pneumonia", {"answer": "pneumonia"}),
    )
    parts = [task.sums(lines[:1])[task.metric], task.sums(lines[1:])[task.metric]]
    total, count = (sum(numbers) for numbers in zip(*parts, strict=True))
    accuracy = measured("classification", lines)["accuracy"]
    assert total / count == pytest.approx(accuracy.model.value)
    assert accuracy.model.value == pytest.approx(2 / 3)
    assert accuracy.baseline.value == pytest.approx(2 / 3)


def test_sums_of_summaries_equal_the_score_of_the_whole() -> None:
    pytest.importorskip("rouge_score", reason="needs rouge-score")
    task = get_task("summarization")
    lines = records("summarization", ("dose for a 3 year old", {}), ("", {}))
    total, count = task.sums(lines)[task.metric]
    rouge = measured("summarization", lines)["rouge_l"]
    assert total / count == pytest.approx(rouge.model.value)
    assert rouge.baseline.value is not None


def test_sums_and_scores_of_captions() -> None:
    pytest.importorskip("pycocoevalcap", reason="needs pycocoevalcap")
    task = get_task("captioning")
    lines = records("captioning", ("normal heart", {}), ("", {}))
    total, count = task.sums(lines)[task.metric]
    score = measured_captions(lines, java=None)
    assert total / count == pytest.approx(score["rouge_l"].model.value) == 0.5
    assert score["meteor"].model.value is None
    assert "METEOR" in remarks_on_captions(lines, java=None)[0]


def test_what_may_be_generated_is_as_long_as_what_is_trained_on() -> None:
    for task in (make() for make in TASKS.values()):
        assert task.decoding.max_len == task.max_target_tokens, task.name
