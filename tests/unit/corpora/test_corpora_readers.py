"""Every other corpus: its official layout, what is left out, and bad input."""

import csv
import io
import json
import tarfile

import numpy as np
import pytest
from corpus_files import (
    article,
    bundle,
    deep_lesion,
    lesion,
    medicat,
    picture,
    voc,
    write,
)
from PIL import Image

from biomedgpt.corpora import passages, plain_text
from biomedgpt.corpora.prepare import CorpusOptions, prepare_corpus
from biomedgpt.corpora.registry import CORPORA
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.errors import DataError


def prepare(name, raw, out, **options):
    report = prepare_corpus(name, raw=raw, out=out, options=CorpusOptions(workers=0, **options))
    assert not check_dataset(out).problems
    return report.card


def rows(out, split="train"):
    found = PreparedDataset(out).split(split)
    return {found.text("id", n): found[n] for n in range(len(found))}


# Passages


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        ([], []),
        (["", " "], []),
        (["a b", "c d"], ["a b c d"]),
        (["a b c", "d e f"], ["a b c", "d e f"]),
        (["a b c. d e f g"], ["a b c.", "d e f g"]),
        (["a. b c d e f g"], ["a. b c d", "e f g"]),
        (["a", "b c d e f"], ["a", "b c d e", "f"]),
    ],
)
def test_passages_hold_at_most_so_many_words(paragraphs, expected):
    assert passages.cut(paragraphs, 4) == expected


# PMC


def test_articles_become_passages_without_tables_and_citations(tmp_path):
    text = (
        'Known <sup>[<xref ref-type="bibr" rid="r1">1</xref>, <xref ref-type="bibr">2</xref>]</sup>'
    )
    nested = "Items <list><list-item><p>one</p></list-item><list-item><p>two</p></list-item></list>"
    raw = tmp_path / "raw"
    bundle(
        raw / "oa_comm_xml.PMC000xxxxxx.baseline.2024-06-18.tar.gz",
        {
            "PMC000xxxxxx/PMC11.xml": article(11, paragraphs=[f"{text} facts.", nested]),
            "PMC000xxxxxx/readme.txt": "not an article",
        },
    )
    prepare("pmc", raw, tmp_path / "out")
    ((name, row),) = rows(tmp_path / "out").items()
    assert name == "PMC11-0"
    assert row["text"] == "A study 11 Abstract of 11. Known facts. Items one two"


def test_a_later_article_replaces_all_passages_of_the_earlier(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    long = ["word " * 30 + "end.", "more " * 30 + "end."]
    bundle(
        raw / "oa_comm_xml.PMC000xxxxxx.baseline.2024-06-18.tar.gz",
        {"a/PMC1.xml": article(1, paragraphs=long), "a/PMC2.xml": article(2, paragraphs=long)},
    )
    bundle(
        raw / "oa_comm_xml.incr.2024-06-19.tar.gz",
        {"a/PMC1.xml": article(1, paragraphs=["Shorter."])},
    )
    write(raw / "single" / "PMC3.nxml", article(3, paragraphs=["Alone."]))
    card = prepare("pmc", raw, out, max_words=40)
    assert list(rows(out)) == ["PMC2-0", "PMC2-1", "PMC1-0", "PMC3-0"]
    assert rows(out)["PMC1-0"]["text"].endswith("Shorter.")
    assert card.preparation["replaced"] == 2
    assert card.preparation["max_words"] == 40


def test_bad_articles_are_named_and_skipped(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    good = article(1, paragraphs=["Good."])
    path = bundle(
        raw / "some.tar.gz",
        {
            "PMC1.xml": good,
            "PMC2.xml": good[: len(good) // 2],
            "PMC3.xml": good.replace('pub-id-type="pmc"', 'pub-id-type="doi"'),
            "PMC4.xml": good.replace("<front>", "<front>&unknown;"),
            "PMC5.xml": b"\xff\xfe\x00",
        },
    )
    with pytest.raises(DataError) as error:
        prepare("pmc", raw, out)
    assert str(error.value).startswith(f"{path}: record 2 (PMC2.xml): cut or damaged")
    card = prepare("pmc", raw, out, skip_bad=True)
    assert list(rows(out)) == ["PMC1-0"]
    assert card.preparation["skipped"] == 4
    assert "no PMC number" in card.preparation["skipped_rows"][1]


def test_a_bundle_cut_in_the_middle_keeps_its_whole_articles(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    random = np.random.default_rng(1)
    many = {
        f"PMC{n}.xml": article(n, paragraphs=[" ".join(map(str, random.integers(0, 9**9, 500)))])
        for n in range(20)
    }
    path = bundle(raw / "some.tar.gz", many)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut or damaged after record \d+ \(PMC\d+.xml\)"):
        prepare("pmc", raw, out)
    card = prepare("pmc", raw, out, skip_bad=True)
    assert card.preparation["skipped"] == 1
    assert 2 <= card.preparation["documents"] < 20
    path.write_bytes(b"no archive at all")
    with pytest.raises(DataError, match="cut or damaged at its begin"):
        prepare("pmc", raw, tmp_path / "other")


def test_links_in_a_bundle_are_not_followed(tmp_path):
    path = tmp_path / "raw" / "some.tar.gz"
    bundle(path, {})
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("PMC1.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        data = article(2, paragraphs=["Good."]).encode()
        member = tarfile.TarInfo("PMC2.xml")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    prepare("pmc", tmp_path / "raw", tmp_path / "out")
    assert list(rows(tmp_path / "out")) == ["PMC2-0"]


# Plain text


def test_lines_are_documents_whichever_part_they_are_read_in(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    lines = [f"Document {number} " + "x" * (number * 7 % 40) for number in range(50)]
    write(raw / "a.txt", "\ufeff" + "\n\n".join(lines))
    write(raw / "sub" / "b.txt", "Windows line.\r\nand another")
    prepare("text-lines", raw, tmp_path / "whole")
    monkeypatch.setattr(plain_text, "PART_BYTES", 97)
    card = prepare("text-lines", raw, tmp_path / "parts")
    assert card.preparation["shards"] > 10
    whole, parts = rows(tmp_path / "whole"), rows(tmp_path / "parts")
    assert whole == parts
    assert [row["text"] for row in whole.values()] == [
        *(line.strip() for line in lines),
        "Windows line.",
        "and another",
    ]


def test_files_are_documents(tmp_path):
    raw = tmp_path / "raw"
    write(raw / "a.txt", "One two three.\n\nFour five six seven.")
    write(raw / "b.txt", b"caf\xe9")
    write(raw / "c.txt", "  \n")
    with pytest.raises(DataError, match=r"b\.txt is not UTF-8 \(byte 0xe9\)"):
        prepare("text-files", raw, tmp_path / "out")
    card = prepare("text-files", raw, tmp_path / "out", skip_bad=True, max_words=4)
    assert {name: row["text"] for name, row in rows(tmp_path / "out").items()} == {
        "a.txt-0": "One two three.",
        "a.txt-1": "Four five six seven.",
    }
    assert card.preparation["left_out"] == {"blank": 1}


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_text, "MAX_DOCUMENT", 100)
    write(tmp_path / "raw" / "a.txt", "x" * 101)
    with pytest.raises(DataError, match="the line at byte 0 is longer than"):
        prepare("text-lines", tmp_path / "raw", tmp_path / "out")


# Pairs


def test_medicat_figures_with_their_captions(tmp_path):
    figures = [{}, {"s2_caption": None}, {"s2_caption": " . ", "s2orc_caption": ""}, {}]
    raw = medicat(tmp_path / "raw", figures)
    card = prepare("medicat", raw, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [row["caption"] for row in found.values()] == [
        "Figure 1. Finding 0.",
        "Figure 1. Finding 1.",
        "Figure 1. Finding 3.",
    ]
    name = f"{3:040x}_2-Figure1-1.png"
    assert found[name]["image"] == picture(3)
    assert json.loads(found[name]["references"])[0]["answer"] == "Figure 1. Finding 3."
    assert card.preparation["left_out"] == {"without caption": 1}


def test_bad_figures_are_named_and_skipped(tmp_path):
    raw = medicat(tmp_path / "raw", [{}, {"fig_uri": "../x.png"}, {"pdf_hash": 1.5}, {}])
    (raw / "release" / "figures" / f"{3:040x}_2-Figure1-1.png").unlink()
    with pytest.raises(DataError, match=r"jsonl: byte \d+: '.*x.png' is not a plain file name"):
        prepare("medicat", raw, tmp_path / "out")
    card = prepare("medicat", raw, tmp_path / "out", skip_bad=True)
    assert len(rows(tmp_path / "out")) == 1
    assert card.preparation["skipped"] == 3
    assert "cannot read image" in card.preparation["skipped_rows"][2]


@pytest.mark.parametrize("name", ["roco", "iu-xray", "peir-gross", "slake", "pathvqa"])
def test_of_benchmarks_the_training_split_is_taken(name, tmp_path):
    from raw_releases.all import build

    from biomedgpt.data.prepare import prepare as prepare_benchmark
    from biomedgpt.data.spec import PrepareOptions

    raw = build(name, tmp_path / "raw")
    prepare_benchmark(name, raw=raw, out=tmp_path / "all", options=PrepareOptions(vocabulary=False))
    prepare(name, raw, tmp_path / "out")
    train = set(rows(tmp_path / "all"))
    assert set(rows(tmp_path / "out")) <= train
    assert not set(rows(tmp_path / "out")) & set(rows(tmp_path / "all", "test"))


# Image folders


FOLDERS = {
    "chexpert-small": (
        "CheXpert-v1.0-small/train/patient{0:05d}/study{1}/view1_frontal.jpg",
        "CheXpert-v1.0-small/valid/patient9/study1/view1_frontal.jpg",
    ),
    "cytoimagenet": ("cytoimagenet/class_{0}/image-{1}.png", None),
    "isic-2020": ("ISIC_2020_Training_JPEG/train/ISIC_{0}{1}.jpg", "ISIC_2020_Test_Input/I.jpg"),
    "retinal-fundus": ("train/{0}_{1}.jpeg", "test/1_left.jpeg"),
    "image-folder": ("a/{0}/{1}.tif", None),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_images(name, tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    train, other = FOLDERS[name]
    second = ("left", "right") if name == "retinal-fundus" else (1, 2)
    for number in range(12):
        for part, word in enumerate(second):
            write(raw / train.format(number, word), picture(2 * number + part))
    write((raw / train.format(0, second[0])).with_name(".hidden.png"), b"")
    write(raw / train.format(77, second[0]), picture(1))  # the same image once more
    if other:
        write(raw / other, picture(999))
    card = prepare(name, raw, out, valid_fraction=0.3)
    found, held_out = rows(out), rows(out, "valid")
    assert len(found) + len(held_out) == 24
    assert card.preparation["duplicates"] == 1
    for example in found.values():
        assert example["image_name"] == example["id"]
    if name in ("chexpert-small", "retinal-fundus"):
        people = [
            {row.replace("/", "_").split("_")[1] for row in part} for part in (found, held_out)
        ]
        if name == "chexpert-small":
            people = [{row.split("/")[2] for row in part} for part in (found, held_out)]
        assert not people[0] & people[1]


def test_a_damaged_image_is_named_and_skipped(tmp_path):
    raw = tmp_path / "raw"
    write(raw / "a.png", picture(1))
    path = write(raw / "b.png", picture(2)[:-40])
    with pytest.raises(DataError, match="damaged image") as error:
        prepare("image-folder", raw, tmp_path / "out")
    assert str(error.value).startswith(str(path))
    card = prepare("image-folder", raw, tmp_path / "out", skip_bad=True)
    assert (len(rows(tmp_path / "out")), card.preparation["skipped"]) == (1, 1)


LINKS = {
    "a file": ("/etc/hostname", "a.png"),
    "a folder": ("/etc", "train"),
    "above": ("..", "train/a"),
    "nowhere": ("/nowhere/a.png", "train/a.png"),
    "a circle": ("a.png", "a.png"),
}


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("link", LINKS)
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path, corpus, link):
    target, name = LINKS[link]
    (tmp_path / "raw" / "train").mkdir(parents=True, exist_ok=True)
    path = tmp_path / "raw" / name
    if path.is_dir():
        path.rmdir()
    path.symlink_to(tmp_path if target == ".." else target)
    with pytest.raises(DataError, match="leads out of") as error:
        prepare(corpus, tmp_path / "raw", tmp_path / "out")
    assert str(error.value).startswith(str(path))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["raw"]


def test_links_within_the_folder_and_of_the_folder_itself_are_followed(tmp_path):
    write(tmp_path / "real" / "a.png", picture(1))
    (tmp_path / "real" / "b.png").symlink_to("a.png")
    (tmp_path / "real" / ".cache").symlink_to("/etc")  # passed over
    (tmp_path / "raw").symlink_to("real")
    prepare("image-folder", tmp_path / "raw", tmp_path / "out")
    assert rows(tmp_path / "out")


# Boxes


def test_deep_lesion_slices_in_their_window(tmp_path):
    raw = deep_lesion(
        tmp_path / "raw",
        [
            lesion("000001_01_01_109.png", "5.5, 6, 20, 30"),
            lesion("000001_01_01_109.png", "0, 0, 64, 48", kind=4),
            lesion("000001_01_01_110.png", "1, 1, 2, 2", kind=-1),
            lesion("000002_01_01_012.png", "1, 1, 2, 2", noisy=1),
            lesion("000002_01_01_013.png", "1, 1, 9, 9", window="-1000, 1000"),
        ],
    )
    card = prepare("deeplesion", raw, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert list(found) == ["000001_01_01_109.png", "000002_01_01_013.png"]
    assert json.loads(found["000001_01_01_109.png"]["objects"]) == [
        {"box": [5.5, 6, 20, 30], "label": "lung"},
        {"box": [0, 0, 64, 48], "label": "liver"},
    ]
    narrow, wide = (np.asarray(Image.open(io.BytesIO(row["image"]))) for row in found.values())
    assert (narrow.shape, narrow.dtype) == ((48, 64), np.uint8)
    units = np.linspace(-1000, 1000, 64 * 48).reshape(48, 64)
    assert abs(narrow[24, 5] - np.clip((units[24, 5] + 175) / 450 * 255, 0, 255)) <= 1
    assert abs(wide[40, 5] - (units[40, 5] + 1000) / 2000 * 255.0) <= 1
    assert card.preparation["left_out"] == {
        "lesions of unknown type": 1,
        "possibly noisy lesions": 1,
    }


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (lesion("000001_01_01_110.png", "5, 6, 65, 30"), "reaches out of its image of 64 x 48"),
        (lesion("000001_01_01_110.png", "5, 6, 5, 30"), "is empty"),
        (lesion("000001_01_01_110.png", "5, 6, x, 30"), "not 4 numbers"),
        (
            lesion("000001_01_01_110.png", "5, 6, 8, 30", window="3, 3"),
            "DICOM_windows 3, 3 is empty",
        ),
        (lesion("000001_01_01_110.png", "5, 6, 8, 30", kind=9), "Coarse_lesion_type is '9'"),
        (lesion("000001_01_01_111.png", "5, 6, 8, 30"), "no image 000001_01_01/111.png"),
        ("one,two", "2 values for 18 columns"),
    ],
)
def test_bad_lesions_are_named_and_skipped(row, problem, tmp_path):
    raw = tmp_path / "raw"
    rows_written = [lesion("000001_01_01_109.png", "1, 1, 9, 9"), row]
    deep_lesion(raw, [one for one in rows_written if "_" in one])
    if "_111" in row:
        (raw / "Images_png/000001_01_01/111.png").unlink()
    if "_" not in row:
        with (raw / "DL_info.csv").open("a") as file:
            csv.writer(file).writerow(row.split(","))
    with pytest.raises(DataError) as error:
        prepare("deeplesion", raw, tmp_path / "out")
    assert f"{raw / 'DL_info.csv'}: row 2" in str(error.value)
    assert problem in str(error.value)
    card = prepare("deeplesion", raw, tmp_path / "out", skip_bad=True)
    assert len(rows(tmp_path / "out")) == 1
    assert card.preparation["skipped"] == 1


def test_ddr_annotations(tmp_path):
    raw = tmp_path / "raw"
    base = raw / "DDR-dataset"
    for number, split in enumerate(("train", "train", "valid", "test")):
        stem = f"007-000{number}-000"
        objects = [("ma", (1, 2, 5, 6)), ("EX", (3, 3, 40, 30))] if number != 1 else []
        write(base / "lesion_detection" / split / f"{stem}.xml", voc(stem, objects))
        write(base / "lesion_segmentation" / split / "image" / f"{stem}.jpg", picture(number))
    card = prepare("oia-ddr", raw, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert list(found) == ["007-0000-000", "007-0002-000"]
    assert json.loads(found["007-0000-000"]["objects"]) == [
        {"box": [1, 2, 5, 6], "label": "microaneurysm"},
        {"box": [3, 3, 40, 30], "label": "hard exudate"},
    ]
    assert card.preparation["left_out"] == {"without lesion": 1}


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        ([("ma", (1, 2, 41, 6))], "reaches out of its image of 40 x 30"),
        ([("nodule", (1, 2, 4, 6))], "object 1: name is 'nodule', must be one of ma, he"),
        ([("ma", (1, 2, "", 6))], "object 1: xmax is '', not a number"),
    ],
)
def test_bad_annotations_are_named_and_skipped(objects, problem, tmp_path):
    raw = tmp_path / "raw"
    for stem, marked in (("good", [("se", (1, 1, 2, 2))]), ("wrong", objects)):
        write(raw / "lesion_detection/train" / f"{stem}.xml", voc(stem, marked))
        write(raw / "lesion_segmentation/train/image" / f"{stem}.jpg", picture(len(stem)))
    with pytest.raises(DataError) as error:
        prepare("oia-ddr", raw, tmp_path / "out")
    assert "wrong.xml" in str(error.value)
    assert problem in str(error.value)
    assert prepare("oia-ddr", raw, tmp_path / "out", skip_bad=True).preparation["skipped"] == 1


@pytest.mark.parametrize("name", CORPORA)
def test_a_folder_of_something_else_is_one_error(name, tmp_path):
    write(tmp_path / "raw" / "notes.md", "nothing of use")
    with pytest.raises(DataError) as error:
        prepare(name, tmp_path / "raw", tmp_path / "out")
    assert str(tmp_path / "raw") in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="none"):
        prepare(name, tmp_path / "none", tmp_path / "out")
