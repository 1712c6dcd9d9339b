"""Kinds of rows that only pretraining reads: checked like any other prepared dataset."""

import io
import json

import pytest
from PIL import Image

from biomedgpt.cli.main import main
from biomedgpt.data.imaging.boxes import (
    LabelledBox,
    check_inside,
    format_box,
    format_objects,
    parse_box,
    parse_objects,
)
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.errors import DataError
from biomedgpt.tasks import PRETRAINING_FIELDS, row_kinds

ROWS = {
    "text": {"text": "Aspirin, {n} mg."},
    "images": {"image_name": "{n}.png"},
    "detection": {"image_name": "{n}.png", "objects": [{"box": [0, 1, 20, 10], "label": "cyst"}]},
    "grounding": {"image_name": "{n}.png", "phrase": "cyst {n}", "box": [0.5, 1, 20, 10]},
}


def png(number, size=(20, 10)):
    file = io.BytesIO()
    Image.new("RGB", size, (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def rows(kind, start, count, **changes):
    for number in range(start, start + count):
        values = {"id": str(number)} | ROWS[kind] | changes
        fields = {
            name: value.format(n=number) if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }
        yield Row(fields, png(number) if row_kinds()[kind].image else None, f"row {number}")


def write(folder, kind, **changes):
    facts = DatasetFacts(
        name="tiny", task=kind, source="tests", licence="none", fields=("id", *ROWS[kind])
    )
    train = rows(kind, 0, 3, **changes)
    write_dataset(folder, facts, {"train": train, "valid": rows(kind, 2, 2)})
    return folder


@pytest.mark.parametrize("kind", PRETRAINING_FIELDS)
def test_every_kind_is_checked(kind, tmp_path, capsys):
    folder = write(tmp_path / kind, kind)
    report = check_dataset(folder)
    assert not report.problems
    shared = report.shared["train/valid"]
    assert shared["images"] == (1 if row_kinds()[kind].image else 0)
    assert shared["questions"] == (1 if kind == "grounding" else 0)
    assert main(["data", "check", str(folder)]) == 0
    said = "train and valid share 1 images" in capsys.readouterr().out
    assert said == row_kinds()[kind].image


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("text", {"text": " "}, "empty text"),
        ("detection", {"objects": []}, "not a list of at least one"),
        (
            "detection",
            {"objects": [{"box": [0, 0, 21, 5], "label": "a"}]},
            "out of its image",
        ),
        ("detection", {"objects": [{"box": [0, 0, 2, 5], "label": " "}]}, "object 1: empty label"),
        ("detection", {"objects": [{"box": [0, 0, 2], "label": "a"}]}, "four numbers"),
        ("detection", {"objects": [{"box": [0, 0, 2, True], "label": "a"}]}, "four numbers"),
        ("grounding", {"box": [3, 0, 3, 5]}, "is empty"),
        ("grounding", {"box": [-1, 0, 3, 5]}, "out of its image"),
        ("grounding", {"box": "[1, 2"}, "not valid JSON"),
        ("grounding", {"box": [0, 0, 10**400, 5]}, "four numbers"),
    ],
)
def test_bad_rows_are_named(kind, changes, problem, tmp_path):
    report = check_dataset(write(tmp_path / kind, kind, **changes))
    assert len(report.problems) == 3
    assert report.problems[0].startswith("train: row 1")
    assert problem in report.problems[0]
    if kind != "text":
        assert report.splits["train"].bad_boxes == 3


def test_boxes_survive_the_round_trip():
    objects = [LabelledBox((0.0, 1.5, 20.0, 10.0), "cyst"), LabelledBox((1.0, 1.0, 2.0, 2.0), "é")]
    assert parse_objects(format_objects(objects), where="") == objects
    assert parse_box(format_box(objects[0].box), where="") == objects[0].box
    assert format_box((0.0, 1.0 / 3, 2, 3)) == "[0, 0.333, 2, 3]"


def test_a_box_may_touch_the_border():
    check_inside((0.0, 0.0, 20.0, 10.0), (20, 10), where="")
    with pytest.raises(DataError, match=r"row 3: box .* reaches out of its image of 20 x 9"):
        check_inside((0.0, 0.0, 20.0, 10.0), (20, 9), where="row 3")
