"""Task definitions: instruction, target, prediction record."""

import json

import pytest
from measuring import measured

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.tasks import RunInfo, get_task

RUN = RunInfo(
    dataset="toy",
    dataset_hash="abc",
    split="test",
    decoding={"mode": "beam"},
    majority={"PRES": "no"},
)


def example(**changes: str) -> dict[str, str]:
    return {
        "id": "7",
        "question": "Is the lung normal?",
        "answer": "yes",
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "object": "CHEST",
        "references": "",
    } | changes


@pytest.mark.parametrize(
    ("question", "instruction"),
    [
        ("Is the lung normal?", "is the lung normal?"),
        ("Is the lung normal", "is the lung normal?"),
        ("?!,*#Where is the mass", "where is the mass?"),
        ("T2-weighted  axial/sagittal\tview?\n", "t2 weighted axial sagittal view?"),
        ("-what plane?", "what plane?"),
    ],
)
def test_question_is_normalised_as_in_the_reference(question: str, instruction: str) -> None:
    assert get_task("vqa").instruction(example(question=question)) == instruction


def test_object_is_appended_when_asked_for() -> None:
    task = get_task("vqa").with_(add_object=True)
    assert task.instruction(example()) == "is the lung normal? object: CHEST"
    assert task.instruction(example(object="")) == "is the lung normal?"
    assert get_task("vqa").instruction(example()) == "is the lung normal?"


def test_long_questions_are_cut_and_reported() -> None:
    task = get_task("vqa").with_(max_source_words=3)
    long = example(question="is there any fluid?")
    assert task.instruction(long) == "is there any?"
    assert task.is_cut(long)
    assert not task.is_cut(example(question="is there fluid?"))


def test_target_is_the_reference_with_the_highest_confidence() -> None:
    references = [{"answer": "ct", "confidence": 0.3}, {"answer": "mri", "confidence": 0.9}]
    row = example(references=json.dumps(references))
    task = get_task("vqa")
    assert task.target(row) == "mri"
    assert task.confidence(row) == 0.9
    assert task.target(example()) == "yes"
    assert task.confidence(example()) == 1.0


@pytest.mark.parametrize("changes", [{"answer": " "}, {"references": "[1]"}, {"references": "{"}])
def test_rows_without_a_usable_answer_are_refused_by_id(changes: dict[str, str]) -> None:
    with pytest.raises(DataError, match="'7'"):
        get_task("vqa").target(example(**changes))


def test_prediction_record_has_all_that_scoring_needs() -> None:
    record = get_task("vqa").prediction_record(example(), text=" no ", score=-1.5, run=RUN)
    assert record == {
        "id": "7",
        "question": "Is the lung normal?",
        "prediction": "no",
        "reference": "yes",
        "references": [{"answer": "yes", "confidence": 1.0}],
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "majority": "no",
        "dataset": "toy",
        "dataset_hash": "abc",
        "split": "test",
        "decoding": {"mode": "beam"},
        "score": -1.5,
    }


def test_sums_over_batches_equal_the_score_of_the_whole() -> None:
    task = get_task("vqa")
    rows = [
        example(id=str(number), answer_type=kind, answer=answer)
        for number, (kind, answer) in enumerate(
            [("CLOSED", "yes"), ("OPEN", "left lung"), ("CLOSED", "no"), ("OPEN", "normal")]
        )
    ]
    texts = ["yes", "left lung", "yes", "no"]  # "no" must not count as "normal"
    records = [
        task.prediction_record(row, text=text, score=0.0, run=RUN)
        for row, text in zip(rows, texts, strict=True)
    ]
    sums = [task.sums(records[:1]), task.sums(records[1:])]
    total, count = (sum(one[task.metric][part] for one in sums) for part in (0, 1))
    assert total / count == 0.5
    assert measured("vqa", records)["accuracy"].model.value == 0.5


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose one of"):
        get_task("vqq")
    with pytest.raises(ConfigError, match="prompt type"):
        get_task("vqa").with_(prompt_type="both")
