"""PubMed as NLM ships it: versions, deletions, damaged files; the same for every corpus is here."""

import gzip
import json
from collections import Counter

import pytest
from corpus_files import PUBMED_HEAD, citation, pubmed_file, pubmed_release

from biomedgpt.cli.main import main
from biomedgpt.corpora import xml
from biomedgpt.corpora.prepare import CorpusOptions, prepare_corpus, shards_folder
from biomedgpt.corpora.pubmed import read
from biomedgpt.corpora.reader import Reading, Work
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.rows import Skipped
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import sole

HERE = CorpusOptions(workers=0)


def prepare(raw, out, **options):
    return prepare_corpus("pubmed", raw=raw, out=out, options=CorpusOptions(workers=0, **options))


def texts(out, split="train"):
    rows = PreparedDataset(out).split(split)
    return dict(zip(rows.column("id"), rows.column("text"), strict=True))


def documents(path, *, skip_bad=False):
    reading = Reading(path.parent, skipped=Skipped(allowed=skip_bad))
    return list(read(Work(path.name, (path,)), reading)), reading


def test_title_and_parts_of_the_abstract_become_the_text(tmp_path):
    marked = "Grown at 37&#176;C with H<sub>2</sub>O &lt;5%.\n  <b>Good</b>."
    path = pubmed_file(tmp_path / "pubmed26n0001.xml.gz", [citation(7, text=marked)])
    (document,), _ = documents(path)
    assert (document.name, document.version) == ("7", 1)
    (row,) = document.rows
    assert row.fields["id"] == "7"
    assert row.fields["text"].startswith("Study 7 of ")
    assert row.fields["text"].endswith(". Grown at 37°C with H2O <5%. Good.")
    assert row.where == f"{path}: record 1 (PMID 7)"


def test_headings_are_kept_and_other_languages_left_out(tmp_path):
    path = pubmed_file(tmp_path / "pubmed26n0001.xml.gz", [citation(7, parts=3)])
    (document,), _ = documents(path)
    text = document.rows[0].fields["text"]
    assert [text.count(f"{label}: ") for label in ("BACKGROUND", "METHODS", "RESULTS")] == [1, 1, 1]
    assert "UNLABELLED" not in text
    assert "Otro" not in text


def test_later_versions_replace_and_deletions_remove(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    old = [citation(n) for n in (1, 2, 3, 4, 5)]
    pubmed_file(raw / "baseline" / "pubmed26n0001.xml.gz", [*old, citation(6, version=2)])
    changed = [
        citation(2, text="Second thoughts on two."),
        citation(3, text="Ahead of its time."),
        citation(3, version=2, text="Third, second version."),
        citation(6, text="An older version that comes later."),
        citation(8, text=""),
    ]
    # The folder of updates comes first by name, its file has the higher number.
    pubmed_file(raw / "a_updates" / "pubmed26n0002.xml.gz", changed, deleted=[4, 99])
    pubmed_file(raw / "a_updates" / "pubmed26n0003.xml.gz", [citation(5, text="")])
    report = prepare(raw, out)
    found = texts(out)
    assert list(found) == ["1", "6", "2", "3"]
    assert found["2"].endswith("Second thoughts on two.")
    assert found["3"].endswith("Third, second version.")
    assert "older version" not in found["6"]
    assert report.card.preparation["replaced"] == 6
    assert report.card.preparation["left_out"] == {"without abstract": 2}
    assert not check_dataset(out).problems


def test_a_record_that_was_removed_may_come_back(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    pubmed_file(raw / "pubmed26n0001.xml.gz", [citation(1), citation(2)])
    pubmed_file(raw / "pubmed26n0002.xml.gz", [], deleted=[1, 2])
    pubmed_file(raw / "pubmed26n0003.xml.gz", [citation(2, text="Back again.")])
    prepare(raw, out)
    assert list(texts(out)) == ["2"]


def test_the_same_text_is_kept_once(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    one = citation(1, text="The very same abstract.")
    two = one.replace('Version="1">1<', 'Version="1">2<').replace("very same", "VERY  same")
    pubmed_file(raw / "pubmed26n0001.xml.gz", [one, two, citation(3)])
    report = prepare(raw, out)
    assert list(texts(out)) == ["1", "3"]
    assert report.card.preparation["duplicates"] == 1


def test_validation_is_drawn_by_record_from_the_seed(tmp_path):
    raw = pubmed_release(tmp_path / "raw", files=2, records=300)
    splits = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepare(raw, tmp_path / name, valid_fraction=0.2, seed=seed)
        splits[name] = set(texts(tmp_path / name, "valid"))
        assert not splits[name] & set(texts(tmp_path / name))
    assert splits["a"] == splits["b"] != splits["c"]
    assert 80 < len(splits["a"]) < 160


def test_a_limit_takes_the_first_rows(tmp_path):
    raw = pubmed_release(tmp_path / "raw", files=3, records=20)
    report = prepare(raw, tmp_path / "out", limit=25)
    assert list(texts(tmp_path / "out")) == [str(n) for n in range(1, 26)]
    assert report.shards == 2
    with pytest.raises(ConfigError, match="must not be negative"):
        prepare(raw, tmp_path / "other", limit=-1)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_cut_in_the_middle_is_one_error_or_counted(compressed, tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    pubmed_release(raw, files=2, records=30)
    path = raw / "pubmed26n0001.xml.gz"
    if compressed:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
    else:
        data = gzip.decompress(path.read_bytes())
        path.unlink()
        path = raw / "pubmed26n0001.xml"
        path.write_bytes(data[: len(data) // 2])
    words = ["corpus", "prepare", "pubmed", "--raw", str(raw), "--out", str(out), "--workers", "0"]
    assert main(words) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    error = next(line for line in lines if line.startswith("error"))
    assert f"{path}: cut or damaged after record" in error
    assert "--skip-bad" in error
    assert not out.exists()
    assert main([*words, "--skip-bad"]) == 0
    found = texts(out)
    after = int(error.partition("after record ")[2].partition(" ")[0])
    assert list(found) == [str(n) for n in range(1, after + 1)] + [str(n) for n in range(31, 61)]
    assert 5 < after < 29
    assert "skipped as bad: 1" in capsys.readouterr().out
    assert PreparedDataset(out).card.preparation["skipped"] == 1


def test_a_damaged_byte_in_a_compressed_file_is_noticed(tmp_path):
    path = pubmed_file(tmp_path / "raw" / "pubmed26n0001.xml.gz", map(citation, range(1, 30)))
    data = bytearray(path.read_bytes())
    data[-8] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(DataError, match="cut or damaged after record 29"):
        prepare(tmp_path / "raw", tmp_path / "out")


def test_entities_are_refused_but_a_doctype_is_not(tmp_path):
    bomb = '<!DOCTYPE PubmedArticleSet [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><PubmedArticleSet>'
    path = pubmed_file(tmp_path / "raw" / "pubmed26n0001.xml.gz", [], head=bomb)
    with pytest.raises(DataError, match="declares the entity 'a'; refused"):
        prepare(tmp_path / "raw", tmp_path / "out")
    assert "<!DOCTYPE" in PUBMED_HEAD
    assert str(path)


def test_a_record_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(xml, "MAX_RECORD", 1 << 18)
    rows = [citation(1), citation(2, text="long " * 200_000)]
    pubmed_file(tmp_path / "raw" / "pubmed26n0001.xml.gz", rows)
    with pytest.raises(DataError, match="record of more than 0 MiB"):
        prepare(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('<PMID Version="1">2', '<PMID Version="1">two'), "record 2: PMID is 'two', not a"),
        (('<PMID Version="1">2', '<PMID Version="x">2'), "version of PMID 2 is 'x', not a"),
        (("MedlineCitation", "OtherCitation"), "record 2: no MedlineCitation"),
    ],
)
def test_bad_records_are_named_and_skipped(change, problem, tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    rows = [citation(1), citation(2).replace(*change), citation(3)]
    pubmed_file(raw / "pubmed26n0001.xml.gz", rows)
    with pytest.raises(DataError) as error:
        prepare(raw, out)
    assert problem in str(error.value)
    prepare(raw, out, skip_bad=True)
    assert list(texts(out)) == ["1", "3"]


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="no PubMed files"):
        prepare(tmp_path / "raw", tmp_path / "out")
    with pytest.raises(DataError, match="no such folder"):
        prepare(tmp_path / "none", tmp_path / "out")
    (tmp_path / "raw" / "a.xml").write_text("<html><p/></html>")
    with pytest.raises(DataError, match="begins with <html>"):
        prepare(tmp_path / "raw", tmp_path / "out", skip_bad=True)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_finished_shards_are_taken_up_and_changed_ones_are_not(tmp_path):
    raw, out = pubmed_release(tmp_path / "raw", files=3, records=10), tmp_path / "out"
    broken = raw / "pubmed26n0003.xml.gz"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-200])
    with pytest.raises(DataError, match="cut or damaged"):
        prepare(raw, out)
    broken.write_bytes(whole)
    kept = shards_folder(out)
    assert len(list(kept.glob("*.json"))) == 2
    damaged = sorted(kept.glob("*.h5"))[0]
    with damaged.open("r+b") as file:
        file.seek(3000)
        file.write(b"?")
    (kept / ".train.h5.123.tmp").write_bytes(b"left by a killed worker")
    report = prepare(raw, out, keep_shards=True)
    assert (report.shards, report.reused) == (3, 1)
    assert len(texts(out)) == 30
    pubmed_file(raw / "pubmed26n0004.xml.gz", [citation(99)], deleted=[1])
    report = prepare(raw, out, keep_shards=True, overwrite=True)
    assert (report.shards, report.reused, report.rows_read) == (4, 3, 1)
    assert set(texts(out)) == {str(n) for n in range(2, 31)} | {"99"}
    prepare(raw, out, overwrite=True)
    assert not kept.exists()


def test_a_shard_that_skipped_rows_is_read_again_when_that_is_not_allowed(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    pubmed_file(raw / "pubmed26n0001.xml.gz", [citation(1), citation(2).replace(">2<", ">?<")])
    prepare(raw, out, skip_bad=True, keep_shards=True)
    with pytest.raises(DataError, match="PMID is"):
        prepare(raw, out, overwrite=True)
    assert list(texts(out)) == ["1"]


def test_two_runs_for_one_output_are_kept_apart(tmp_path):
    raw, out = pubmed_release(tmp_path / "raw", files=1, records=3), tmp_path / "out"
    with (
        sole(shards_folder(out)),
        pytest.raises(ConfigError, match=r"out\.shards is in use by .* give another --out$"),
    ):
        prepare(raw, out)
    prepare(raw, out)


def test_shards_that_are_in_the_dataset_do_not_stay(tmp_path, monkeypatch):
    """The run is killed when the dataset is whole and the shards are to be removed."""
    raw, out = pubmed_release(tmp_path / "raw", files=1, records=3), tmp_path / "out"
    monkeypatch.setattr("biomedgpt.corpora.prepare.remove", lambda _: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        prepare(raw, out)
    monkeypatch.undo()
    assert list(shards_folder(out).glob("*.json"))
    with pytest.raises(ConfigError, match="add --overwrite"):
        prepare(raw, out)
    assert not shards_folder(out).exists()
    prepare(raw, out, overwrite=True, keep_shards=True)
    with pytest.raises(ConfigError, match="add --overwrite"):
        prepare(raw, out)
    assert shards_folder(out).exists()  # these were to be kept


def test_corpora_are_listed(capsys):
    assert main(["corpus", "list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    kinds = Counter(entry["kind"] for entry in entries)
    assert kinds == {"text": 4, "captioning": 4, "vqa": 2, "images": 5, "detection": 2}
    assert main(["corpus", "list"]) == 0
    assert "pubmed" in capsys.readouterr().out
    assert main(["corpus", "prepare", "pubmet", "--raw", "x", "--out", "y"]) == 1
    assert "did you mean pubmed?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"valid_fraction": 1.0}, "below 1"),
        ({"max_words": 10}, "not cut into passages"),
        ({"valid_fraction": 1e-12}, "no row for the split valid"),
    ],
)
def test_options_that_make_no_sense(options, problem, tmp_path):
    raw = pubmed_release(tmp_path / "raw", files=1, records=3)
    with pytest.raises((ConfigError, DataError), match=problem):
        prepare(raw, tmp_path / "out", **options)
