"""Test images and texts of benchmarks are found in a corpus, and nothing else is."""

import json
import time

import numpy as np
import pytest
from decontaminating import (
    QUESTION,
    clean,
    encoded,
    facts,
    image_corpus,
    phantom,
    text_corpus,
    write_benchmark,
)
from PIL import Image, ImageEnhance

from biomedgpt.cli.main import main
from biomedgpt.data.cleaning.decontaminate import DecontaminateOptions, decontaminate
from biomedgpt.data.cleaning.ngrams import NgramIndex, split_words
from biomedgpt.data.cleaning.perceptual import HashIndex, ImageHash, hash_image
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.errors import ConfigError, DataError

REPORT = (
    "The lungs are clear bilaterally. Specifically, no evidence of focal consolidation, "
    "pneumothorax, or pleural effusion is seen in this patient of ninety-three years."
)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Phantoms with questions; the first test question is a long one."""
    return write_benchmark(tmp_path_factory.mktemp("benchmark") / "bench")


# Images


def changed(image):
    """Copies of an image as they turn up elsewhere."""
    width, height = image.size
    yield "jpeg", encoded(image, "JPEG", quality=60)
    smaller = image.resize((int(width * 0.9), int(height * 0.85)), Image.Resampling.BICUBIC)
    yield "resized", encoded(smaller, "JPEG", quality=75)
    yield "larger", encoded(image.resize((width * 2, height * 2)), "WEBP", quality=80)
    yield "brighter", encoded(ImageEnhance.Brightness(image).enhance(1.1))
    yield "same", encoded(image)


def test_copies_of_test_images_are_found_and_other_phantoms_are_not(benchmark, tmp_path):
    images = {}
    for number in range(12):
        images |= {f"{name}-{number}": data for name, data in changed(phantom("test", number))}
    copies = set(images)
    for number in range(60):
        images[f"other-{number}"] = encoded(phantom("valid", number), "JPEG", quality=80)
    images["train-0"] = encoded(phantom("train", 0))
    report, kept = clean(image_corpus(tmp_path / "corpus", images), benchmark, tmp_path)
    assert set(kept) == set(images) - copies
    assert report.splits["train"] == {
        "rows": len(images),
        "removed": 60,
        "by_image": 60,
        "by_text": 0,
        "by_dataset": {"bench": 60},
    }
    for entry in report.removed:
        assert entry.test_id == f"test-{entry.id.partition('-')[2]}"
        assert (entry.test_split, entry.reason) == ("test", "image")


def test_bands_miss_nothing_within_the_threshold():
    rng = np.random.default_rng(1)
    copy = rng.normal(size=1024).astype(np.float16)
    numbers = [int(value) for value in rng.integers(0, 2**64, 500, dtype=np.uint64)]
    index = HashIndex([ImageHash(bits, copy) for bits in numbers], threshold=8)
    for place, bits in enumerate(numbers):
        flipped = rng.choice(64, 8, replace=False)
        near = bits
        for bit in flipped:
            near ^= 1 << int(bit)
        assert index.nearest(ImageHash(near, copy)) == (place, 8)
        other = copy + rng.normal(0, 0.2, 1024).astype(np.float16)
        assert index.nearest(ImageHash(near, other)) is None
    assert HashIndex([], threshold=3).nearest(ImageHash(5, copy)) is None


def test_looking_up_does_not_compare_all_pairs():
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**64, 100_000, dtype=np.uint64)
    copy = np.zeros(1024, np.float16)
    index = HashIndex([ImageHash(int(one), copy) for one in bits], threshold=4)
    began = time.perf_counter()
    for one in bits[:200]:
        found = index.nearest(ImageHash(int(one), copy))
        assert found is not None
        assert found[1] == 0
    assert (time.perf_counter() - began) / 200 < 0.01


def test_plain_images_have_a_hash():
    for mode, colour in (("L", 0), ("RGB", (9, 9, 9)), ("RGBA", (0, 0, 0, 0))):
        assert hash_image(Image.new(mode, (5, 900), colour)).copy.max() == 0


# Texts


def test_a_quoted_test_question_inside_a_long_text_is_found(benchmark, tmp_path):
    filler = "Chest radiographs were read by two observers who did not know the diagnosis. " * 30
    texts = [
        f"{filler} They were asked: «is the small, round opacity in the LEFT upper lobe of the "
        f"lung a calcified granuloma» and answered. {filler}",
        f"{filler} Is there a lesion? {filler}",
        f"{filler} Is the small round opacity in the right lower lobe a granuloma? {filler}",
    ]
    report, kept = clean(text_corpus(tmp_path / "corpus", texts), benchmark, tmp_path)
    assert kept == ["1", "2"]
    (entry,) = report.removed
    assert (entry.id, entry.reason, entry.test_id) == ("0", "text", "test-0")
    assert entry.detail.startswith("is the small round opacity in the left upper lobe")


def test_shares_follow_the_rule_of_palm():
    words = split_words(REPORT)
    index = NgramIndex([QUESTION, REPORT], n=8, share=0.7)
    most = " ".join(words[: len(words) - 5])
    found = index.find(f"before {most} after")
    assert found is not None
    assert (found.text, round(found.share, 2)) == (1, 0.71)
    assert index.find(" ".join(words[: len(words) - 7])) is None
    assert NgramIndex([REPORT], n=8, share=0.0).find(" ".join(words[3:11])) is not None
    assert NgramIndex([REPORT], n=8, share=0.0).find(" ".join(words[3:10])) is None


def test_texts_shorter_than_a_run_are_looked_for_as_a_whole():
    index = NgramIndex(["one two three four five six seven eight nine", "too short"], n=13, share=0)
    assert index.size == 1
    assert index.find("zero one two three four five six seven eight nine ten") is not None
    assert index.find("one two three four five six seven eight") is None
    assert index.find("too short") is None
    assert index.find("") is None


def test_questions_of_vqa_rows_are_judged_by_their_image(benchmark, tmp_path):
    fields = ("question", "answer", "answer_type", "question_type", "object", "references")

    def row(name, image):
        values = dict.fromkeys((*fields, "image_name"), "")
        return Row(values | {"id": name, "question": QUESTION, "answer": "no"}, image, name)

    rows = [
        row("copy", encoded(phantom("test", 3), "JPEG")),
        row("other", encoded(phantom("valid", 3))),
    ]
    write_dataset(
        tmp_path / "corpus", facts("corpus", "vqa", *fields, "image_name"), {"train": rows}
    )
    report, kept = clean(tmp_path / "corpus", benchmark, tmp_path)
    assert kept == ["other"]
    assert report.splits["train"]["by_image"] == 1


def test_captions_are_compared_with_test_texts(tmp_path):
    fields = ("caption", "references", "image_name")

    def write(name, split, captions, first):
        rows = [
            Row(
                {"id": f"{name}{n}", "caption": text, "references": "", "image_name": "x"},
                encoded(phantom("valid", first + n)),
                text,
            )
            for n, text in enumerate(captions)
        ]
        write_dataset(tmp_path / name, facts(name, "captioning", *fields), {split: rows})
        return tmp_path / name

    bench = write("bench", "test", [REPORT, "A normal chest."], 0)
    corpus = write("corpus", "train", ["Seen: " + REPORT, "A normal chest.", "Something."], 20)
    report, kept = clean(corpus, bench, tmp_path)
    assert kept == ["corpus1", "corpus2"]
    report, kept = clean(corpus, bench, tmp_path, texts=False, overwrite=True)
    assert len(kept) == 3
    assert report.against[0]["texts"] == 0


# The command


def test_the_command_reports_and_writes(benchmark, tmp_path, capsys):
    images = {"a": encoded(phantom("test", 1), "JPEG"), "b": encoded(phantom("valid", 2))}
    folder = image_corpus(tmp_path / "corpus", images)
    out, file = tmp_path / "clean", tmp_path / "report.json"
    words = ["data", "decontaminate", str(folder), "--against", str(benchmark)]
    assert main([*words, "--report", str(file)]) == 0
    said = capsys.readouterr().out
    assert "train a: image of bench test test-1" in said
    assert "only looked" in said
    assert not out.exists()
    assert main([*words, "--out", str(out), "--report", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["against"][0]["splits"] == ["test"]
    assert report["against"][0]["images"] == 12
    assert report["splits"]["train"]["removed"] == 1
    card = PreparedDataset(out).card
    assert card.counts == {"train": 1}
    assert card.preparation["decontamination"]["of"] == PreparedDataset(folder).hash
    assert main([*words, "--out", str(out)]) == 1
    assert "add --overwrite" in capsys.readouterr().err


def test_a_vocabulary_is_taken_along(benchmark, tmp_path):
    folder = image_corpus(tmp_path / "corpus", {"a": encoded(phantom("valid", 2))})
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "config.json").write_text("{}")
    decontaminate(folder, against=[benchmark], out=tmp_path / "out", options=DecontaminateOptions())
    assert (tmp_path / "out" / "vocabulary" / "config.json").is_file()


def test_mistakes_end_in_one_error_and_nothing_is_written(benchmark, tmp_path):
    def run(folder, options=None, out=None):
        decontaminate(
            folder,
            against=[benchmark],
            out=out or tmp_path / "out",
            options=options or DecontaminateOptions(),
        )

    corpus = image_corpus(tmp_path / "corpus", {"a": encoded(phantom("test", 2), "JPEG")})
    with pytest.raises(DataError, match="split train has no usable row"):
        run(corpus)
    with pytest.raises(DataError, match="not a prepared dataset"):
        run(tmp_path / "none")
    with pytest.raises(DataError, match=r"has no split exam, only train, test; .* --splits"):
        run(corpus, DecontaminateOptions(splits=("exam",)))
    with pytest.raises(ConfigError, match="is the dataset itself"):
        run(corpus, out=corpus)
    for wrong in (
        {"threshold": 16},
        {"ngram": 7},
        {"share": 1.5},
        {"workers": 0},
        {"images": False, "texts": False},
    ):
        with pytest.raises(ConfigError):
            run(corpus, DecontaminateOptions(**wrong))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]


def test_every_fold_of_a_cross_validation_is_kept_out(tmp_path):
    bench = tmp_path / "bench"
    parts = {
        f"fold{n}": [Row({"id": f"f{n}", "text": f"{n} {REPORT} {n}"}, None, "")] for n in range(3)
    }
    write_dataset(bench, facts("bench", "text", "text"), parts)
    corpus = text_corpus(tmp_path / "corpus", ["Another text.", f"x {REPORT}"])
    report, kept = clean(corpus, bench, tmp_path)
    assert kept == ["0"]
    assert report.against[0]["splits"] == ["fold0", "fold1", "fold2"]
