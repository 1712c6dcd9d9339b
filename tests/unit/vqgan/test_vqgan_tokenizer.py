"""Image tokenizers: the same function as taming-transformers' modules, safe loading, saving."""

import json
import os
import pickle
import zipfile

import pytest
import torch
import yaml
from vqgan_samples import DD, SMALL, published_config, small_tokenizer, write_published

from biomedgpt.errors import BiomedGPTError, CheckpointError, ConfigError, DataError
from biomedgpt.vqgan.tokenizer import ImageTokenizer

taming_model = pytest.importorskip("taming.modules.diffusionmodules.model", reason="vqgan extra")
KINDS = ("GumbelVQ", "VQModel")


def taming_codes_and_pixels(kind, weights, pixels):
    """What taming's own modules make of pixels, put together as its model classes do it."""
    quantize = pytest.importorskip("taming.modules.vqvae.quantize")

    def load(module, prefix):
        part = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        module.load_state_dict(part)
        return module.eval()

    encoder = load(taming_model.Encoder(**DD), "encoder.")
    decoder = load(taming_model.Decoder(**DD), "decoder.")
    before = load(torch.nn.Conv2d(8, 8, 1), "quant_conv.")
    after = load(torch.nn.Conv2d(8, 8, 1), "post_quant_conv.")
    if kind == "GumbelVQ":
        quantizer = load(quantize.GumbelQuantize(8, 8, n_embed=16), "quantize.")
        # At a temperature of almost nothing the noise still moves logits, so none is drawn.
        quiet = pytest.MonkeyPatch()
        quiet.setattr(
            quantize.F,
            "gumbel_softmax",
            lambda logits, **_: (
                torch.nn.functional.one_hot(logits.argmax(1), 16).permute(0, 3, 1, 2).float()
            ),
        )
        quantized, _, (_, _, codes) = quantizer(before(encoder(pixels)))
        quiet.undo()
    else:
        quantizer = load(quantize.VectorQuantizer2(16, 8, beta=0.25), "quantize.")
        quantized, _, (_, _, codes) = quantizer(before(encoder(pixels)))
    side = quantized.shape[-1]
    entry = quantizer.get_codebook_entry(codes.flatten(), (len(pixels), side, side, 8))
    return codes.view(len(pixels), -1), decoder(after(entry))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_published_layouts_compute_what_taming_computes(tmp_path, kind):
    weights = write_published(tmp_path / "vq", kind)
    tokenizer = ImageTokenizer.load(tmp_path / "vq")
    assert (tokenizer.num_codes, tokenizer.downsampling, tokenizer.image_size) == (16, 4, 32)
    pixels = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes, decoded = taming_codes_and_pixels(kind, weights, pixels)
    found = tokenizer.encode(pixels)
    assert found.shape == (3, 64)
    assert len(found.unique()) > 3  # the comparison below says something
    assert torch.equal(found, codes)
    torch.testing.assert_close(tokenizer.decode(found, (8, 8)), decoded.clamp(-1, 1))
    assert torch.equal(tokenizer.encode(pixels), found)  # no noise, unlike taming's encoder


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_found_in_the_layouts_in_use(tmp_path, kind):
    write_published(tmp_path / "vq", kind)
    expected = ImageTokenizer.load(tmp_path / "vq").fingerprint
    assert ImageTokenizer.load(tmp_path / "vq/checkpoints/last.ckpt").fingerprint == expected
    (tmp_path / "vq/checkpoints").rename(tmp_path / "vq/ckpts")  # BiomedGPT's name of the folder
    assert ImageTokenizer.load(tmp_path / "vq").fingerprint == expected
    (tmp_path / "vq/ckpts/last.ckpt").rename(tmp_path / "vq/model.ckpt")
    (tmp_path / "vq/configs/model.yaml").rename(tmp_path / "vq/model.yaml")
    assert ImageTokenizer.load(tmp_path / "vq").fingerprint == expected
    (tmp_path / "vq/model.yaml").unlink()
    with pytest.raises(CheckpointError, match="no configuration beside it"):
        ImageTokenizer.load(tmp_path / "vq")


def test_state_of_lightning_callbacks_is_skipped(tmp_path):
    """The published files name a class of pytorch-lightning, which need not be installed."""
    write_published(tmp_path / "vq", "VQModel")
    expected = ImageTokenizer.load(tmp_path / "vq").fingerprint
    path = tmp_path / "vq/checkpoints/last.ckpt"
    weights = torch.load(path, weights_only=True)["state_dict"]

    class Named:
        """Pickled under the name of Lightning's class, as key and as an object with state."""

    Named.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
    Named.__qualname__ = Named.__name__ = "ModelCheckpoint"
    one = Named()
    one.best = 0.5
    module = type(os)("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = Named
    patch = pytest.MonkeyPatch()
    patch.setitem(__import__("sys").modules, module.__name__, module)
    torch.save({"state_dict": weights, "callbacks": {Named: {"best": 1.0}}, "one": one}, path)
    patch.undo()
    assert b"ModelCheckpoint" in zipfile.ZipFile(path).read("last/data.pkl")
    assert ImageTokenizer.load(tmp_path / "vq").fingerprint == expected


class Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", ["zip", "raw"])
def test_a_hostile_checkpoint_is_refused_and_named(tmp_path, protocol):
    write_published(tmp_path / "vq", "GumbelVQ")
    path = tmp_path / "vq/checkpoints/last.ckpt"
    mark = tmp_path / "executed"
    content = {"state_dict": {}, "callbacks": Hostile(f"touch {mark}")}
    if protocol == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=r"last\.ckpt: refused.*nothing was executed") as info:
        ImageTokenizer.load(tmp_path / "vq")
    assert "\n" not in str(info.value)
    assert "weights_only" not in str(info.value)
    assert not mark.exists()


def test_a_hostile_yaml_is_refused(tmp_path):
    write_published(tmp_path / "vq", "GumbelVQ")
    mark = tmp_path / "executed"
    text = f"model: !!python/object/apply:os.system ['touch {mark}']\n"
    (tmp_path / "vq/configs/model.yaml").write_text(text)
    with pytest.raises(CheckpointError, match="not a YAML file of plain values"):
        ImageTokenizer.load(tmp_path / "vq")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ch": 10**9}, "ch is 1000000000, not a sensible number"),
        ({"ch": "32"}, "ch is '32'"),
        ({"ch_mult": [1, 10**8]}, "ch_mult is"),
        ({"ch_mult": []}, "ch_mult not"),
        ({"attn_resolutions": None}, "attn_resolutions is None"),
        ({"in_channels": 1}, "in_channels is 1, not 3"),
        ({"double_z": True}, "double_z is True"),
        ({"ch": 64}, "does not fit .*keys differ, first "),
        ({"ch_mult": [1, 1, 2, 2]}, "keys differ"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(tmp_path, changes, message):
    write_published(tmp_path / "vq", "VQModel")
    text = yaml.safe_dump(published_config("VQModel", **changes))
    (tmp_path / "vq/configs/model.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        ImageTokenizer.load(tmp_path / "vq")


@pytest.mark.parametrize("text", ["", "- 1", "model: 3", "a: [", "model: {target: x, params: {}}"])
def test_other_yaml_files_are_refused(tmp_path, text):
    write_published(tmp_path / "vq", "VQModel")
    (tmp_path / "vq/configs/model.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.yaml: not "):
        ImageTokenizer.load(tmp_path / "vq")


def test_the_transformer_over_codes_is_no_tokenizer(tmp_path):
    write_published(tmp_path / "vq", "VQModel")
    config = published_config("Net2NetTransformer")
    (tmp_path / "vq/configs/model.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(CheckpointError, match="Net2NetTransformer is no VQModel"):
        ImageTokenizer.load(tmp_path / "vq")


@pytest.mark.parametrize("kept", [0, 50, 0.5, 0.95])
def test_a_cut_checkpoint_is_one_error(tmp_path, kept):
    write_published(tmp_path / "vq", "VQModel")
    path = tmp_path / "vq/checkpoints/last.ckpt"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r"last\.ckpt: ") as info:
        ImageTokenizer.load(tmp_path / "vq")
    assert "\n" not in str(info.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no image tokenizer here; expected vqgan\.json"):
        ImageTokenizer.load(tmp_path)
    with pytest.raises(CheckpointError, match="no image tokenizer here"):
        ImageTokenizer.load(tmp_path / "nowhere")
    write_published(tmp_path / "vq", "VQModel")
    (tmp_path / "vq/checkpoints/last.ckpt").unlink()
    with pytest.raises(CheckpointError, match="no checkpoint beside it; put last.ckpt"):  # noqa: RUF043
        ImageTokenizer.load(tmp_path / "vq")


# Our own


def test_a_small_tokenizer_comes_back_as_saved(tmp_path):
    tokenizer = small_tokenizer()
    tokenizer.save(tmp_path / "small", {"valid_psnr": 20.0})
    loaded = ImageTokenizer.load(tmp_path / "small")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert (loaded.num_codes, loaded.downsampling, loaded.image_size) == (12, 8, 32)
    pixels = torch.rand(2, 3, 16, 32) * 2 - 1
    codes = loaded.encode(pixels)
    assert codes.shape == (2, 2 * 4)
    assert codes.dtype == torch.int64
    assert torch.equal(codes, tokenizer.encode(pixels))
    image = loaded.decode(codes, (2, 4))
    assert image.shape == (2, 3, 16, 32)
    assert float(image.abs().max()) <= 1
    assert small_tokenizer(seed=1).fingerprint != tokenizer.fingerprint


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "vqgan.json").write_text("{"), "damaged"),
        (lambda p: change(p / "vqgan.json", format=9), "format 9"),
        (lambda p: change(p / "vqgan.json", fingerprint="0"), "not the weights that"),
        (lambda p: change(p / "vqgan.json", config={"widths": [8]}), "damaged"),
        (lambda p: change(p / "vqgan.json", config=[]), "damaged"),
        (lambda p: (p / "model.safetensors").unlink(), "missing"),
        (lambda p: (p / "model.safetensors").write_bytes(b"x" * 99), "damaged"),
    ],
)
def test_a_damaged_small_tokenizer_is_one_error(tmp_path, damage, message):
    small_tokenizer().save(tmp_path / "small")
    damage(tmp_path / "small")
    with pytest.raises(CheckpointError, match=message):
        ImageTokenizer.load(tmp_path / "small")


def test_published_tokenizers_are_not_saved(tmp_path):
    write_published(tmp_path / "vq", "VQModel")
    with pytest.raises(ConfigError, match="copy published files"):
        ImageTokenizer.load(tmp_path / "vq").save(tmp_path / "copy")


def test_what_cannot_be_encoded_or_decoded_is_refused():
    tokenizer = small_tokenizer()
    with pytest.raises(ConfigError, match="20 pixels is no multiple of the 8 pixels"):
        tokenizer.encode(torch.zeros(1, 3, 32, 20))
    with pytest.raises(DataError, match="5 codes are no grid of 2 x 2"):
        tokenizer.decode(torch.zeros(1, 5, dtype=torch.long), (2, 2))
    for code in (-1, SMALL.num_codes):
        with pytest.raises(DataError, match=r"outside 0\.\.11; they come from another VQ-GAN"):
            tokenizer.decode(torch.full((1, 4), code), (2, 2))


def test_shapes_of_small_tokenizers_are_checked():
    for wrong in ({"widths": ()}, {"widths": (9,)}, {"num_codes": 1}, {"image_size": 33}):
        with pytest.raises(BiomedGPTError):
            small_tokenizer(config=type(SMALL)(**wrong))
