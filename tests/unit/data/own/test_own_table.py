"""`biomedgpt data import`: one's own tables for every task, and what can be wrong in them."""

import argparse
import base64
import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from data_samples import encoded, nothing_left, photo

from biomedgpt.cli import data
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.errors import BiomedGPTError, ConfigError, DataError
from biomedgpt.examples.example_encoder import Candidates, ExampleEncoder
from biomedgpt.tasks import TASKS, get_task
from biomedgpt.vocabulary import Vocabulary

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40)}


def run(tmp_path, *words, vocabulary=False):
    """Import with the output folder ``tmp_path/out/set``; return it."""
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers())
    (tmp_path / "out").mkdir(exist_ok=True)
    out = tmp_path / "out" / "set"
    more = () if vocabulary else ("--no-vocabulary",)
    args = parser.parse_args(["data", "import", *map(str, words), "--out", str(out), *more])
    assert not args.func(args)
    return PreparedDataset(out)


def refused(tmp_path, *words, error=BiomedGPTError):
    """Import what is refused; return the one line, and see that nothing is left."""
    with pytest.raises(error) as caught:
        run(tmp_path, *words)
    message = str(caught.value)
    assert "\n" not in message
    assert nothing_left(tmp_path / "out")
    return message


def write(path: Path, rows, *, delimiter=",", end="\n", encoding="utf-8", columns=None) -> Path:
    """Write rows (dicts) as a table of text."""
    text = io.StringIO()
    names = columns or list(rows[0])
    table = csv.writer(text, delimiter=delimiter, lineterminator=end)
    table.writerow(names)
    table.writerows([row.get(name, "") for name in names] for row in rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def write_lines(path: Path, rows) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def scans(tmp_path):
    """A folder of four images, one of them in a folder of its own."""
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.png").write_bytes(encoded((number, 0, 0)))
    (folder / "more" / "3.png").write_bytes(encoded((3, 0, 0)))
    return folder


IMAGES = ("0.png", "1.png", "2.png", "more/3.png")
SPLITS = ("train", "train", "valid", "test")


def vqa_rows(**changes):
    return [
        {"question": f"Is it {n}?", "answer": "Yes" if n % 2 else "left  lung", "image": image}
        | {"split": split}
        | changes
        for n, (image, split) in enumerate(zip(IMAGES, SPLITS, strict=True))
    ]


# Every task


def test_every_task_is_tried_below():
    assert {kind.partition(" ")[0] for kind in TEXTS} == set(TASKS)


TEXTS = {
    "vqa": {"question": "Is it there {n}?", "answer": ["yes", "no"]},
    "captioning": {"caption": "A small lesion, number {n}."},
    "classification": {"answer": ["Tumour", "normal"]},
    "summarization": {
        "source": "I have had pain for {n} days.\nWhat is it?",
        "summary": "Pain {n}",
    },
    "question_answering": {"question": "Does {n} help?", "answer": ["yes", "no", "maybe"]},
    "question_answering with options": {
        "question": "Which of {n}?",
        "options": '["drug {n}", "none", "both"]',
        "context": "In {n} patients.",
        "answer": ["A", "B", "C"],
    },
    "entailment": {
        "sentence1": "He has {n}.",
        "sentence2": "He is ill.",
        "answer": ["entailment", "contradiction", "neutral"],
    },
    "trial_matching": {"patient": "Man of {n}", "trial": "Adults", "answer": ["eligible", "no"]},
    "treatment_suggestion": {"record": "grade {n}", "answer": ["surgery", "radiation"]},
    "mortality": {"note": "Admitted for {n}", "answer": ["yes", "no"]},
    "instruction": {"instruction": "Describe - {n}", "answer": ["A mass.", "Nothing."]},
    "instruction with history": {
        "instruction": "And {n}?",
        "history": '[["What is it?", "A mass of {n} mm."]]',
        "answer": ["Yes.", "No."],
        "modality": "ct",
    },
}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_task_can_be_imported_checked_and_encoded(kind, tmp_path):
    task = kind.partition(" ")[0]
    (tmp_path / "scans").mkdir()
    rows = []
    for n in range(30):
        (tmp_path / "scans" / f"{n}.png").write_bytes(encoded((n, 9, 9)))
        row = {"image": f"{n}.png"} if TASKS[task].fields.image else {}
        for field, value in TEXTS[kind].items():
            row[field] = value[n % len(value)] if isinstance(value, list) else value.format(n=n)
        rows.append(row)
    table = write(tmp_path / "mine.csv", rows)
    words = ["--task", task, "--table", table, "--valid-fraction", 0.1, "--test-fraction", 0.2]
    if TASKS[task].fields.image:
        words += ["--images", tmp_path / "scans"]
    dataset = run(tmp_path, *words, vocabulary=True)
    out = dataset.folder
    assert dataset.card.counts == {"train": 21, "valid": 3, "test": 6}
    assert dataset.card.task == task
    assert check_dataset(out).problems == []
    vocabulary = Vocabulary.load(out / "vocabulary")
    definition = get_task(task)
    candidates = None
    if definition.constrained:
        candidates = Candidates.encode(vocabulary, definition, dataset.card.answers)
    encoder = ExampleEncoder(vocabulary, definition, image_size=32, candidates=candidates)
    for name in dataset.splits:
        split = dataset.split(name)
        for number in range(len(split)):
            measure = encoder.measure(split[number])
            assert measure.problem is None
            assert measure.candidate
            assert (encoder(split[number])["image"] is not None) == definition.fields.image


# Files: kinds, line ends, encodings, delimiters


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(("delimiter", "ending"), [(",", "csv"), (";", "csv"), ("\t", "tsv")])
def test_line_ends_marks_and_delimiters(tmp_path, scans, capsys, end, encoding, delimiter, ending):
    rows = vqa_rows()
    rows[0]["question"] = "Wo, wenn überhaupt; ist es?"
    table = write(tmp_path / f"a.{ending}", rows, delimiter=delimiter, end=end, encoding=encoding)
    dataset = run(tmp_path, "--task", "vqa", "--table", table, "--images", scans)
    row = dataset.split("train")[0]
    assert row["question"] == "Wo, wenn überhaupt; ist es?"
    assert (row["answer"], row["answer_type"]) == ("left lung", "OPEN")
    assert dataset.split("train")[1]["answer_type"] == "CLOSED"
    assert dataset.split("test")[0]["image_name"] == "more/3.png"
    assert dataset.split("test")[0]["id"] == "4"
    names = {",": "comma", ";": "semicolon", "\t": "tab"}
    line = f"columns separated by {names[delimiter]}, encoding utf-8, 4 columns"
    assert f"all: a.{ending}: {line}" in capsys.readouterr().out


def test_other_encodings_are_read_when_they_are_named(tmp_path, scans):
    rows = vqa_rows(question="Größe?")
    for encoding in ("cp1252", "utf-16"):
        table = write(tmp_path / "a.csv", rows, encoding=encoding)
        words = ("--task", "vqa", "--table", table, "--images", scans, "--overwrite")
        dataset = run(tmp_path, *words, "--encoding", encoding)
        assert dataset.split("test")[0]["question"] == "Größe?"


def test_images_may_be_in_the_table(tmp_path):
    image = photo()
    text = base64.b64encode(image).decode()
    rows = [
        {"id": "a", "question": "q?", "answer": "no", "image": text},
        {"id": "b", "question": "q?", "answer": "no", "image": f"data:image/jpeg;base64,{text}"},
    ]
    table = write_lines(tmp_path / "a.jsonl", rows)
    split = run(tmp_path, "--task", "vqa", "--table", f"train={table}").split("train")
    assert [row["image"] for row in split] == [image, image]
    assert split[0]["image_name"] == ""
    assert split.num_images == 1


def test_parquet_tables_hold_images_and_lists(tmp_path):
    rows = [{"Bild": {"bytes": encoded(), "path": "x"}, "texte": ["A cyst.", "Cyst"]}] * 2
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    words = ("--task", "captioning", "--table", f"training={tmp_path / 'a.parquet'}")
    split = run(tmp_path, *words, "--columns", "image=Bild", "caption=texte").split("train")
    assert split[1]["image"] == encoded()
    assert split[1]["caption"] == "A cyst."
    assert [one["answer"] for one in json.loads(split[1]["references"])] == ["A cyst.", "Cyst"]


BAD_FILES = {
    "folder": (lambda path: path.mkdir(), "a folder"),
    "missing": (lambda path: None, "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "mark only": (lambda path: path.write_bytes(b"\xef\xbb\xbf\r\n"), "an empty file"),
    "workbook": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(99)), "Excel workbook"),
    "parquet": (lambda path: path.write_bytes(b"PAR1" + bytes(99)), "Parquet file"),
    "utf-16": (lambda path: path.write_bytes("a,b".encode("utf-16")), "add --encoding utf-16"),
    "binary": (lambda path: path.write_bytes(bytes(range(256))), "zero bytes"),
    "header only": (lambda path: path.write_text("question,answer,image\n"), "no rows"),
    "no names": (lambda path: path.write_text(",,\n1,2,3\n"), "names no columns"),
    "same names": (lambda path: path.write_text("a,b,a\n1,2,3\n"), "column 'a' occurs twice"),
    "latin header": (lambda path: path.write_bytes(b"Gr\xf6\xdfe\n1\n"), "header: byte 0xf6"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, scans, name):
    make, message = BAD_FILES[name]
    make(tmp_path / "a.csv")
    words = ("--task", "vqa", "--table", f"train={tmp_path / 'a.csv'}", "--images", scans)
    found = refused(tmp_path, *words, error=DataError)
    assert message in found
    assert str(tmp_path / "a.csv") in found


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK\x03\x04", "one of .csv, .tsv"),
        ("a.parquet", b"no", "not readable as Parquet"),
        ("a.jsonl", b"[1]\n", "row 1: not a JSON object"),
        ("a.jsonl", b"{}\n", "no line is an object with keys"),
        ("a.jsonl", b"question,answer\n", "row 1: not valid JSON"),
    ],
)
def test_other_kinds_of_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in refused(tmp_path, "--task", "mortality", "--table", f"test={tmp_path / name}")


def test_an_unknown_encoding_is_named(tmp_path, scans):
    table = write(tmp_path / "a.csv", vqa_rows())
    for name in ("klingon", "rot13"):
        words = ("--task", "vqa", "--table", table, "--images", scans, "--encoding", name)
        assert f"--encoding {name}" in refused(tmp_path, *words, error=ConfigError)


# Columns


def test_columns_of_any_name_are_mapped_and_recorded(tmp_path, scans, capsys):
    rows = [
        {
            "Frage": r["question"],
            "Antwort, kurz": r["answer"],
            "Datei": r["image"],
            "Set": "Training",
        }
        for r in vqa_rows()
    ]
    table = write(tmp_path / "a.csv", rows)
    mapping = ("question=Frage", "answer=Antwort, kurz", "image=Datei", "split=Set")
    words = ("--task", "vqa", "--table", table, "--images", scans, "--columns", *mapping)
    card = run(tmp_path, *words, "--licence", "CC0", "--source", "clinic").card
    assert card.counts == {"train": 4}
    assert (card.name, card.licence, card.source) == ("set", "CC0", "clinic")
    assert card.preparation["tables"] == {
        "all": "a.csv: columns separated by comma, encoding utf-8, 4 columns"
    }
    assert card.preparation["columns"]["all"]["answer"] == ["Antwort, kurz"]
    out = capsys.readouterr().out
    assert "question from Frage, answer from Antwort, kurz" in out
    assert "splits: column 'Set' (Training as train)" in out


def test_everything_wrong_with_the_columns_is_one_error(tmp_path, scans):
    table = write(tmp_path / "a.csv", [{"Frage": "q?", "Antwort": "a"}])
    words = ("--task", "vqa", "--table", f"train={table}", "--images", scans)
    message = refused(
        tmp_path, *words, "--columns", "frage=Frage", "answer=Antwrt", error=ConfigError
    )
    for part in (
        "unknown field 'frage'",
        "no column 'Antwrt'",
        "no column for question and image",
        "vqa needs question, answer, image",
        "the table has the columns Frage, Antwort",
    ):
        assert part in message
    (tmp_path / "text.csv").write_text(",".join(f"c{n}" for n in range(99)) + "x" * 5000)
    words = ("--task", "vqa", "--table", f"train={tmp_path / 'text.csv'}", "--images", scans)
    assert "c38, c39 and 59 more" in refused(tmp_path, *words)
    words = ("--task", "vqa", "--table", f"train={table}", "--images", scans)
    assert "give FIELD=COLUMN" in refused(tmp_path, *words, "--columns", "Frage")
    assert "question takes one column, not 2" in refused(
        tmp_path, *words, "--columns", "question=Frage,Antwort"
    )


def test_a_column_of_a_fields_name_can_be_left_unused(tmp_path, scans):
    rows = vqa_rows(references="Smith 2003", object="chest", answer_type="closed")
    table = write(tmp_path / "a.csv", rows)
    words = ("--task", "vqa", "--table", table, "--images", scans)
    split = run(tmp_path, *words).split("train")
    assert [one["answer"] for one in json.loads(split[1]["references"])] == ["yes", "smith 2003"]
    words = (*words, "--overwrite")
    split = run(tmp_path, *words, "--columns", "references=").split("train")
    assert (split[0]["object"], split[0]["answer_type"]) == ("chest", "CLOSED")
    assert json.loads(split[1]["references"]) == [{"answer": "yes", "confidence": 1.0}]


def test_references_in_a_list_or_in_columns(tmp_path, scans):
    listed = '[{"answer": "Left lung", "confidence": 0.9}, {"answer": "lung", "confidence": 0.3}]'
    rows = [{"question": "where?", "references": listed, "image": "0.png"}]
    table = write(tmp_path / "a.csv", rows)
    words = ("--task", "vqa", "--images", scans, "--overwrite")
    row = run(tmp_path, *words, "--table", f"train={table}").split("train")[0]
    assert row["answer"] == "left lung"
    assert json.loads(row["references"])[1] == {"answer": "lung", "confidence": 0.3}

    rows = [{"a": "One cyst.", "b": "", "c": "A cyst", "image": "0.png"}]
    table = write(tmp_path / "b.csv", rows)
    words = ("--task", "captioning", "--images", scans, "--overwrite")
    for mapping in (["caption=a,b,c"], ["caption=a", "caption=b", "references=c"]):
        row = run(tmp_path, *words, "--table", f"train={table}", "--columns", *mapping)
        row = row.split("train")[0]
        assert row["caption"] == "One cyst."
        assert [one["answer"] for one in json.loads(row["references"])] == ["One cyst.", "A cyst"]


# Splits


def test_names_of_splits_are_understood(tmp_path, scans, capsys):
    rows = vqa_rows()
    for row, name in zip(rows, ("Train", "training", "dev", "TEST"), strict=True):
        row["split"] = name
    table = write(tmp_path / "a.csv", rows)
    dataset = run(tmp_path, "--task", "vqa", "--table", table, "--images", scans)
    assert dataset.card.counts == {"train": 2, "valid": 1, "test": 1}
    assert "(Train as train, training as train, dev as valid, TEST as test)" in (
        capsys.readouterr().out
    )


def test_a_table_for_each_split(tmp_path, scans):
    rows = vqa_rows()
    for row in rows:
        del row["split"]
    tables = [
        f"{name}={write(tmp_path / f'{name}.csv', rows)}" for name in ("test", "val", "train")
    ]
    words = [word for table in tables for word in ("--table", table)]
    dataset = run(tmp_path, "--task", "vqa", *words, "--images", scans)
    assert list(dataset.card.counts.items()) == [("train", 4), ("valid", 4), ("test", 4)]
    assert dataset.card.leakage["shared_between_splits"]["train/test"]["images"] == 4


def grouped_table(tmp_path, **more):
    (tmp_path / "scans").mkdir(exist_ok=True)
    rows = []
    for n in range(60):
        (tmp_path / "scans" / f"{n // 2}.png").write_bytes(encoded((n // 2, 1, 1)))
        row = {"answer": ["a", "b"][n // 6 % 2], "image": f"{n // 2}.png", "pid": f"P{n // 6}"}
        rows.append(row | more)
    return write(tmp_path / "a.csv", rows)


@pytest.mark.parametrize(
    ("column", "by", "count"), [("patient", "patient", 10), (None, "image", 30)]
)
def test_splits_are_drawn_by_whole_groups(tmp_path, capsys, column, by, count):
    table = grouped_table(tmp_path)
    mapping = ("--columns", f"{column}=pid") if column else ()
    words = ("--task", "classification", "--table", table, "--images", tmp_path / "scans", *mapping)
    shares = ("--valid-fraction", 0.1, "--test-fraction", 0.2, "--overwrite")
    dataset = run(tmp_path, *words, *shares)
    assert dataset.card.counts == {"train": 42, "valid": 6, "test": 12}
    assert f"drawn by {by} ({count} different), seed 1" in capsys.readouterr().out
    field = "patient" if column else "image_name"
    parts = [set(dataset.split(name).column(field)) for name in dataset.splits]
    assert sum(map(len, parts)) == len(set.union(*parts)) == count
    again = run(tmp_path, *words, *shares)
    assert again.card.hashes == dataset.card.hashes
    other = run(tmp_path, *words, *shares, "--seed", 2)
    assert other.card.hashes != dataset.card.hashes


def test_text_is_drawn_row_by_row(tmp_path, capsys):
    rows = [{"source": f"Long text {n}", "summary": f"text {n}"} for n in range(30)]
    table = write(tmp_path / "a.csv", rows)
    card = run(tmp_path, "--task", "summarization", "--table", table, "--valid-fraction", 0.1).card
    assert card.counts == {"train": 27, "valid": 3}
    assert "drawn by row (30 different)" in capsys.readouterr().out


WAYS = "say which rows are for training and which for test, in one way"


@pytest.mark.parametrize(
    ("column", "words", "message"),
    [
        ("x", [], WAYS),
        ("split", ["--test-fraction", 0.2], "a column for split and fractions.*--columns split="),
        (
            "x",
            ["--columns", "split=x", "--valid-fraction", 0.2],
            "a column for split and fractions",
        ),
        ("x", ["--test-fraction", 1.0], "--test-fraction must be at least 0 and below 1"),
        ("x", ["--test-fraction", 0.6, "--valid-fraction", 0.4], "leave nothing for training"),
        ("x", ["--test-fraction", 0.9], "cannot be divided"),
        ("x", ["--images", "nowhere"], "--images nowhere: no such folder"),
        ("x", ["--answers", "yes,no"], "vqa has no fixed classes: leave out --answers"),
        ("x", ["--answer-is", "text"], "vqa has no options: leave out --answer-is"),
    ],
)
def test_options_that_do_not_fit_are_one_error(tmp_path, scans, column, words, message):
    rows = [row | {column: row["split"]} for row in vqa_rows()]
    names = ["question", "answer", "image", column]
    table = write(tmp_path / "a.csv", rows, columns=names)
    words = ["--task", "vqa", "--table", table, "--images", scans, *words]
    with pytest.raises(ConfigError, match=message) as caught:
        run(tmp_path, *words)
    assert "\n" not in str(caught.value)
    assert nothing_left(tmp_path / "out")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (["train=a.csv", "training=b.csv"], "the split train twice"),
        (["a.csv", "b.csv"], "two tables without a split"),
        (["a.csv", "test=b.csv"], "one table, or one for each split"),
        (["fold1=a.csv"], "splits are train, training, valid"),
        (["train="], "give FILE or SPLIT=FILE"),
    ],
)
def test_tables_are_one_or_one_for_each_split(tmp_path, tables, message):
    words = [word for table in tables for word in ("--table", table)]
    assert message in refused(tmp_path, "--task", "mortality", *words, error=ConfigError)


def test_a_split_column_and_a_table_for_each_split_contradict(tmp_path, scans):
    table = write(tmp_path / "a.csv", vqa_rows())
    words = ("--task", "vqa", "--table", f"train={table}", "--images", scans)
    assert "a column for split and a table for each split" in refused(tmp_path, *words)
    assert run(tmp_path, *words, "--columns", "split=").card.counts == {"train": 4}


# Classes and options


def class_rows(*answers):
    return [
        {"answer": answer, "image": image, "split": split}
        for answer, image, split in zip(answers, IMAGES, SPLITS, strict=True)
    ]


def test_classes_are_the_training_answers(tmp_path, scans, capsys):
    table = write(tmp_path / "a.csv", class_rows("Cyst", "normal", "cyst ", "NORMAL"))
    words = ("--task", "classification", "--images", scans, "--overwrite")
    assert run(tmp_path, *words, "--table", table).card.answers == ["cyst", "normal"]
    assert "classes: 2 (cyst, normal)" in capsys.readouterr().out
    answers = ("--answers", "Normal,cyst,mass")
    assert run(tmp_path, *words, "--table", table, *answers).card.answers == [
        "normal",
        "cyst",
        "mass",
    ]


def test_a_label_outside_the_classes_is_a_bad_row(tmp_path, scans):
    table = write(tmp_path / "a.csv", class_rows("cyst", "normal", "cyst", "cysst"))
    words = ("--task", "classification", "--images", scans, "--table", table)
    message = refused(tmp_path, *words)
    assert "a.csv: row 4: answer 'cysst' is none of the training answers (cyst, normal)" in message
    assert "--answers" in message
    message = refused(tmp_path, *words, "--answers", "cyst,mass")
    assert "a.csv: row 2: answer 'normal' is none of cyst, mass; fix it" in message
    table.write_text(table.read_text() + "mass,0.png,test\n")
    card = run(tmp_path, *words, "--answers", "cyst,mass", "--skip-bad").card
    assert card.counts == {"train": 1, "valid": 1, "test": 1}
    assert card.preparation["skipped"] == 2


@pytest.mark.parametrize("answers", ["cyst", "cyst,Cyst", "cyst,"])
def test_a_class_list_has_two_or_more_different_ones(tmp_path, scans, answers):
    table = write(tmp_path / "a.csv", class_rows("cyst", "normal", "cyst", "cyst"))
    words = ("--task", "classification", "--images", scans, "--table", table)
    assert "at least two classes" in refused(tmp_path, *words, "--answers", answers)


def test_without_training_rows_the_classes_must_be_named(tmp_path):
    table = write(tmp_path / "a.csv", [{"note": "ill", "answer": "yes"}])
    words = ("--task", "mortality", "--table", f"test={table}")
    assert "name them with --answers" in refused(tmp_path, *words)
    assert run(tmp_path, *words, "--answers", "yes,no").card.answers == ["yes", "no"]


def test_entailment_takes_the_words_of_the_reference(tmp_path):
    rows = [
        {"sentence1": "a", "sentence2": "b", "answer": answer}
        for answer in ("Entailment", "neutral", "contradiction", "yes")
    ]
    table = write(tmp_path / "a.csv", rows)
    dataset = run(tmp_path, "--task", "entailment", "--table", f"train={table}")
    assert dataset.split("train").column("answer") == ["yes", "maybe", "no", "yes"]


OPTIONS = ["One drug", "Another", "No drug"]


@pytest.mark.parametrize(
    ("answer_is", "answers"),
    [
        ("letter", ["A", "b", "C"]),
        ("text", OPTIONS),
        ("index0", [0, 1, 2]),
        ("index1", ["1", "2", "3"]),
    ],
)
def test_the_right_option_is_named_in_four_ways(tmp_path, answer_is, answers):
    rows = [{"question": "Which?", "answer": answer, "options": OPTIONS} for answer in answers]
    listed = write_lines(tmp_path / "a.jsonl", rows)
    words = ("--task", "question_answering", "--answer-is", answer_is, "--overwrite")
    dataset = run(tmp_path, *words, "--table", f"train={listed}")
    split = dataset.split("train")
    assert split.column("answer") == ["a", "b", "c"]
    assert json.loads(split[0]["options"]) == OPTIONS
    assert dataset.card.answers == ["a", "b", "c"]
    if answer_is == "letter":
        rows = [
            row | dict(zip(["o 1", "o2", "o3", "o4"], [*OPTIONS, ""], strict=True)) for row in rows
        ]
        names = ["question", "answer", "o 1", "o2", "o3", "o4"]
        table = write(tmp_path / "a.csv", rows, columns=names)
        mapping = ("--columns", "options=o 1,o2,o3,o4")
        again = run(tmp_path, *words, "--table", f"train={table}", *mapping)
        assert again.card.hashes == dataset.card.hashes
        assert again.card.answers == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "d"}, "answer 'd' is not a letter from A to C"),
        ({"answer": "One drug"}, "is not a letter from A to C; .* add --answer-is"),
        ({"options": ["one"]}, "1 options; a question has 2 to 26"),
        ({"options": ["one", " ", "two"]}, "option B is empty"),
        ({"options": "one, two"}, "options is not a JSON list"),
        ({"options": ["one", {"x": 1}]}, "neither text nor a whole number"),
        ({"options": None}, "is not a JSON list"),
    ],
)
def test_bad_options_are_named_by_row(tmp_path, change, message):
    good = {"question": "Which?", "answer": "a", "options": OPTIONS}
    table = write_lines(tmp_path / "a.jsonl", [good, good | change, good])
    words = ("--task", "question_answering", "--table", f"train={table}")
    with pytest.raises(DataError, match=rf"a\.jsonl: row 2.*{message}.*--skip-bad"):
        run(tmp_path, *words)
    assert nothing_left(tmp_path / "out")
    card = run(tmp_path, *words, "--skip-bad").card
    assert (card.counts, card.preparation["skipped"]) == ({"train": 2}, 1)


def test_options_of_the_wrong_kind_of_question(tmp_path):
    rows = [{"question": "Which?", "answer": "a", "options": OPTIONS}]
    table = write_lines(tmp_path / "a.jsonl", rows)
    words = ("--task", "question_answering", "--table", f"train={table}")
    assert "leave out --answers" in refused(tmp_path, *words, "--answers", "a,b")
    assert "--answer-is needs options" in refused(
        tmp_path, *words, "--columns", "options=", "--answer-is", "text"
    )


def test_options_are_in_all_tables_or_in_none(tmp_path):
    row = {"question": "Which?", "answer": "a"}
    plain = write_lines(tmp_path / "a.jsonl", [row])
    listed = write_lines(tmp_path / "b.jsonl", [row | {"options": OPTIONS}])
    words = ("--task", "question_answering", "--table", f"train={plain}", "--table")
    assert "some tables have a column for options" in refused(tmp_path, *words, f"test={listed}")


# Bad rows


def bad_vqa(**changes):
    return {"id": "x", "question": "Is it?", "answer": "yes", "image": "0.png"} | changes


BAD_ROWS = {
    "no question": (bad_vqa(question=" "), "empty question"),
    "no answer": (bad_vqa(answer=""), "empty answer"),
    "no id": (bad_vqa(id=""), "empty id"),
    "id again": (bad_vqa(id="first"), "id first was there before"),
    "no image": (bad_vqa(image=""), "empty image"),
    "missing image": (bad_vqa(image="9.png"), "'9.png': no such file in"),
    "folder": (bad_vqa(image="more"), "is a folder, not an image"),
    "broken image": (bad_vqa(image="broken.jpg"), "broken.jpg: damaged image"),
    "no image file": (bad_vqa(image="text.png"), "text.png: not an image of a known kind"),
    "absolute": (bad_vqa(image="/etc/hostname"), "must be a path within"),
    "drive": (bad_vqa(image="C:\\0.png"), "must be a path within"),
    "parent": (bad_vqa(image="more/../0.png"), "must be a path within"),
    "parent on windows": (bad_vqa(image="..\\a.csv"), "must be a path within"),
    "link": (bad_vqa(image="link.png"), "a link that leads out of"),
    "long name": (bad_vqa(image="a" * 5000), "not a usable file name"),
    "answer type": (bad_vqa(answer_type="open?"), "neither CLOSED nor OPEN"),
    "latin": (bad_vqa(question="Gr\udcf6\udcdfe?"), "byte 0xf6 is not utf-8; .*cp1252"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_one_error_or_counted(tmp_path, scans, name):
    bad, message = BAD_ROWS[name]
    (scans / "broken.jpg").write_bytes(photo()[:-2000])
    (scans / "text.png").write_text("no image")
    (tmp_path / "outside.png").write_bytes(encoded())
    (scans / "link.png").symlink_to(tmp_path / "outside.png")
    rows = [bad_vqa(id="first"), bad, bad_vqa(id="last")]
    names = ["id", "question", "answer", "image", "answer_type"]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(names)
    table.writerows([row.get(column, "") for column in names] for row in rows)
    (tmp_path / "a.csv").write_bytes(text.getvalue().encode(errors="surrogateescape"))
    words = ("--task", "vqa", "--table", f"train={tmp_path / 'a.csv'}", "--images", scans)
    with pytest.raises(DataError, match=rf"a\.csv: row 2.*{message}.*--skip-bad") as caught:
        run(tmp_path, *words)
    assert "\n" not in str(caught.value)
    assert nothing_left(tmp_path / "out")
    dataset = run(tmp_path, *words, "--skip-bad")
    assert dataset.split("train").column("id") == ["first", "last"]
    assert dataset.card.preparation["skipped"] == 1
    assert "row 2" in dataset.card.preparation["skipped_rows"][0]


def test_messages_do_not_repeat_what_is_very_long(tmp_path, scans):
    table = write(tmp_path / "a.csv", [bad_vqa(image="a" * 100_000)])
    words = ("--task", "vqa", "--table", f"train={table}", "--images", scans)
    assert len(refused(tmp_path, *words)) < 400


def test_a_zero_byte_in_a_file_name_is_a_bad_row(tmp_path, scans):
    table = write_lines(tmp_path / "a.jsonl", [bad_vqa(image="a\0b")])
    words = ("--task", "vqa", "--table", f"train={table}", "--images", scans)
    assert "a.jsonl: row 1: image 'a\\x00b': not a usable file name" in refused(tmp_path, *words)


def test_links_within_the_folder_are_images(tmp_path, scans):
    (scans / "same.png").symlink_to(scans / "0.png")
    table = write(tmp_path / "a.csv", [bad_vqa(image="same.png")])
    words = ("--task", "vqa", "--table", f"train={table}", "--images", scans)
    assert run(tmp_path, *words).card.counts == {"train": 1}


def test_file_names_without_a_folder_say_what_is_missing(tmp_path):
    table = write(tmp_path / "a.csv", [bad_vqa()])
    message = refused(tmp_path, "--task", "vqa", "--table", f"train={table}")
    assert "is not an image in base64" in message
    assert "add --images DIR" in message


@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "a table for each"])
def test_rows_of_uneven_length_are_counted_once(tmp_path, drawn):
    lines = ["note,answer,split"]
    lines += [f"note {n},{'yes' if n % 2 else 'no'}" for n in range(20)]
    lines[0] = "note,answer"
    lines[3:3] = ["one, two, three", "alone"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    words = ["--task", "mortality", "--skip-bad"]
    words += (
        ["--table", tmp_path / "a.csv", "--test-fraction", 0.5]
        if drawn
        else ["--table", f"train={tmp_path / 'a.csv'}"]
    )
    assert "row 3: 3 values for 2 columns" in refused(
        tmp_path, *(word for word in words if word != "--skip-bad")
    )
    card = run(tmp_path, *words).card
    assert sum(card.counts.values()) == 20
    assert card.preparation["skipped"] == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quotation_mark_that_is_not_closed_is_said(tmp_path, end):
    text = end.join(["note,answer", "a,yes", '"b,no', "c,yes", ""])
    (tmp_path / "a.csv").write_bytes(text.encode())
    message = refused(tmp_path, "--task", "mortality", "--table", f"train={tmp_path / 'a.csv'}")
    assert "a.csv: row 2: 1 values for 2 columns (a quotation mark that is not closed?)" in message


def test_bad_splits_and_groups_are_bad_rows_counted_once(tmp_path, scans):
    rows = vqa_rows()
    rows.insert(1, rows[0] | {"split": "holdout"})
    rows.insert(2, rows[0] | {"split": ""})
    table = write(tmp_path / "a.csv", rows)
    words = ("--task", "vqa", "--images", scans, "--table", table)
    assert "row 2: split 'holdout' is none of train, training" in refused(tmp_path, *words)
    card = run(tmp_path, *words, "--skip-bad").card
    assert (card.counts, card.preparation["skipped"]) == ({"train": 2, "valid": 1, "test": 1}, 2)

    table = grouped_table(tmp_path)
    table.write_text(table.read_text().replace("P3\n", " \n", 1))
    words = ("--task", "classification", "--images", scans, "--table", table)
    words += ("--columns", "patient=pid", "--test-fraction", 0.3, "--overwrite")
    with pytest.raises(DataError, match="row 19: empty pid"):
        run(tmp_path, *words)
    card = run(tmp_path, *words, "--skip-bad").card
    assert sum(card.counts.values()) == 59


def test_a_table_without_a_usable_row_is_named(tmp_path):
    table = write(tmp_path / "a.csv", [{"note": "ill", "answer": "yes", "split": "none"}])
    message = refused(tmp_path, "--task", "mortality", "--table", table, "--skip-bad")
    assert "a.csv: no usable row (1 skipped; " in message
    table = write(tmp_path / "b.csv", [{"note": "", "answer": "yes"}])
    message = refused(tmp_path, "--task", "mortality", "--table", f"train={table}", "--skip-bad")
    assert "no usable row (1 skipped; " in message
    assert "b.csv: row 1: empty note" in message


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("captioning", {"caption": "..!", "image": "0.png"}, "without any word"),
        ("captioning", {"caption": '["a", ""]', "image": ""}, "empty image"),
        ("summarization", {"source": "long", "summary": "- / ?"}, "without any word"),
        ("summarization", {"source": "", "summary": "x"}, "empty source"),
        ("trial_matching", {"patient": "", "trial": "x", "answer": "y"}, "empty patient"),
        ("entailment", {"sentence1": "a", "sentence2": " ", "answer": "y"}, "empty sentence2"),
    ],
)
def test_texts_that_leave_nothing_to_learn_are_bad_rows(tmp_path, scans, task, row, message):
    table = write(tmp_path / "a.csv", [row])
    words = ["--task", task, "--table", f"train={table}"]
    words += ["--images", scans] if TASKS[task].fields.image else []
    assert f"a.csv: row 1: {message}" in refused(tmp_path, *words).replace(
        "summary is a text ", ""
    ).replace("caption '..!' is a text ", "")


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ("[1, 2", "not a JSON list"),
        ('[{"answer": "a"}]', "a confidence from 0 to 1"),
        ('[{"answer": "a", "confidence": 2}]', "a confidence from 0 to 1"),
        ('[{"answer": "no", "confidence": 1}, {"answer": "yes", "confidence": 0.1}]', "highest"),
        ('[{"answer": {}, "confidence": 1}]', "neither text nor a whole number"),
    ],
)
def test_bad_references_are_named_by_row(tmp_path, scans, references, message):
    table = write(tmp_path / "a.csv", [bad_vqa(references=references)])
    words = ("--task", "vqa", "--table", f"train={table}", "--images", scans)
    found = refused(tmp_path, *words, error=DataError)
    assert "a.csv: row 1: " in found
    assert message in found


def test_an_output_folder_that_is_taken_is_refused_first(tmp_path):
    table = write(tmp_path / "a.csv", [{"note": "ill", "answer": "yes"}])
    words = ("--task", "mortality", "--table", f"train={table}")
    run(tmp_path, *words)
    with pytest.raises(ConfigError, match="--overwrite"):
        run(tmp_path, *words)
    run(tmp_path, *words, "--overwrite")
