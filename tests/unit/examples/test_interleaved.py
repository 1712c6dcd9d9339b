"""Answers that show an image as codes of our own VQ-GAN, from rows to batches."""

import numpy as np
import pytest
from preparing import run
from raw_releases.drawing import encoded
from raw_releases.instructions import write_medmax
from vqgan_samples import small_tokenizer

from biomedgpt.cli.main import main
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.folds import JoinedSplits
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.raw.instruction_rows import INSTRUCTION_FIELDS
from biomedgpt.data.rows import Row
from biomedgpt.errors import CheckpointError, DataError
from biomedgpt.examples.answer_codes import AnswerCodes
from biomedgpt.examples.example_encoder import ExampleEncoder, add_noise, collate
from biomedgpt.examples.segments import (
    ImageCodes,
    answer_segments,
    codes_of,
    decode_parts,
    encode_segments,
    marked_text,
)
from biomedgpt.tasks import get_task
from biomedgpt.vocabulary import CodeSegment, TextSegment, Vocabulary
from biomedgpt.vqgan.generation import Drawing
from biomedgpt.vqgan.pixels import load_pixels

VOCABULARY = Vocabulary.train_sentencepiece(
    [" Here it is: as asked."] * 3, size=270, num_codes=12, num_bins=4
)


def encode(folder, tmp_path, *options):
    small_tokenizer().save(tmp_path / "small")
    tokenizer = ("--tokenizer", str(tmp_path / "small"))
    assert main(["vqgan", "encode", str(folder), *tokenizer, *options]) == 0


@pytest.fixture(scope="module")
def medmax(tmp_path_factory):
    folder = tmp_path_factory.mktemp("medmax")
    run("medmax", write_medmax(folder / "raw"), folder / "out", part="all", valid_fraction=0.0)
    encode(folder / "out", folder)
    return PreparedDataset(folder / "out").split("train")


@pytest.fixture
def drawn(medmax):
    """The number of the row whose answer shows an image."""
    return next(n for n in range(len(medmax)) if medmax.text("image_in", n))


def write_rows(folder, *rows):
    facts = DatasetFacts(
        name="n", task="instruction", source="-", licence="-", fields=INSTRUCTION_FIELDS
    )
    fields = dict.fromkeys(INSTRUCTION_FIELDS, "a") | {"history": ""}
    made = [
        Row(fields | {"id": str(number)} | changes, image)
        for number, (changes, image) in enumerate(rows)
    ]
    write_dataset(folder, facts, {"train": made})
    return PreparedDataset(folder).split("train")


def test_the_image_of_an_answer_becomes_codes_between_its_texts(medmax, drawn):
    codes = AnswerCodes(medmax)
    tokenizer = small_tokenizer()
    assert codes.info == ImageCodes(4, tokenizer.num_codes, tokenizer.fingerprint)
    pixels = load_pixels(medmax, int(medmax.image_index[drawn]), 32)
    assert list(codes.of(drawn)) == tokenizer.encode(pixels[None])[0].tolist()
    assert [list(codes.of(n)) for n in range(len(medmax)) if n != drawn] == [[]] * (len(medmax) - 1)
    segments = answer_segments(medmax.text("answer", drawn), codes.of(drawn))
    assert segments == [
        TextSegment(" Here it is:"),
        CodeSegment(tuple(codes.of(drawn))),
        TextSegment(" as asked."),
    ]


def test_ids_and_back():
    segments = [TextSegment(" Here it is:"), CodeSegment((3, 1, 1, 2)), TextSegment(" as asked.")]
    ids, cut = encode_segments(VOCABULARY, segments, most_text=100)
    assert not cut
    begin = ids.index(VOCABULARY.image_begin)
    assert ids[begin + 5] == VOCABULARY.image_end
    assert VOCABULARY.decode_codes(ids[begin + 1 : begin + 5]) == [3, 1, 1, 2]
    parts = decode_parts(VOCABULARY, [*ids, VOCABULARY.eos])
    assert parts == ["Here it is:", (3, 1, 1, 2), "as asked."]
    assert marked_text(parts) == "Here it is: <image> as asked."
    assert codes_of(parts) == [(3, 1, 1, 2)]


def test_the_marks_are_ids_that_no_text_gives():
    for marks in (VOCABULARY.image_begin, VOCABULARY.image_end):
        assert marks not in VOCABULARY.text_ids
        assert marks not in VOCABULARY.codes
        assert marks not in (VOCABULARY.bos, VOCABULARY.pad, VOCABULARY.eos)
    assert VOCABULARY.image_begin != VOCABULARY.image_end
    odd = VOCABULARY.encode_text(" <mask> <unk> \U0001f9e0 <image>")
    assert set(odd) <= set(VOCABULARY.text_ids)


def test_text_is_cut_and_the_image_stays_whole():
    segments = [TextSegment(" Here it is:"), CodeSegment((3,) * 9), TextSegment(" as asked.")]
    whole, _ = encode_segments(VOCABULARY, segments, most_text=100)
    for most in range(len(whole) - 11):
        ids, cut = encode_segments(VOCABULARY, segments, most_text=most)
        assert cut
        assert len(ids) == most + 11
        assert [n for n in ids if n in VOCABULARY.codes] == VOCABULARY.encode_codes((3,) * 9)


def test_rows_of_both_kinds_in_one_batch(medmax, drawn):
    codes = AnswerCodes(medmax)
    task = get_task("instruction").with_(max_target_tokens=20)
    encoder = ExampleEncoder(VOCABULARY, task, image_size=32)
    samples = []
    for row in range(6):
        example = {name: medmax.text(name, row) for name in medmax.fields}
        measure = encoder.measure(example, codes.of(row))
        sample = encoder(medmax[row], codes=codes.of(row))
        assert measure.target == len(sample["target"])
        assert (sample["image"] is None) == (row == drawn or medmax.image_index[row] < 0)
        samples.append(sample)
    answer = samples[drawn]["target"].tolist()
    assert answer[-1] == VOCABULARY.eos
    assert decode_parts(VOCABULARY, answer) == ["Here it is:", tuple(codes.of(drawn)), "as asked."]
    assert len(answer) > 20  # codes come beside the text
    batch = collate(samples, VOCABULARY.pad)
    assert batch["net_input"]["patch_masks"].tolist() == [s["image"] is not None for s in samples]
    changed = encoder(medmax[drawn], codes=codes.of(drawn))
    tokens = changed["prev_output_tokens"]
    before = tokens.clone()
    add_noise(changed, 1.0, vocabulary=VOCABULARY, rng=np.random.default_rng(1))
    is_text = (before >= 4) & (before < VOCABULARY.mask)
    assert (tokens[~is_text] == before[~is_text]).all()
    assert (tokens[is_text] != before[is_text]).any()


def test_joined_splits_find_the_codes_of_their_rows(medmax, drawn):
    joined = AnswerCodes(JoinedSplits([medmax, medmax], name="train"))
    for row in (drawn, len(medmax) + drawn):
        assert list(joined.of(row)) == list(AnswerCodes(medmax).of(drawn))
    assert list(joined.of(len(medmax) + drawn - 1)) == []


def test_datasets_without_such_answers_need_no_codes(tmp_path):
    split = write_rows(tmp_path / "out", ({"image_in": ""}, encoded(1)))
    codes = AnswerCodes(split)
    assert codes.info is None
    assert list(codes.of(0)) == []


def test_missing_codes_are_one_error_that_says_what_to_do(tmp_path):
    split = write_rows(
        tmp_path / "out", ({"image_in": "answer", "answer": "Here: <image>"}, encoded(1))
    )
    with pytest.raises(DataError, match=f"biomedgpt vqgan encode {tmp_path / 'out'}") as error:
        AnswerCodes(split)
    assert "train.codes.h5" in str(error.value)
    encode(tmp_path / "out", tmp_path, "--whole-size", "0")
    with pytest.raises(DataError, match="without --whole-size 0"):
        AnswerCodes(split)


def test_codes_of_two_tokenizers_are_not_mixed(medmax, tmp_path):
    split = write_rows(
        tmp_path / "out", ({"image_in": "answer", "answer": "Here: <image>"}, encoded(1))
    )
    encode(tmp_path / "out", tmp_path, "--image-size", "16")
    with pytest.raises(DataError, match="another image tokenizer or grid"):
        AnswerCodes(JoinedSplits([medmax, split], name="train"))


def test_an_answer_without_its_image_is_named(tmp_path):
    split = write_rows(
        tmp_path / "out",
        ({"image_in": "answer", "answer": "Here."}, encoded(1)),
        ({"image_in": "answer", "answer": "<image>"}, None),
    )
    encode(tmp_path / "out", tmp_path)
    codes = AnswerCodes(split)
    with pytest.raises(DataError, match="has no <image>; prepare"):
        answer_segments(split.text("answer", 0), codes.of(0))
    with pytest.raises(DataError, match="is to show an image, but has none"):
        codes.of(1)


def test_what_a_checkpoint_says_is_checked():
    found = ImageCodes(2, 12, "ab")
    assert ImageCodes.parse(found.options(), where="c.pt") == found
    assert ImageCodes.of(get_task("instruction").with_(**found.options())) == found
    assert ImageCodes.of(get_task("instruction")) is None
    assert ImageCodes.of(get_task("vqa")) is None
    decoding = Drawing(sampling=True, top_k=3).within(found)
    assert (decoding.config.min_len, decoding.config.max_len, decoding.num_codes) == (4, 4, 12)
    for damaged in (None, {}, {"image_grid": 2}, found.options() | {"image_grid": 0}, [1, 2, 3]):
        with pytest.raises(CheckpointError, match=r"c\.pt: .* damaged"):
            ImageCodes.parse(damaged, where="c.pt")
