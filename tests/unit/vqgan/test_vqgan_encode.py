"""Encoding datasets, decoding codes, training a small tokenizer; the commands around them."""

import json

import numpy as np
import pytest
import torch
from data_samples import files_of
from PIL import Image
from vqgan_samples import SMALL, small_tokenizer, write_images

from biomedgpt.cli.main import main
from biomedgpt.data.prepared.codes import CodesFile, codes_path
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import CheckpointError, ConfigError, DataError
from biomedgpt.files import sole
from biomedgpt.vqgan import encode as encode_module
from biomedgpt.vqgan import network as network_module
from biomedgpt.vqgan import train as train_module
from biomedgpt.vqgan.decode import decode_file
from biomedgpt.vqgan.encode import describe, encode_split
from biomedgpt.vqgan.pixels import centre, load_pixels, psnr, to_image
from biomedgpt.vqgan.tokenizer import ImageTokenizer
from biomedgpt.vqgan.train import TrainOptions, train


@pytest.fixture
def data(tmp_path):
    return write_images(tmp_path / "data")


@pytest.fixture
def split(data):
    return data.split("train")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# Encoding


def test_codes_are_those_of_the_middle_and_of_the_whole(split):
    tokenizer = small_tokenizer()
    info = describe(tokenizer, image_size=48, whole_size=24)
    assert (info.middle_grid, info.whole_grid) == (3, 3)
    assert encode_split(split, tokenizer, info, batch_size=3) == codes_path(split)
    codes = CodesFile(split)
    assert codes.info == info
    assert len(codes) == split.num_images == 7
    for number in range(7):
        pixels = load_pixels(split, number, 48)
        assert centre(pixels).shape == (3, 24, 24)
        assert codes.middle(number) == tokenizer.encode(pixels[None, :, 12:36, 12:36])[0].tolist()
        small = load_pixels(split, number, 24)
        assert codes.whole(number) == tokenizer.encode(small[None])[0].tolist()
    assert not any(name.startswith(".") for name in files_of(split.folder))


def test_codes_that_are_up_to_date_are_left_alone(split):
    tokenizer = small_tokenizer()
    info = describe(tokenizer)
    encode_split(split, tokenizer, info)
    before = codes_path(split).stat().st_mtime_ns
    assert encode_split(split, tokenizer, info) is None
    assert codes_path(split).stat().st_mtime_ns == before
    other = small_tokenizer(seed=1)
    assert encode_split(split, other, describe(other)) is not None  # another tokenizer: anew
    assert CodesFile(split).info.tokenizer == other.fingerprint
    codes_path(split).write_bytes(b"damaged")
    assert encode_split(split, other, describe(other)) is not None


@pytest.mark.parametrize("whole_size", [None, 0])
def test_an_interrupted_encode_goes_on(split, monkeypatch, whole_size):
    tokenizer = small_tokenizer()
    info = describe(tokenizer, whole_size=whole_size)
    encode_split(split, tokenizer, info, batch_size=2)
    expected = codes_path(split).read_bytes()
    codes_path(split).unlink()
    calls = []
    encode = ImageTokenizer.encode

    def stop(self, pixels):
        calls.append(len(pixels))
        if len(calls) == (4 if whole_size is None else 3):  # the whole of the second batch
            raise KeyboardInterrupt
        return encode(self, pixels)

    monkeypatch.setattr(ImageTokenizer, "encode", stop)
    with pytest.raises(KeyboardInterrupt):
        encode_split(split, tokenizer, info, batch_size=2)
    assert not codes_path(split).exists()
    done = sum(calls)
    calls.clear()
    monkeypatch.setattr(ImageTokenizer, "encode", encode)
    read = []
    load = encode_module.load_pixels
    monkeypatch.setattr(
        encode_module, "load_pixels", lambda s, n, size: read.append(n) or load(s, n, size)
    )
    encode_split(split, tokenizer, info, batch_size=2)
    assert min(read) == (2 if whole_size is None else 4)
    assert done < 2 * split.num_images
    assert codes_path(split).read_bytes() == expected


def test_what_was_begun_with_other_options_is_not_mixed_in(split, monkeypatch):
    tokenizer, other = small_tokenizer(), small_tokenizer(seed=1)
    monkeypatch.setattr(encode_module, "write_codes", lambda *_: pytest.fail("interrupted here"))
    with pytest.raises(pytest.fail.Exception):
        encode_split(split, other, describe(other))
    assert list(split.folder.glob(".train.codes.partial/whole"))
    monkeypatch.undo()
    encode_split(split, tokenizer, describe(tokenizer))
    pixels = load_pixels(split, 0, 32)[None]
    assert CodesFile(split).whole(0) == tokenizer.encode(pixels)[0].tolist()


def test_two_processes_do_not_encode_the_same_split(split):
    tokenizer = small_tokenizer()
    info = describe(tokenizer)
    with sole(codes_path(split)), pytest.raises(ConfigError, match=r"codes\.h5 is in use by"):
        encode_split(split, tokenizer, info)
    encode_split(split, tokenizer, info)


def test_what_was_kept_to_go_on_from_does_not_outlive_the_end(split, tmp_path):
    """Killed when codes or tokenizer are whole, and the rest is to be removed."""
    tokenizer, partial = small_tokenizer(), split.folder / ".train.codes.partial"
    encode_split(split, tokenizer, describe(tokenizer))
    partial.mkdir()
    assert encode_split(split, tokenizer, describe(tokenizer)) is None
    assert not partial.exists()
    tokenizer.save(tmp_path / "trained")
    (tmp_path / "trained" / train_module.STATE).write_bytes(b"state")
    with pytest.raises(ConfigError, match="holds a tokenizer"):
        train(split.folder, tmp_path / "trained", TrainOptions(updates=1))
    assert files_of(tmp_path / "trained") == {"vqgan.json", "model.safetensors"}


def test_a_damaged_image_is_named_and_what_is_done_is_kept(split, monkeypatch):
    tokenizer = small_tokenizer()
    good = type(split).image
    monkeypatch.setattr(
        type(split), "image", lambda self, n: good(self, n)[: 50 if n == 4 else None]
    )
    with pytest.raises(DataError, match=r"train\.h5: image 5: damaged image"):
        encode_split(split, tokenizer, describe(tokenizer), batch_size=1)
    monkeypatch.undo()
    encode_split(split, tokenizer, describe(tokenizer), batch_size=1)
    assert len(CodesFile(split)) == 7


def test_sizes_that_do_not_fit_are_refused():
    tokenizer = small_tokenizer()
    for options, message in (
        ({"image_size": 50}, "multiple of 4"),
        ({"image_size": 40}, "20 pixels is no multiple of the 8"),
        ({"whole_size": 30}, "30 pixels is no multiple"),
        ({"image_size": 0}, "0 pixels"),
    ):
        with pytest.raises(ConfigError, match=message):
            describe(tokenizer, **options)


def test_a_split_without_images(tmp_path, capsys, data):
    from dataclasses import replace

    from data_samples import FACTS, vqa_row

    from biomedgpt.data.prepared.writer import write_dataset

    write_dataset(tmp_path / "text", FACTS, {"train": [replace(vqa_row(0), image=None)]})
    small_tokenizer().save(tmp_path / "small")
    assert (
        main(["vqgan", "encode", str(tmp_path / "text"), "--tokenizer", f"{tmp_path}/small"]) == 0
    )
    assert "no images" in capsys.readouterr().out


# Decoding


def test_encode_then_decode_through_the_command(tmp_path, data, capsys):
    small_tokenizer().save(tmp_path / "small")
    tokenizer = ["--tokenizer", str(tmp_path / "small")]
    assert main(["vqgan", "encode", str(data.folder), *tokenizer]) == 0
    out = capsys.readouterr().out
    assert "test.codes.h5: written, 4 images, 2x2 codes of the middle, 4x4 of the whole" in out
    assert main(["vqgan", "encode", str(data.folder), *tokenizer, "--split", "test"]) == 0
    assert "up to date" in capsys.readouterr().out
    file = str(data.folder / "test.codes.h5")
    assert main(["vqgan", "decode", file, *tokenizer, "--out", str(tmp_path / "png")]) == 0
    assert files(tmp_path / "png") == [f"test-{n:06d}-whole.png" for n in range(4)]
    split = data.split("test")
    loaded = ImageTokenizer.load(tmp_path / "small")
    pixels = loaded.decode(loaded.encode(load_pixels(split, 2, 32)[None]), (4, 4))
    written = Image.open(tmp_path / "png/test-000002-whole.png")
    assert np.array_equal(np.asarray(written), np.asarray(to_image(pixels[0])))
    middle = ["--part", "middle", "--limit", "2", "--out", str(tmp_path / "middle")]
    assert main(["vqgan", "decode", file, *tokenizer, *middle]) == 0
    assert files(tmp_path / "middle") == [f"test-{n:06d}-middle.png" for n in range(2)]
    assert Image.open(tmp_path / "middle/test-000001-middle.png").size == (16, 16)


def test_codes_of_another_tokenizer_are_refused(tmp_path, split):
    tokenizer = small_tokenizer()
    encode_split(split, tokenizer, describe(tokenizer))
    with pytest.raises(DataError, match="codes of another image tokenizer"):
        decode_file(codes_path(split), small_tokenizer(seed=1), tmp_path / "png")


def test_lines_of_codes_are_decoded(tmp_path):
    path = tmp_path / "codes.jsonl"
    lines = [{"id": "a", "codes": [1] * 4}, {"codes": [2, 3], "grid": [1, 2]}, {"codes": [5]}]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert decode_file(path, small_tokenizer(), tmp_path / "png") == 3
    assert files(tmp_path / "png") == ["a.png", "image-000002.png", "image-000003.png"]
    assert Image.open(tmp_path / "png/image-000002.png").size == (16, 8)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"codes": [1, 2, 3, 99]}',
            r"line 2: code 99 is out of range 0\.\.11; give",
        ),
        ('{"codes": [1, 2, 3, -1]}', "line 2: code -1 is out of range"),
        ('{"codes": [1, 2, 3]}', "line 2: 3 codes do not make a grid"),
        ('{"codes": [1, 2], "grid": [2, 2]}', "2 codes do not make a grid"),
        ('{"codes": []}', "0 codes"),
        ('{"codes": [1.5]}', "give whole numbers"),
        ('{"codes": [true]}', "give whole numbers"),
        ('{"codes": "1 2"}', "whole numbers"),
        ('{"id": "../a", "codes": [1]}', "cannot name a file"),
        ('{"id": "a", "codes": [1]}', "line 2: id a was there before"),
        ('{"x": 1}', "not like"),
        ("[1, 2]", "not like"),
        ("{", "not like"),
    ],
)
def test_a_bad_line_is_one_error(tmp_path, line, message):
    path = tmp_path / "codes.jsonl"
    path.write_text('{"id": "a", "codes": [1]}\n' + line)
    with pytest.raises(DataError, match=message) as info:
        decode_file(path, small_tokenizer(), tmp_path / "png")
    assert "\n" not in str(info.value)
    assert not (tmp_path / "a.png").exists()


def test_files_that_are_no_codes(tmp_path):
    (tmp_path / "codes.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file of JSON lines"):
        decode_file(tmp_path / "codes.bin", small_tokenizer(), tmp_path / "png")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        decode_file(tmp_path / "none.jsonl", small_tokenizer(), tmp_path / "png")


# Training


@pytest.fixture
def tiny(monkeypatch):
    """A size that trains in seconds, saved every three updates."""
    monkeypatch.setitem(network_module.SIZES, "tiny", SMALL)
    monkeypatch.setattr(train_module, "_EVERY", 3)
    return TrainOptions(size="tiny", updates=8, batch_size=4)


def test_training_goes_on_after_an_interrupt_as_if_nothing_happened(
    tmp_path, data, tiny, monkeypatch
):
    quality = train(data.folder, tmp_path / "one", tiny)
    assert quality.images == 7  # the dataset has no validation split
    step = train_module._Run._step

    def stop(self):
        if self.update == 5:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(train_module._Run, "_step", stop)
    with pytest.raises(KeyboardInterrupt, match="goes on from update 3"):
        train(data.folder, tmp_path / "two", tiny)
    assert files(tmp_path / "two") == ["training.pt"]
    monkeypatch.setattr(train_module._Run, "_step", step)
    assert train(data.folder, tmp_path / "two", tiny) == quality
    assert files(tmp_path / "two") == ["model.safetensors", "vqgan.json"]
    one, two = (ImageTokenizer.load(tmp_path / name) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    described = json.loads((tmp_path / "two/vqgan.json").read_text())
    assert described["train_psnr"] == quality.psnr
    with pytest.raises(ConfigError, match="holds a tokenizer; delete it"):
        train(data.folder, tmp_path / "two", tiny)


def test_the_state_of_another_training_is_refused(tmp_path, data, tiny, monkeypatch):
    monkeypatch.setattr(train_module, "measure", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # stopped before its end
        train(data.folder, tmp_path / "out", tiny)
    with pytest.raises(ConfigError, match="other options or data"):
        train(data.folder, tmp_path / "out", TrainOptions(size="tiny", updates=8, batch_size=3))
    (tmp_path / "out/training.pt").write_bytes(b"PK junk")
    with pytest.raises(CheckpointError, match="delete it to train from the beginning"):
        train(data.folder, tmp_path / "out", tiny)


def test_training_uses_its_codes_and_improves(tmp_path, data):
    """Some seconds of training beat an untrained tokenizer by far."""
    options = TrainOptions(size="small", updates=40, batch_size=4)
    trained = train(data.folder, tmp_path / "out", options)
    random = small_tokenizer(config=network_module.SIZES["small"])
    untrained = train_module.measure(random, PreparedDataset(data.folder).split("train"))
    assert trained.psnr > untrained.psnr + 5
    assert trained.codes_used > 40


def test_a_loss_that_is_no_number_stops(tmp_path, data, tiny, monkeypatch):
    monkeypatch.setattr(train_module.F, "l1_loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(DataError, match="loss is nan at update 1; train again with a lower"):
        train(data.folder, tmp_path / "out", tiny)


def test_options_that_make_no_sense(tmp_path, data):
    for wrong in ({"size": "huge"}, {"updates": 0}, {"batch_size": 0}, {"learning_rate": 2.0}):
        with pytest.raises(ConfigError):
            TrainOptions(**wrong)


def test_psnr():
    zeros, halves = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.2)
    assert psnr(zeros, halves).tolist() == pytest.approx([20.0, 20.0])
    assert psnr(zeros, zeros).tolist() == pytest.approx([100.0, 100.0])


# Report and options


def test_the_report_shows_originals_beside_what_comes_back(tmp_path, data, capsys):
    small_tokenizer().save(tmp_path / "small")
    command = ["vqgan", "report", str(data.folder), "--tokenizer", str(tmp_path / "small")]
    assert main([*command, "--out", str(tmp_path / "r.html")]) == 0
    assert "PSNR on 4 images: " in capsys.readouterr().out
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 8
    assert "http" not in page.split("</style>")[1]
    assert "Hidden middle" not in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["report", "DATA", "--out", "r.html", "--checkpoint", "x"], "belong together"),
        (["report", "DATA", "--out", "r.html", "--split", "dev"], "has no split 'dev'"),
        (["encode", "DATA", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["encode", "DATA", "--device", "cuda:99"], "device cuda:99 cannot be used"),
        (["encode", "DATA", "--image-size", "50"], "multiple of 4"),
        (["encode", "DATA", "--split", "dev"], "has no split 'dev'"),
        (["decode", "none.jsonl", "--out", "x"], "cannot be read"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, data, capsys, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_tokenizer().save(tmp_path / "small")
    words = [str(data.folder) if word == "DATA" else word for word in options]
    assert main(["vqgan", *words, "--tokenizer", "small"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
