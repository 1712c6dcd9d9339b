"""Training to draw: the stream whose targets are the codes of whole images."""

import pytest
from vqgan_samples import small_tokenizer

from biomedgpt.data.phantom_releases.corpora import write_phantom_corpora
from biomedgpt.data.prepared.codes import CodesFile
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import DataError
from biomedgpt.pretraining.batches import PretrainingExamples
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.vocabulary import Vocabulary
from biomedgpt.vqgan.encode import describe, encode_split


def open_examples(folder, text):
    (folder / "run.toml").write_text(f"image_size = 64\n{text}")
    config = PretrainingConfig.load(folder / "run.toml")
    return PretrainingExamples(config, Vocabulary.load(folder / "vocabulary"), "train")


def encode(folder, *, whole_size):
    tokenizer = small_tokenizer()
    info = describe(tokenizer, image_size=64, whole_size=whole_size)
    for name in ("train", "valid"):
        encode_split(PreparedDataset(folder).split(name), tokenizer, info)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms") / "out"
    write_phantom_corpora(out, train=6, valid=2, size=64, num_codes=32)
    return out


GENERATION = '[streams.image_generation]\ndata = ["captioning"]\n'


def test_captions_in_and_the_codes_of_the_whole_image_out(corpora):
    encode(corpora / "captioning", whole_size=32)
    examples = open_examples(corpora, GENERATION)
    split = PreparedDataset(corpora / "captioning").split("train")
    codes, vocabulary = CodesFile(split), examples.vocabulary
    (stream,) = examples.streams
    assert stream.grid == 4
    for index in range(len(examples)):
        sample = examples[index]
        _, row = examples.identity(index)
        caption = split.text("caption", row)
        source = vocabulary.decode_text(sample["source"].tolist())
        assert source == f" what is the complete image? caption: {caption}"
        wanted = codes.whole(int(split.image_index[row]))
        assert vocabulary.decode_codes(sample["target"].tolist()[:-1]) == wanted
        assert sample["image"] is None
        assert sample["code"]
    batch = examples.collate([examples[0], examples[1]])
    (part,) = batch["parts"]
    assert part["net_input"]["code_masks"].tolist() == [True, True]
    assert part["net_input"]["patch_images"] is None


def test_a_batch_with_masked_images_has_one_part_of_codes(corpora):
    for name in ("captioning", "images"):
        encode(corpora / name, whole_size=32)
    text = GENERATION + '[streams.mim]\ndata = ["images"]\n'
    examples = open_examples(corpora, text)
    assert {stream.grid for stream in examples.streams} == {4}
    batch = examples.collate([examples[index] for index in range(4)])
    (part,) = batch["parts"]
    masks = part["net_input"]["patch_masks"].tolist()
    assert True in masks
    assert False in masks


def test_codes_without_whole_images_are_refused(corpora):
    encode(corpora / "captioning", whole_size=0)
    with pytest.raises(DataError, match="image_generation needs; encode again with --whole-size"):
        open_examples(corpora, GENERATION)
