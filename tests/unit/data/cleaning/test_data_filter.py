"""`biomedgpt data filter`: what each filter removes, and that it says so."""

import io

import numpy as np
import pytest
from data_command import run
from PIL import Image, ImageDraw
from raw_releases.drawing import picture

from biomedgpt.data.cleaning.charts import is_blank, is_drawing
from biomedgpt.data.cleaning.decontaminate import DecontaminateOptions, decontaminate
from biomedgpt.data.cleaning.medical import MedicalVocabulary
from biomedgpt.data.phantoms.phantom import generate
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.raw.instruction_rows import INSTRUCTION_FIELDS
from biomedgpt.data.rows import Row
from biomedgpt.errors import ConfigError, DataError


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def chart():
    image = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(image)
    for n in range(6):
        draw.rectangle((40 + 55 * n, 250 - 30 * n, 70 + 55 * n, 270), fill=(40, 90, 200))
        draw.text((40 + 55 * n, 275), f"group {n}", fill="black")
    draw.line((30, 10, 30, 270, 390, 270), fill="black", width=2)
    return image


def scan(number, size=96):
    return Image.fromarray(generate("f", number, seed=1, size=size).image)


LONG = (
    "The axial image shows a hypodense lesion in the right lobe of the liver with thin walls and "
    "without enhancement, which is most likely a simple cyst of the liver."
)
OTHER = (
    "The share price of the company rose after it had told its owners on Friday that it would sell "
    "its railways and the ships that it had bought two years before."
)


def write(folder, dialogues, **splits):
    """Write dialogues of (image or None, [(instruction, answer), ...])."""
    rows = []
    for number, (image, turns) in enumerate(dialogues, start=1):
        for turn, (asked, answer) in enumerate(turns, start=1):
            fields = dict.fromkeys(INSTRUCTION_FIELDS, "") | {
                "id": f"{number}-{turn}",
                "instruction": asked,
                "answer": answer,
                "dialogue": f"d{number}",
            }
            rows.append(Row(fields, None if image is None else png(image)))
    facts = DatasetFacts(
        name="talk", task="instruction", source="-", licence="-", fields=INSTRUCTION_FIELDS
    )
    first = splits.get("train", len(rows))
    parts = {"train": rows[:first]} | ({"test": rows[first:]} if first < len(rows) else {})
    write_dataset(folder, facts, parts)
    return folder


def kept(folder, split="train"):
    return PreparedDataset(folder).split(split).column("id")


def lines(folder):
    text = (folder / "removed.tsv").read_text().splitlines()
    assert text[0] == "split\tid\treason\tdetail"
    return [line.split("\t") for line in text[1:]]


def test_images_are_judged_by_size_and_content(tmp_path, capsys):
    question = [("What is it?", "A cyst.")]
    images = [scan(1), scan(2, 48), Image.new("L", (96, 96), 90), chart(), None]
    data = write(tmp_path / "in", [(image, question) for image in images])
    out = tmp_path / "out"
    words = ("--min-side", 64, "--no-blank", "--no-drawings")
    assert run("filter", data, "--out", out, *words) == 0
    assert kept(out) == ["1-1", "5-1"]
    assert [line[1:3] for line in lines(out)] == [
        ["2-1", "small image"],
        ["3-1", "blank image"],
        ["4-1", "drawing"],
    ]
    printed = capsys.readouterr().out
    assert "train 2-1: small image (48 x 48 pixels)" in printed
    quality = PreparedDataset(out).card.preparation["quality"]
    assert quality["splits"] == {
        "train": {"rows": 5, "small image": 1, "blank image": 1, "drawing": 1}
    }
    assert quality["options"] == {"min_side": 64, "no_blank": True, "no_drawings": True}
    assert check_dataset(out).problems == []


def test_pictures_of_bodies_are_no_drawings():
    for number in range(10):
        assert not is_drawing(scan(number))
        assert not is_drawing(Image.fromarray(255 - np.asarray(scan(number))))  # on white
        assert not is_drawing(picture(number))
        assert not is_blank(scan(number))


def test_charts_tables_and_curves_are_drawings_also_as_jpeg():
    text = Image.new("RGB", (500, 400), (250, 250, 250))
    curves = Image.new("RGB", (400, 300), "white")
    for y in range(10, 400, 14):
        ImageDraw.Draw(text).text(
            (8, y), "a row of a table, 0.5 (0.1), p < 0.05", fill=(20, 20, 20)
        )
    for n, colour in enumerate(("red", "green", "blue")):
        points = [(x, 150 + 40 * n * np.sin(x / 30 + n)) for x in range(10, 390, 4)]
        ImageDraw.Draw(curves).line(points, fill=colour, width=2)
    for drawing in (chart(), text, curves):
        for quality in (50, 85):
            file = io.BytesIO()
            drawing.save(file, "JPEG", quality=quality)
            assert is_drawing(Image.open(file))
        assert is_drawing(drawing)


def test_real_images_are_no_drawings(real_data):
    folder = real_data / "vqa_rad"
    paths = sorted(folder.rglob("*.jpg"))[:60]
    if not paths:
        pytest.skip(f"needs the images of VQA-RAD in {folder}")
    for path in paths:
        with Image.open(path) as image:
            assert not is_drawing(image)
            assert not is_blank(image)


def test_a_dialogue_is_judged_by_all_its_words(tmp_path):
    short = [("Is it large?", "Yes, it is.")]
    dialogues = [(None, [("What is it?", LONG), *short]), (None, short), (None, [("And?", OTHER)])]
    data = write(tmp_path / "in", dialogues)
    run("filter", data, "--out", tmp_path / "out", "--min-medical-words", 3)
    assert kept(tmp_path / "out") == ["1-1", "1-2"]
    assert {line[1]: line[2] for line in lines(tmp_path / "out")} == {
        "2-1": "too few medical words",
        "3-1": "too few medical words",
    }
    (tmp_path / "words.txt").write_text("Railways\nships\nshare\n")
    words = ("--min-medical-share", 0.05, "--medical-words", tmp_path / "words.txt")
    run("filter", data, "--out", tmp_path / "more", *words)
    assert kept(tmp_path / "more") == ["1-1", "1-2", "3-1"]


@pytest.mark.parametrize(
    "word", ["cardiomegaly", "Osteomyelitis", "glioblastoma", "nephrectomy", "CT", "leukocytes"]
)
def test_medical_words(word):
    assert word in MedicalVocabulary()


@pytest.mark.parametrize("word", ["railway", "diploma", "analysis", "history", "the", "company"])
def test_other_words(word):
    assert word not in MedicalVocabulary()


def test_near_duplicates_of_earlier_texts_go(tmp_path):
    pytest.importorskip("datasketch")
    nearly = LONG.replace("simple cyst", "benign cyst")
    short = [("Is there a lesion?", "Yes.")]
    dialogues = [
        (scan(1), [("Describe it.", LONG)]),
        (scan(2), [("Describe it.", OTHER)]),
        (scan(3), [("Describe it.", nearly)]),
        (scan(4), short),
        (scan(5), short),
        (scan(6), [("Describe it.", OTHER + " So it was.")]),
        (scan(7), short),
    ]
    data = write(tmp_path / "in", dialogues, train=5)
    run("filter", data, "--out", tmp_path / "out", "--near-duplicates", 0.6)
    assert kept(tmp_path / "out") == ["1-1", "2-1", "4-1", "5-1"]
    assert kept(tmp_path / "out", "test") == ["7-1"]
    assert [line[1:3] for line in lines(tmp_path / "out")] == [
        ["3-1", "near-duplicate text"],
        ["6-1", "near-duplicate text"],
    ]


def test_a_split_of_which_nothing_is_left_is_an_error(tmp_path):
    pytest.importorskip("datasketch")
    turns = [("Describe it.", LONG)]
    data = write(tmp_path / "in", [(scan(1), turns), (scan(2), turns)], train=1)
    with pytest.raises(DataError, match="split test has no usable row"):
        run("filter", data, "--out", tmp_path / "out", "--near-duplicates", 0.8)
    assert not (tmp_path / "out").exists()


def test_copies_of_earlier_images_go(tmp_path):
    first = scan(1, 128)
    smaller = first.resize((96, 96))
    question = [("What is it?", "A cyst.")]
    images = [first, scan(2, 128), smaller, scan(3, 128), scan(2, 96)]
    data = write(tmp_path / "in", [(image, question) for image in images], train=4)
    assert run("filter", data, "--image-copies", 8) == 0  # only looks
    write_more = [(image, question) for image in [*images, scan(9, 128)]]
    data = write(tmp_path / "more", write_more, train=4)
    run("filter", data, "--out", tmp_path / "out", "--image-copies", 8)
    assert kept(tmp_path / "out") == ["1-1", "2-1", "4-1"]
    assert kept(tmp_path / "out", "test") == ["6-1"]
    assert [line[2:] for line in lines(tmp_path / "out")] == [
        ["copy of an image", "of image 1"],
        ["copy of an image", "of an image of train"],
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no filter is on"),
        (("--near-duplicates", 2), "--near-duplicates must be from 0 to 1"),
        (("--min-side", -1), "--min-side must be at least 0"),
        (("--image-copies", 20), "--image-copies must be from 0 to 15 bits"),
    ],
)
def test_options_that_make_no_sense_are_one_line(tmp_path, words, message):
    data = write(tmp_path / "in", [(None, [("a", "b")])])
    with pytest.raises(ConfigError, match=message) as caught:
        run("filter", data, "--out", tmp_path / "out", *words)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="is the dataset itself"):
        run("filter", data, "--out", data, "--no-blank")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty\.txt: no words"):
        run("filter", data, "--min-medical-words", 1, "--medical-words", tmp_path / "empty.txt")


def test_other_tasks_can_be_filtered_too(tmp_path):
    from fairseq_data import make_dataset

    make_dataset(tmp_path / "squares")
    assert run("filter", tmp_path / "squares", "--no-blank", "--min-medical-words", 1) == 0


def test_instructions_are_decontaminated_by_image_and_text(tmp_path):
    question = [("What is it?", "A cyst.")]
    data = write(tmp_path / "in", [(scan(1, 128), question), (scan(2, 128), question)])
    test = write(tmp_path / "test", [(scan(8), question), (scan(2, 120), question)], train=1)
    report = decontaminate(
        data, against=[test], out=tmp_path / "out", options=DecontaminateOptions()
    )
    assert [one.id for one in report.removed] == ["2-1"]
    assert kept(tmp_path / "out") == ["1-1"]
    assert PreparedDataset(tmp_path / "out").card.answers == []
