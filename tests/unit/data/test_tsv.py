"""VQA tables of the published code: line ends, marks, bad rows, round trips."""

import base64
from dataclasses import replace

import pytest
from data_samples import (
    FACTS,
    encoded,
    nothing_left,
    photo,
    tsv_line,
    vqa_row,
    write_sample,
)

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.tsv import export_tsv, import_tsv
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.vocabulary import Vocabulary


def load(tmp_path, content, *, skip_bad=False):
    path = tmp_path / "train.tsv"
    path.write_bytes(content)
    out = tmp_path / "out" / "set"
    out.parent.mkdir(exist_ok=True)
    card = import_tsv(
        {"train": path},
        out,
        name="set",
        source="here",
        licence="none",
        skip_bad=skip_bad,
        vocabulary=False,
    )
    return card, PreparedDataset(out).split("train")


LINES = [
    tsv_line(0, image=photo()),
    tsv_line(1, question="Wo ist die Läsion?", answers="0.3|!+left&&0.9|!+Right Lung&&0.9|!+lung"),
    tsv_line(2, objects="liver&&left lobe", image_id="", answers="1.0|!+No"),
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False], ids=["final line end", "no final line end"])
def test_rows_survive_line_ends_and_marks(tmp_path, end, mark, last):
    content = mark + end.join(LINES) + (end if last else b"")
    _, split = load(tmp_path, content)
    assert split.column("id") == ["0", "1", "2"]
    assert split.column("question") == ["Is it round?", "Wo ist die Läsion?", "Is it round?"]
    assert split.column("answer") == ["yes", "right lung", "no"]
    assert split.column("answer_type") == ["CLOSED", "OPEN", "CLOSED"]
    assert split.column("object") == ["chest", "chest", "liver left lobe"]
    assert split[1]["references"] == (
        '[{"answer": "left", "confidence": 0.3}, {"answer": "right lung", "confidence": 0.9}, '
        '{"answer": "lung", "confidence": 0.9}]'
    )
    assert split[0]["image"] == photo()


def test_url_safe_base64_is_read(tmp_path):
    image = photo("PNG")
    text = base64.urlsafe_b64encode(image).decode()
    assert "-" in text
    assert "_" in text
    line = b"\t".join([*tsv_line(0).split(b"\t")[:-1], text.encode()])
    assert load(tmp_path, line)[1][0]["image"] == image


BAD_LINES = {
    "tab in a text": (tsv_line(1, question="Is\tit?"), "7 columns instead of 6"),
    "column missing": (tsv_line(1).rpartition(b"\t")[0], "5 columns instead of 6"),
    "empty line": (b"", "1 columns instead of 6"),
    "not utf-8": (tsv_line(1).replace(b"round", b"\xff\xfe"), "not UTF-8"),
    "no id": (tsv_line(1, question_id=" "), "empty question_id"),
    "no question": (tsv_line(1, question=""), "empty question"),
    "no answer": (tsv_line(1, answers=""), "is not of the form"),
    "empty answer": (tsv_line(1, answers="1|!+ "), "is not of the form"),
    "no confidence": (tsv_line(1, answers="yes"), "is not of the form"),
    "bad confidence": (tsv_line(1, answers="high|!+yes"), "confidence 'high'"),
    "nan confidence": (tsv_line(1, answers="nan|!+yes"), "confidence 'nan'"),
    "big confidence": (tsv_line(1, answers="7|!+yes"), "confidence '7'"),
    "bad base64": (tsv_line(1)[:-1] + b"!", "not base64"),
    "cut base64": (tsv_line(1)[:-3], "not base64"),
    "bad image": (tsv_line(1, image=photo()[:-2000]), "damaged image"),
    "no image": (tsv_line(1, image=b""), "not an image"),
    "id again": (tsv_line(0), "id 0 was there before"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_row_is_one_error_or_skipped_and_listed(tmp_path, name):
    line, message = BAD_LINES[name]
    content = b"\n".join([tsv_line(0), line, tsv_line(2), b""])
    with pytest.raises(DataError, match=rf"train\.tsv: row 2.*{message}.*--skip-bad"):
        load(tmp_path, content)
    assert nothing_left(tmp_path / "out")
    card, split = load(tmp_path, content, skip_bad=True)
    assert split.column("id") == ["0", "2"]
    assert card.preparation["skipped"] == 1
    assert "row 2" in card.preparation["skipped_rows"][0]


def test_export_and_import_give_the_same_rows(tmp_path):
    write_sample(tmp_path / "sample")
    split = PreparedDataset(tmp_path / "sample").split("train")
    assert export_tsv(split, tmp_path / "first.tsv") == 4
    _, again = load(tmp_path, (tmp_path / "first.tsv").read_bytes())
    for column in ("id", "question", "answer", "object", "references", "image_name"):
        assert again.column(column) == split.column(column)
    assert [row["image"] for row in again] == [row["image"] for row in split]
    export_tsv(again, tmp_path / "second.tsv")
    assert (tmp_path / "second.tsv").read_bytes() == (tmp_path / "first.tsv").read_bytes()


def test_train_comes_first_whatever_the_order_given(tmp_path):
    for name in ("train", "test"):
        answer = "1|!+mass" if name == "train" else "1|!+cyst"
        (tmp_path / name).write_bytes(tsv_line(0, answers=answer, image=encoded()))
    files = {name: tmp_path / name for name in ("test", "train")}
    card = import_tsv(files, tmp_path / "out", name="x", source="s", licence="l")
    assert list(card.counts) == ["train", "test"]
    assert card.answers == ["mass"]
    assert card.answer_coverage["test"]["covered"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "Is\tit?"}, r"row 1 \(id q0\): question holds a tab"),
        ({"image_name": "a\nb"}, "image_id holds a tab or line end"),
        ({"answer": "this&&that"}, "holds a separator"),
    ],
)
def test_text_that_a_table_cannot_hold_is_refused_by_row(tmp_path, changes, message):
    write_dataset(tmp_path / "set", FACTS, {"train": [vqa_row(0, **changes)]})
    split = PreparedDataset(tmp_path / "set").split("train")
    with pytest.raises(DataError, match=message):
        export_tsv(split, tmp_path / "x.tsv")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_missing_tables_are_named_at_once(tmp_path):
    files = {"train": tmp_path / "a.tsv", "test": tmp_path / "b.tsv"}
    with pytest.raises(DataError, match=r"a\.tsv, .*b\.tsv"):
        import_tsv(files, tmp_path / "out", name="x", source="s", licence="l")


def test_only_visual_questions_can_be_exported(tmp_path):
    facts = replace(FACTS, task="caption")
    write_dataset(tmp_path / "set", facts, {"train": [vqa_row(0)]})
    with pytest.raises(ConfigError, match="only vqa"):
        export_tsv(PreparedDataset(tmp_path / "set").split("train"), tmp_path / "x.tsv")


def test_imported_tables_are_ready_to_train_on(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(b"\n".join(LINES))
    import_tsv({"train": path}, tmp_path / "set", name="set", source="s", licence="l")
    vocabulary = Vocabulary.load(tmp_path / "set" / "vocabulary")
    assert vocabulary.decode_text(vocabulary.encode_text(" lung")) == " lung"
