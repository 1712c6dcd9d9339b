"""MedMax's images of answers as codes of our own VQ-GAN."""

import pytest
from instruction_releases import write_medmax
from preparing import run
from vqgan_samples import small_tokenizer

from biomedgpt.cli.main import main
from biomedgpt.data.card import DatasetFacts
from biomedgpt.data.instruction_rows import INSTRUCTION_FIELDS
from biomedgpt.data.prepared import PreparedDataset
from biomedgpt.data.rows import Row
from biomedgpt.data.writer import write_dataset
from biomedgpt.errors import DataError
from biomedgpt.instructions.interleaved import answer_segments
from biomedgpt.vocabulary import CodeSegment, TextSegment, Vocabulary
from biomedgpt.vqgan.codes import CodesFile
from biomedgpt.vqgan.pixels import load_pixels


def encode(folder, tmp_path):
    small_tokenizer().save(tmp_path / "small")
    assert main(["vqgan", "encode", str(folder), "--tokenizer", str(tmp_path / "small")]) == 0


def test_the_image_of_an_answer_becomes_codes_between_its_texts(tmp_path):
    run("medmax", write_medmax(tmp_path / "raw"), tmp_path / "out", part="all", valid_fraction=0.0)
    encode(tmp_path / "out", tmp_path)
    split = PreparedDataset(tmp_path / "out").split("train")
    codes = CodesFile(split)
    rows = {split.text("image_in", row): row for row in range(len(split))}
    before, image, after = answer_segments(split, rows["answer"], codes)
    assert (before, after) == (TextSegment(" Here it is:"), TextSegment(" as asked."))
    pixels = load_pixels(split, int(split.image_index[rows["answer"]]), 32)
    assert isinstance(image, CodeSegment)
    assert list(image.codes) == small_tokenizer().encode(pixels[None])[0].tolist()
    assert answer_segments(split, rows[""], codes) == [
        TextSegment(f" {split.text('answer', rows[''])}")
    ]
    vocabulary = Vocabulary.train_sentencepiece(
        [" Here it is: as asked."] * 3, size=270, num_codes=12, num_bins=4
    )
    ids = vocabulary.encode([before, image, after])
    assert [n for n in ids if n in vocabulary.codes] == vocabulary.encode_codes(image.codes)
    assert vocabulary.decode_text(ids).split() == ["Here", "it", "is:", "as", "asked."]


def test_an_answer_without_its_image_is_named(tmp_path):
    facts = DatasetFacts(
        name="n", task="instruction", source="-", licence="-", fields=INSTRUCTION_FIELDS
    )
    fields = dict.fromkeys(INSTRUCTION_FIELDS, "a") | {"image_in": "answer"}
    from raw_releases.drawing import encoded

    rows = [
        Row(fields | {"id": "1", "answer": "Here."}, encoded(1)),
        Row(fields | {"id": "2", "answer": "<image>"}),
    ]
    write_dataset(tmp_path / "out", facts, {"train": rows})
    encode(tmp_path / "out", tmp_path)
    split = PreparedDataset(tmp_path / "out").split("train")
    for row, lacks in enumerate(("<image>", "image")):
        with pytest.raises(DataError, match=f"row {row + 1}: .* has no {lacks};"):
            answer_segments(split, row, CodesFile(split))
