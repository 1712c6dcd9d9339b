"""`check_dataset`: what is broken is a problem, what leaks is counted."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from data_samples import FACTS, encoded, vqa_row, write_sample
from older_data import change_card
from pretraining_data import write_codes_of

from biomedgpt.cli.data_shared import shared_lines
from biomedgpt.data.phantom_releases.corpora import write_phantom_corpora
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.errors import DataError


@pytest.fixture
def sample(tmp_path):
    write_sample(tmp_path / "sample")
    return tmp_path / "sample"


def test_a_sound_dataset_has_no_problems_but_its_leaks_are_counted(sample):
    report = check_dataset(sample)
    assert report.problems == []
    assert report.shared["train/test"]["images"] == 1
    assert report.splits["train"].duplicate_questions == 1
    assert report.splits["test"].answers_outside_candidates == 1
    assert report.splits["test"].rows == 3


def test_a_damaged_image_is_named_by_split_and_row(sample):
    with h5py.File(sample / "test.h5", "r+") as file:
        start = file["images/offsets"][1]
        file["images/data"][start + 30 : start + 40] = np.zeros(10, dtype=np.uint8)
    report = check_dataset(sample)
    assert "test: test.h5 has changed since preparation" in report.problems
    assert any(line.startswith("test: row 2 (id q5): image") for line in report.problems)
    assert report.splits["test"].bad_images == 1
    assert report.splits["train"].bad_images == 0


def test_a_broken_split_does_not_hide_the_others(sample):
    (sample / "train.h5").write_bytes(b"nothing")
    report = check_dataset(sample)
    assert len(report.problems) == 1
    assert "train.h5: not an HDF5 file" in report.problems[0]
    assert report.splits["test"].rows == 3


def test_empty_texts_are_problems(tmp_path):
    rows = [vqa_row(0), vqa_row(1, answer=" "), vqa_row(2, question="")]
    write_dataset(tmp_path / "set", FACTS, {"train": rows})
    assert check_dataset(tmp_path / "set").problems == [
        "train: row 3 (id q2): empty question",
        "train: row 2 (id q1): empty answer",
    ]


def test_training_answers_outside_the_candidates_are_problems(tmp_path):
    write_dataset(tmp_path / "set", FACTS, {"train": [vqa_row(0, answer="left")]})
    change_card(tmp_path / "set", lambda card: card.update(answers=["up"]))
    assert check_dataset(tmp_path / "set").problems == [
        "train: row 1 (id q0): answer 'left' is not among the candidate answers"
    ]


TEXT_FACTS = replace(
    FACTS,
    task="entailment",
    fields=("id", "sentence1", "sentence2", "answer"),
    answers=("yes", "no"),
)


def text_row(number, first, second, answer="yes"):
    fields = {"id": str(number), "sentence1": first, "sentence2": second, "answer": answer}
    return Row(fields, where=f"row {number}")


def test_texts_of_text_tasks_may_not_be_empty_and_labels_must_be_classes(tmp_path):
    train = [text_row(0, "a", " "), text_row(1, "", "b", "no")]
    test = [text_row(2, "a", "b", ""), text_row(3, "a", "b", "maybe")]
    write_dataset(tmp_path / "set", TEXT_FACTS, {"train": train, "test": test})
    report = check_dataset(tmp_path / "set")
    assert report.problems == [
        "train: row 2 (id 1): empty sentence1",
        "train: row 1 (id 0): empty sentence2",
        "test: row 1 (id 2): empty answer",
        "test: row 1 (id 2): answer '' is not among the classes",
        "test: row 2 (id 3): answer 'maybe' is not among the classes",
    ]
    assert report.splits["test"].answers_outside_candidates == 2


def test_texts_in_two_splits_are_counted_for_text_tasks(tmp_path):
    train = [text_row(0, "A b.", "c"), text_row(1, "a  b", "C"), text_row(2, "a", "b c")]
    test = [text_row(3, "a B", "c."), text_row(4, "a b c", "")]
    write_dataset(tmp_path / "set", TEXT_FACTS, {"train": train, "test": test})
    report = check_dataset(tmp_path / "set")
    assert report.splits["train"].duplicate_questions == 1
    assert report.shared["train/test"]["questions"] == 1
    (line,) = shared_lines(report.shared, report.task)
    assert line == "train and test share 1 texts"


def test_fields_and_tasks_that_are_not_known_are_problems(tmp_path):
    facts = replace(FACTS, fields=("id", "question", "answer"))
    rows = [Row({"id": "0", "question": "q", "answer": "a"}, encoded())]
    write_dataset(tmp_path / "set", facts, {"train": rows})
    assert check_dataset(tmp_path / "set").problems == [
        "train: no field answer_type, question_type, object, references, which vqa needs"
    ]
    write_dataset(tmp_path / "other", replace(facts, task="riddles"), {"train": rows})
    (problem,) = check_dataset(tmp_path / "other").problems
    assert problem.startswith("task 'riddles' is none of vqa, captioning")


def test_a_damaged_vocabulary_is_a_problem(sample):
    (sample / "vocabulary").mkdir()
    (sample / "vocabulary" / "vocabulary.json").write_text("{}")
    (problem,) = check_dataset(sample).problems
    assert problem.startswith("vocabulary: ")


def test_codes_of_other_images_are_a_problem(tmp_path):
    write_phantom_corpora(tmp_path / "out", train=3, valid=2, size=64, num_codes=32)
    folder = tmp_path / "out" / "images"
    write_codes_of(folder, num_codes=32)
    assert check_dataset(folder).problems == []
    (folder / "valid.codes.h5").replace(folder / "train.codes.h5")
    (problem,) = check_dataset(folder).problems
    assert problem.startswith("train: ")
    assert "train.codes.h5: codes of other images" in problem


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a prepared dataset"):
        check_dataset(tmp_path)
