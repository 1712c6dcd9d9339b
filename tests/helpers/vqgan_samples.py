"""Small tokenizers, published layouts and datasets that the tests of VQ-GANs are made of."""

import io
from pathlib import Path
from typing import Any

import torch
import yaml
from data_samples import FACTS, vqa_row
from PIL import Image

from biomedgpt.data.phantom_releases.text_and_image import write_phantom_interleaved
from biomedgpt.data.phantoms.phantom import generate
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.vqgan.network import SmallConfig, SmallVQ
from biomedgpt.vqgan.taming import TamingVQ
from biomedgpt.vqgan.tokenizer import ImageTokenizer

SMALL = SmallConfig(image_size=32, num_codes=12, embed_dim=4, widths=(8, 8, 16))

DD: dict[str, Any] = {
    "double_z": False,
    "z_channels": 8,
    "resolution": 32,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [8],
    "dropout": 0.0,
}


def small_tokenizer(seed: int = 0, config: SmallConfig = SMALL) -> ImageTokenizer:
    """A tokenizer with random weights, trained here."""
    torch.manual_seed(seed)
    return ImageTokenizer(SmallVQ(config), image_size=config.image_size)


def published_config(kind: str, **changes: Any) -> dict[str, Any]:
    """The content of model.yaml as taming-transformers has it."""
    params: dict[str, Any] = {"embed_dim": 8, "n_embed": 16, "ddconfig": DD | changes}
    params["lossconfig"] = {"target": "taming.modules.losses.vqperceptual.Any", "params": {}}
    if kind == "GumbelVQ":
        params |= {"kl_weight": 1e-8, "temperature_scheduler_config": {"target": "x", "params": {}}}
    return {
        "model": {
            "base_learning_rate": 4.5e-06,
            "target": f"taming.models.vqgan.{kind}",
            "params": params,
        }
    }


def write_published(
    folder: Path, kind: str, *, extra: dict[str, Any] | None = None
) -> dict[str, torch.Tensor]:
    """A folder in the published layout with random weights; return these."""
    torch.manual_seed(3)
    dd = {**DD, "ch_mult": tuple(DD["ch_mult"])}
    network = TamingVQ(dd, num_codes=16, embed_dim=8, gumbel=kind == "GumbelVQ")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    weights = dict(network.state_dict())
    (folder / "configs").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    text = yaml.safe_dump(published_config(kind))
    (folder / "configs/model.yaml").write_text(text, encoding="utf-8")
    state = weights | {"loss.discriminator.main.0.weight": torch.ones(3)}
    content = {"epoch": 9, "global_step": 100, "state_dict": state, **(extra or {})}
    torch.save(content, folder / "checkpoints/last.ckpt")
    return weights


def write_images(folder: Path, count: int = 7, *, size: int = 48) -> PreparedDataset:
    """A dataset of phantoms with one row each, split ``train``; half as many in ``test``."""
    splits = {}
    for name, rows in (("train", count), ("test", (count + 1) // 2)):
        splits[name] = []
        for number in range(rows):
            buffer = io.BytesIO()
            Image.fromarray(generate(name, number, seed=1, size=size).image).save(buffer, "PNG")
            splits[name].append(vqa_row(number, image=buffer.getvalue()))
    write_dataset(folder, FACTS, splits)
    return PreparedDataset(folder)


def write_interleaved(folder: Path) -> tuple[Path, Path]:
    """Write instructions whose answers show images; return their folder and the tokenizer's."""
    write_phantom_interleaved(folder / "data", train=12, valid=2, test=3, size=48)
    small_tokenizer().save(folder / "tokenizer")
    return folder / "data" / "instructions", folder / "tokenizer"
