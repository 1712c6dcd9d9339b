"""Images from the model's decoder: codes only, exactly as many, at their 2-D positions."""

import argparse
import math
import os

import numpy as np
import pytest
import torch
from PIL import Image
from vqgan_samples import SMALL, small_tokenizer, write_images

from biomedgpt.checkpoints.runs import load_run
from biomedgpt.cli.main import main
from biomedgpt.errors import (
    BiomedGPTError,
    CheckpointError,
    ConfigError,
    DataError,
    VocabularyError,
)
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.tasks.pretraining_instructions import IMAGE_GENERATION, INFILLING
from biomedgpt.vocabulary import Vocabulary
from biomedgpt.vqgan.generation import (
    Drawing,
    code_image_size,
    generate_codes,
    generate_image,
    hide_middle,
    infill,
)
from biomedgpt.vqgan.pixels import centre

GRID = 3
SIZE = 2 * GRID * SMALL.downsampling  # an image whose middle has GRID x GRID codes


@pytest.fixture(scope="module")
def vocabulary():
    texts = [f" {INFILLING.before}", f" {IMAGE_GENERATION.around('a b c')}"]
    return Vocabulary.train_sentencepiece(texts, size=300, num_codes=16, num_bins=10)


@pytest.fixture(scope="module")
def model(vocabulary):
    torch.manual_seed(0)
    config = preset("nano", vocab_size=len(vocabulary), code_image_size=code_image_size(GRID))
    return BiomedGPT(config).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


def noise_image(seed=0, size=(40, 50)):
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_greedy_codes_are_the_most_probable_ones_of_teacher_forcing(model, vocabulary, tokenizer):
    """Incremental decoding with 2-D positions agrees with the training-time forward pass."""
    pixels = hide_middle(torch.rand(3, SIZE, SIZE) * 2 - 1)
    codes = generate_codes(
        model,
        vocabulary,
        INFILLING.before,
        num_codes=tokenizer.num_codes,
        drawing=Drawing(),
        image=pixels,
    )
    assert codes.shape == (1, GRID**2)
    ids = vocabulary.encode_codes(codes[0].tolist())
    source = [0, *vocabulary.encode_text(f" {INFILLING.before}"), 2]
    arguments = (
        torch.tensor([source]),
        torch.tensor([[0, *ids]]),
        pixels[None],
        torch.tensor([True]),
    )
    first, end = vocabulary.codes.start, vocabulary.codes.start + tokenizer.num_codes
    with torch.no_grad():
        right = model(*arguments, code_masks=torch.tensor([True]))[0, :-1, first:end]
        text = model(*arguments)[0, :-1, first:end]
    assert (right.argmax(-1) == codes[0]).all()
    assert not torch.allclose(right, text)  # as text it would have other positions


@pytest.mark.parametrize(
    "drawing",
    [
        Drawing(),
        Drawing(samples=3),
        Drawing(samples=3, sampling=True, top_k=5),
        Drawing(samples=3, sampling=True, top_p=0.9, temperature=1.5, seed=3),
    ],
)
def test_exactly_as_many_codes_and_nothing_else(model, vocabulary, drawing):
    codes = generate_codes(model, vocabulary, "anything", num_codes=12, drawing=drawing)
    assert codes.shape == (drawing.samples, GRID**2)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 12  # the vocabulary has 16


def test_a_square_may_have_as_many_codes_as_there_are_text_positions(vocabulary):
    """As an image of 256 pixels: 1,024 codes after <s>, in a model of 1,024 positions."""
    config = preset("nano", vocab_size=len(vocabulary), code_image_size=32, max_positions=16)
    model = BiomedGPT(config).eval()
    codes = generate_codes(model, vocabulary, "a", num_codes=12, drawing=Drawing())
    assert codes.shape == (1, 16)
    source = model.encoder(torch.tensor([[0, 2]]))
    with pytest.raises(DataError, match="longer than the model's 16 positions"):
        model.decoder(torch.zeros(1, 17, dtype=torch.long), source)


def test_sampling_follows_the_seed(model, vocabulary, tokenizer):
    def draw(seed):
        drawing = Drawing(sampling=True, seed=seed, samples=2)
        return generate_image(model, vocabulary, tokenizer, "a b", drawing=drawing)

    side = GRID * SMALL.downsampling
    assert draw(1).shape == (2, 3, side, side)
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_a_model_that_knows_the_codes_fills_in_what_was_there(vocabulary, tokenizer):
    """Trained on two images only, the model gives back their middles as the tokenizer has them."""
    torch.manual_seed(1)
    config = preset("nano", vocab_size=len(vocabulary), code_image_size=code_image_size(GRID))
    model = BiomedGPT(config.replace(resnet_blocks=(1, 1, 1), resnet_width=16))
    images = [Image.new("RGB", (SIZE, SIZE), "black"), Image.new("RGB", (SIZE, SIZE), "white")]
    for number, image in enumerate(images):
        image.paste(noise_image(number, (SIZE // 2, SIZE // 2)), (SIZE // 4, SIZE // 4))
    pixels = torch.stack(
        [torch.from_numpy(np.asarray(i, np.float32)).permute(2, 0, 1) / 127.5 - 1 for i in images]
    )
    wanted = tokenizer.encode(centre(pixels))
    assert not torch.equal(wanted[0], wanted[1])
    source = [0, *vocabulary.encode_text(f" {INFILLING.before}"), 2]
    target = torch.cat([wanted + vocabulary.codes.start, torch.full((2, 1), 2)], dim=1)
    previous = torch.cat([torch.zeros(2, 1, dtype=torch.long), target[:, :-1]], dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # two images are no statistics
    for _ in range(100):
        logits = model(
            torch.tensor([source] * 2),
            previous,
            hide_middle(pixels),
            torch.tensor([True, True]),
            code_masks=torch.tensor([True, True]),
        )
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if torch.equal(logits.argmax(-1), target):
            break
    model.eval()
    for image, codes, original in zip(images, wanted, pixels, strict=True):
        result = infill(model, vocabulary, tokenizer, image, image_size=SIZE)
        assert torch.equal(result.codes[0], codes)
        assert torch.equal(result.original, original)
        middle = tokenizer.decode(codes[None], (GRID, GRID))[0]
        assert torch.equal(centre(result.filled[0]), middle)
        around = torch.ones(SIZE, SIZE, dtype=torch.bool)
        centre(around).zero_()
        assert torch.equal(result.filled[0][:, around], original[:, around])


def test_infill_leaves_the_border_and_hides_the_middle(model, vocabulary, tokenizer):
    result = infill(model, vocabulary, tokenizer, noise_image(), image_size=SIZE)
    assert bool((centre(result.masked) == 0).all())
    assert torch.equal(hide_middle(result.filled[0]), result.masked)
    assert torch.equal(hide_middle(result.original), result.masked)
    again = infill(model, vocabulary, tokenizer, noise_image(), image_size=SIZE)
    assert torch.equal(again.codes, result.codes)


def test_a_model_with_a_finer_input_than_its_codes(model, vocabulary, tokenizer):
    result = infill(model, vocabulary, tokenizer, noise_image(), image_size=2 * SIZE)
    assert result.filled.shape == (1, 3, 2 * SIZE, 2 * SIZE)
    assert result.codes.shape == (1, GRID**2)


def test_parts_that_do_not_fit_are_refused(model, vocabulary, tokenizer):
    other = Vocabulary.train_sentencepiece([" a"], size=270, num_codes=16, num_bins=9)
    with pytest.raises(ConfigError, match="give the vocabulary that the model was trained with"):
        generate_image(model, other, tokenizer, "a")
    with pytest.raises(VocabularyError, match="tokenizer: 17 image codes, the vocabulary has 16"):
        generate_codes(model, vocabulary, "a", num_codes=17, drawing=Drawing())
    with pytest.raises(DataError, match="give a shorter one"):
        generate_image(model, vocabulary, tokenizer, "a b " * 1000)
    with pytest.raises(ConfigError, match="top_p lie in"):
        generate_image(model, vocabulary, tokenizer, "a", drawing=Drawing(sampling=True, top_p=2))


# Checkpoints of runs


def run_state(model, **options):
    """What fairseq-train writes, as far as it matters here."""
    return {
        "args": None,
        "cfg": {"model": {"_name": "biomedgpt_nano", "size": "nano", "dropout": 0.1, **options}},
        "model": model.state_dict(),
        "extra_state": {"val_loss": np.float64(0.5), "train_iterator": {"epoch": 1}},
        "optimizer_history": [],
    }


def test_a_run_is_loaded_without_fairseq(tmp_path, model):
    state = run_state(model, code_image_size=64, encoder_drop_path_rate=0.1, freeze_resnet=False)
    torch.save(state, tmp_path / "run.pt")
    loaded = load_run(tmp_path / "run.pt")
    assert not loaded.training
    assert loaded.config.code_image_size == 64
    assert loaded.config.dropout == loaded.config.encoder_drop_path == 0
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    changed = load_run(tmp_path / "run.pt", code_image_size=code_image_size(GRID))
    assert changed.config.code_image_size == code_image_size(GRID)


def test_the_moving_average_is_preferred(tmp_path, model):
    state = run_state(model)
    average = {key: value.clone() for key, value in model.state_dict().items()}
    average["encoder.layer_norm.weight"].fill_(3.0)
    state["extra_state"]["ema"] = average
    torch.save(state, tmp_path / "run.pt")
    assert bool((load_run(tmp_path / "run.pt").encoder.layer_norm.weight == 3).all())
    plain = load_run(tmp_path / "run.pt", ema=False).encoder.layer_norm.weight
    assert torch.equal(plain, model.encoder.layer_norm.weight)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("executed",)


class Unknown:
    pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(cfg=Hostile()), "refused, it asks for .*nothing was executed"),
        (lambda s: s.update(args=Unknown()), "refused, it asks for .*Unknown"),
        (lambda s: s.update(args=argparse.Namespace(arch="ofa_base"), cfg=None), "no options of"),
        (lambda s: s.update(cfg=None), "no options of a biomedgpt model"),
        (lambda s: s.pop("extra_state"), "no options of a biomedgpt model"),
        (lambda s: s["cfg"]["model"].update(size="other"), "options of another program"),
        (lambda s: s["cfg"]["model"].update(size="tiny"), "does not fit the model"),
        (lambda s: s["model"].pop("encoder.layer_norm.weight"), "missing"),
    ],
)
def test_other_checkpoints_are_one_error(tmp_path, model, change, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = run_state(model)
    state["model"] = dict(state["model"])
    change(state)
    torch.save(state, tmp_path / "run.pt")
    with pytest.raises(CheckpointError, match=message) as info:
        load_run(tmp_path / "run.pt")
    assert "\n" not in str(info.value)
    assert not (tmp_path / "executed").exists()


def test_files_that_are_no_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_run(tmp_path / "none.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="no names in it"):
        load_run(tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(BiomedGPTError, match=r"text\.pt: "):
        load_run(tmp_path / "text.pt")


# Commands


@pytest.fixture
def parts(tmp_path, model, vocabulary):
    """Options that name a checkpoint, a vocabulary and a tokenizer whose middle fits the model."""
    config = type(SMALL)(
        image_size=SIZE, num_codes=12, embed_dim=SMALL.embed_dim, widths=SMALL.widths
    )
    small_tokenizer(config=config).save(tmp_path / "small")
    vocabulary.save(tmp_path / "vocabulary")
    torch.save(run_state(model, code_image_size=code_image_size(GRID)), tmp_path / "run.pt")
    options = {"checkpoint": "run.pt", "vocabulary": "vocabulary", "tokenizer": "small"}
    return [word for key, value in options.items() for word in (f"--{key}", f"{tmp_path / value}")]


def test_infill_writes_the_image_and_the_comparison(tmp_path, parts, capsys):
    noise_image().save(tmp_path / "in.png")
    command = ["vqgan", "infill", *parts, "--image", str(tmp_path / "in.png")]
    command += ["--out", str(tmp_path / "out.png"), "--compare", str(tmp_path / "both.png")]
    assert main(command) == 0
    assert Image.open(tmp_path / "out.png").size == (SIZE, SIZE)
    assert Image.open(tmp_path / "both.png").size == (3 * SIZE, SIZE)
    assert "out.png" in capsys.readouterr().out


def test_generate_writes_as_many_images_as_asked_for(tmp_path, parts):
    command = ["vqgan", "generate", *parts, "--text", "a b", "--out", str(tmp_path / "out.png")]
    assert main([*command, "--samples", "2", "--seed", "4"]) == 0
    side = GRID * SMALL.downsampling
    sizes = {path.name: Image.open(path).size for path in tmp_path.glob("out*.png")}
    assert sizes == {"out.png": (side, side), "out-2.png": (side, side)}
    assert main([*command, "--greedy", "--image-size", "16"]) == 0
    assert Image.open(tmp_path / "out.png").size == (16, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--greedy", "--top-p", "0.5"], "--greedy gives one image"),
        (["--top-k", "-1"], "top_k must not be negative"),
        (["--temperature", "0"], "temperature must be greater than 0"),
        (["--samples", "0"], "beam must be at least 1"),
        (["--image-size", "20"], "20 pixels is no multiple"),
        (["--out", "nowhere/x.png"], "there is no folder nowhere"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, parts, capsys, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["vqgan", "generate", *parts, "--text", "a", "--out", "x.png", *options]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_report_shows_filled_in_middles(tmp_path, parts, capsys):
    data = write_images(tmp_path / "data", 4)
    options = ["--out", str(tmp_path / "r.html"), "--split", "train"]
    assert main(["vqgan", "report", str(data.folder), *parts, *options]) == 0
    out = capsys.readouterr().out
    assert "filled-in middles" in out
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 4 * 2 + 4 * 4
    assert "Hidden middle, filled in" in page
    assert not math.isnan(float(out.split("middles: ")[1].split(" dB")[0]))
