"""Lists of objects in JSON, read without holding the file."""

import gzip
import json
import tracemalloc

import pytest

from biomedgpt.data.raw import tables
from biomedgpt.data.raw.tables import read_objects
from biomedgpt.data.rows import Skipped
from biomedgpt.errors import DataError

OBJECTS = [
    {"id": n, "text": 'a "quoted" ] } , text\n' * n, "list": [{"x": [n, 1.5e-3]}]}
    for n in range(30)
]


def read(path, **options):
    skipped = Skipped(**options)
    return [record.values for record in read_objects(path, skipped)], skipped.reasons


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_pieces_may_end_anywhere(tmp_path, monkeypatch, piece, indent):
    monkeypatch.setattr(tables, "_PIECE", piece)
    array, lines = tmp_path / "array.json", tmp_path / "lines.json"
    array.write_text("\ufeff \r\n" + json.dumps(OBJECTS, indent=indent) + "\n")
    lines.write_text("\r\n".join(map(json.dumps, OBJECTS)))
    assert read(array) == (OBJECTS, [])
    assert read(lines) == (OBJECTS, [])


def test_gzipped_and_empty_lists(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(OBJECTS).encode()))
    assert read(tmp_path / "a.json.gz") == (OBJECTS, [])
    for text in ("[]", " [ \n ] ", ""):
        (tmp_path / "b.json").write_text(text)
        assert read(tmp_path / "b.json") == ([], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, {"a": ', "row 2: not valid JSON"),
        ('[{"a": 1}', "row 2: not valid JSON (the file ends within the list)"),
        ('[{"a": 1},', "row 2: not valid JSON (the file ends within the list)"),
        ('[{"a": 1} {"a": 2}]', "row 2: not valid JSON (a comma is missing before '{')"),
        ('[{"a": 1}, {"a" 2, "b": "some more text"}]', "row 2: not valid JSON (Expecting ':'"),
        ('[{"a": "no end}]', "row 1: not valid JSON (Unterminated string"),
        ('[{"a": 1}] {}', "after the end of the list"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
@pytest.mark.parametrize("piece", [5, 1 << 20])
def test_a_damaged_list_is_named_by_row(tmp_path, monkeypatch, text, message, piece):
    monkeypatch.setattr(tables, "_PIECE", piece)
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read(path, allowed=True)
    assert str(caught.value).startswith(f"{path}: row ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_elements_that_are_no_objects_are_bad_rows(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}, 3, {"b": 2}]')
    with pytest.raises(DataError, match=r"row 2: not a JSON object; .*--skip-bad"):
        read(path)
    skipped = Skipped(allowed=True)
    records = list(read_objects(path, skipped, columns=("a",)))
    assert [record.where for record in records] == [f"{path}: row 1"]
    assert [reason.partition(": ")[2] for reason in skipped.reasons] == [
        "row 2: not a JSON object",
        "row 3: lacks a",
    ]


def test_an_element_without_end_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_MOST_FIELD", 1 << 12)
    monkeypatch.setattr(tables, "_PIECE", 1 << 10)
    path = tmp_path / "a.json"
    path.write_text('["' + "x" * 100_000)
    with pytest.raises(DataError, match="more than 4,096 characters"):
        read(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "a.json.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "none.json")


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "a.json"
    with path.open("w") as file:
        file.write("[" + ",\n".join([json.dumps({"text": "x" * 10_000})] * 3000) + "]")
    assert path.stat().st_size > 30e6
    tracemalloc.start()
    assert sum(1 for _ in read_objects(path, Skipped())) == 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6
