"""`biomedgpt data ...` as a user types it."""

import json
import re

import pytest
from data_command import run
from data_samples import rad_record, tsv_line, write_rad_release, write_sample

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import BiomedGPTError, ConfigError, DataError


def test_list_says_what_is_prepared(tmp_path, capsys):
    write_sample(tmp_path / "vqa-rad")
    assert run("list", "--root", tmp_path) == 0
    assert re.search(r"vqa-rad +vqa +open +yes ", capsys.readouterr().out)
    assert run("list", "--json", "--root", tmp_path) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["vqa-rad"]["prepared"] is True
    assert "phantoms" not in entries  # no benchmark
    assert run("list", "--json", "--root", tmp_path / "elsewhere") == 0
    assert not any(entry["prepared"] for entry in json.loads(capsys.readouterr().out))
    assert entries["vqa-rad"]["expected"]["test"] == 451


def test_prepare_prints_table_skipped_rows_and_differences(tmp_path, capsys):
    records = [rad_record(0), rad_record(1, answer=""), rad_record(2, phrase_type="test_para")]
    raw = write_rad_release(tmp_path / "raw", records)
    out = tmp_path / "out"
    command = ("prepare", "vqa-rad", "--raw", raw, "--out", out, "--no-vocabulary")
    with pytest.raises(DataError, match=r"row 2 \(qid 1\): empty answer"):
        run(*command)
    assert run(*command, "--skip-bad") == 0
    captured = capsys.readouterr()
    assert "split  rows  images  closed" in captured.out
    assert "skipped: 1" in captured.out
    assert "row 2 (qid 1): empty answer" in captured.out
    assert "test answers among them: 1 of 1 (100.0%, closed 1 of 1)" in captured.out
    assert "warning: vqa-rad: 1 train, the official release has 1,797" in captured.err
    with pytest.raises(ConfigError, match="--overwrite"):
        run(*command)
    assert run(*command, "--skip-bad", "--overwrite") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prepare", "vqa-rat", "--out", "x"), "unknown dataset 'vqa-rat'; did you mean vqa-rad"),
        (("prepare", "vqa-rad", "--out", "x"), "needs --raw"),
        (("prepare", "phantoms", "--raw", ".", "--out", "x"), "leave out --raw"),
        (("prepare", "vqa-rad", "--image-size", "9", "--out", "x"), "leave out --image-size"),
        (("import-tsv", "--task", "vqa", "--split", "train", "--out", "x"), "NAME=FILE"),
        (("export-tsv", ".", "--out", "x"), "not a prepared dataset"),
        (("check", "."), "not a prepared dataset"),
    ],
)
def test_wrong_words_are_one_clear_error(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BiomedGPTError, match=message) as error:
        run(*words)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_phantoms_are_prepared_without_raw_files(tmp_path, capsys):
    out = tmp_path / "phantoms"
    sizes = ("--images", 4, 2, 3, "--image-size", 64)
    assert run("prepare", "phantoms", "--out", out, *sizes, "--no-vocabulary") == 0
    assert list(PreparedDataset(out).card.image_counts.values()) == [4, 2, 3]
    assert run("check", out) == 0
    assert "broken" not in capsys.readouterr().out


def test_check_exits_with_one_only_when_broken(tmp_path, capsys):
    folder = tmp_path / "sample"
    write_sample(folder)
    assert run("check", folder) == 0
    out = capsys.readouterr().out
    assert "train and test share 1 images (1 test rows) and 1 questions" in out
    assert "sound" in out
    with (folder / "test.h5").open("ab") as file:
        file.write(b"x")
    assert run("check", folder) == 1
    assert "test: test.h5 has changed since preparation" in capsys.readouterr().out


def test_tables_go_in_and_out(tmp_path, capsys):
    (tmp_path / "a.tsv").write_bytes(tsv_line(0) + b"\r\n" + tsv_line(1) + b"\r\n")
    words = ("--task", "vqa", "--out", tmp_path / "mine")
    assert run("import-tsv", "--split", f"train={tmp_path / 'a.tsv'}", *words) == 0
    assert PreparedDataset(tmp_path / "mine").card.name == "mine"
    assert run("export-tsv", tmp_path / "mine", "--out", tmp_path / "tables") == 0
    assert (tmp_path / "tables" / "train.tsv").read_bytes().count(b"\n") == 2
    with pytest.raises(ConfigError, match=r"train\.tsv exist; add --overwrite"):
        run("export-tsv", tmp_path / "mine", "--out", tmp_path / "tables")
