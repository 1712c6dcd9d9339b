"""Published VQ-GANs, in the files that taming-transformers writes.

A folder such as ``vqgan_gumbel_f8_8192`` holds ``configs/model.yaml`` and a Lightning checkpoint.
Encoder, decoder and quantizer are the package's own modules, put together here: its model classes
need a version of PyTorch Lightning that is gone. Parameter names are those of the checkpoints.
"""

import contextlib
import importlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biomedgpt.checkpoints.torch_file import read_torch_file
from biomedgpt.errors import CheckpointError, optional_import, reason_of

CONFIGS = ("configs/model.yaml", "model.yaml", "config.yaml")
CHECKPOINTS = (
    *("checkpoints/last.ckpt", "ckpts/last.ckpt", "last.ckpt", "model.ckpt"),
    "checkpoints/model.ckpt",
)
_IGNORED = ("loss.", "model_ema.", "colorize")
"""Beginnings of the names of what is needed in training only: discriminator, perceptual loss."""
_CALLBACKS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor",
)
"""Classes that Lightning files name as keys of its callbacks' state."""
_MOST_YAML = 1 << 20
_EXTRA = "install the vqgan extra: pip install 'biomedgpt[vqgan]'"
_FIX = "give a VQ-GAN of taming-transformers as published, or one that `biomedgpt vqgan train` made"


class TamingVQ(nn.Module):
    """Encoder, decoder and quantizer of a published VQ-GAN.

    Codes are the most probable ones: the published Gumbel quantizer adds noise when it encodes,
    so that its codes of an image differ from call to call.

    Args:
        dd: ``ddconfig``: the shape of encoder and decoder.
        num_codes: codes.
        embed_dim: width of the codebook.
        gumbel: whether codes are chosen by logits (``GumbelVQ``) or by distance (``VQModel``).
    """

    def __init__(self, dd: dict[str, Any], *, num_codes: int, embed_dim: int, gumbel: bool) -> None:
        super().__init__()
        networks, quantizers = _modules()
        # The decoder prints its shape.
        with contextlib.redirect_stdout(io.StringIO()):
            self.encoder = networks.Encoder(**dd)
            self.decoder = networks.Decoder(**dd)
        self.gumbel = gumbel
        self.num_codes = num_codes
        self.downsampling = int(2 ** (len(dd["ch_mult"]) - 1))
        self.quant_conv = nn.Conv2d(dd["z_channels"], embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, dd["z_channels"], 1)
        if gumbel:
            self.quantize = quantizers.GumbelQuantize(dd["z_channels"], embed_dim, num_codes)
        else:
            self.quantize = quantizers.VectorQuantizer2(num_codes, embed_dim, beta=0.25)

    def encode_codes(self, pixels: Tensor) -> Tensor:
        """Return (B, h, w) codes of (B, 3, H, W) pixels."""
        x = self.quant_conv(self.encoder(pixels))  # (B, D, h, w)
        if self.gumbel:
            return self.quantize.proj(x).argmax(1)
        _, _, (_, _, codes) = self.quantize(x)
        return codes.view(len(x), *x.shape[2:])

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Return (B, 3, H, W) pixels of (B, h, w) codes."""
        table = self.quantize.embed if self.gumbel else self.quantize.embedding
        x = F.embedding(codes, table.weight).permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(x.contiguous()))


def find_files(path: Path) -> tuple[Path, Path] | None:
    """Return configuration and checkpoint of ``path``, a folder or a checkpoint; None for neither.

    Raises:
        CheckpointError: one of them is there without the other.
    """
    if path.is_file():
        configs = [folder / name for folder in path.parents[:2] for name in CONFIGS]
        configs.append(path.with_suffix(".yaml"))
        checkpoints = [path]
    else:
        configs = [path / name for name in CONFIGS]
        checkpoints = [path / name for name in CHECKPOINTS]
    config = next(filter(Path.is_file, configs), None)
    checkpoint = next(filter(Path.is_file, checkpoints), None)
    if config is None and checkpoint is None:
        return None
    if config is None:
        raise CheckpointError(
            f"{checkpoint}: no configuration beside it; put its model.yaml into {path} or "
            f"{path / 'configs'}"
        )
    if checkpoint is None:
        raise CheckpointError(
            f"{config}: no checkpoint beside it; put last.ckpt into {path} or "
            f"{path / 'checkpoints'}"
        )
    return config, checkpoint


def load(config: Path, checkpoint: Path) -> tuple[TamingVQ, int]:
    """Return the network and the image size it was trained at.

    Raises:
        CheckpointError: a file is missing, damaged, hostile, or they do not fit each other.
        ConfigError: taming-transformers is not installed.
    """
    dd, shape = _read_config(config)
    # On the meta device nothing is allocated, whatever sizes the file asks for.
    with torch.device("meta"):
        network = TamingVQ(dd, **shape)
    content = read_torch_file(checkpoint, inert=_CALLBACKS, fix=_FIX)
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"{checkpoint}: no weights under `state_dict`; {_FIX}")
    weights = {key: value for key, value in state.items() if not key.startswith(_IGNORED)}
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if wrong:
        first = wrong[0]
        raise CheckpointError(
            f"{checkpoint}: does not fit {config}: {len(wrong)} keys differ, first {first} "
            f"({found.get(first, 'missing')}, not {wanted.get(first, 'expected')}); give the files "
            "of one and the same VQ-GAN"
        )
    network.load_state_dict({k: v.float() for k, v in weights.items()}, assign=True)
    return network.eval(), dd["resolution"]


def _modules() -> tuple[Any, Any]:
    with optional_import(f"published VQ-GANs need taming-transformers ({{error}}); {_EXTRA}"):
        return (
            importlib.import_module("taming.modules.diffusionmodules.model"),
            importlib.import_module("taming.modules.vqvae.quantize"),
        )


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``ddconfig`` and the other options of `TamingVQ`."""
    with optional_import(f"published VQ-GANs need PyYAML; {_EXTRA}"):
        import yaml  # type: ignore[import-untyped]
    if path.stat().st_size > _MOST_YAML:
        raise CheckpointError(f"{path}: too large for a configuration; {_FIX}")
    try:
        model = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]
        target, params = str(model["target"]).rpartition(".")[2], model["params"]
        dd = dict(params["ddconfig"])
        if params.get("remap") is not None:
            raise CheckpointError(f"{path}: remapped codes are not supported; {_FIX}")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = reason_of(error)[:200]
        raise CheckpointError(f"{path}: not a YAML file of plain values ({reason})") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path}: not the configuration of a VQ-GAN; {_FIX}") from error
    if target not in {"VQModel", "GumbelVQ"}:
        raise CheckpointError(f"{path}: {target} is no VQModel and no GumbelVQ; {_FIX}")
    sizes = ("ch", "num_res_blocks", "z_channels", "resolution")
    shape: dict[str, Any] = {name: dd.get(name) for name in sizes}
    numbers = shape | {name: params.get(name) for name in ("n_embed", "embed_dim")}
    for name, value in numbers.items():
        if type(value) is not int or not 1 <= value <= 1_000_000:
            raise CheckpointError(f"{path}: {name} is {value!r}, not a sensible number; {_FIX}")
    for name in ("ch_mult", "attn_resolutions"):
        values: Any = dd.get(name)
        sensible = isinstance(values, list) and len(values) <= 16
        if not (sensible and all(type(v) is int and 1 <= v <= 4096 for v in values)):
            raise CheckpointError(f"{path}: {name} is {values!r}, not a list of numbers; {_FIX}")
    fixed = {"in_channels": 3, "out_ch": 3, "double_z": False}
    for name, value in fixed.items():
        if dd.get(name) != value:
            raise CheckpointError(f"{path}: {name} is {dd.get(name)!r}, not {value}; {_FIX}")
    if numbers["ch"] % 32 or numbers["num_res_blocks"] > 64 or not dd["ch_mult"]:
        raise CheckpointError(
            f"{path}: ch must be a multiple of 32, num_res_blocks at most 64 and ch_mult not "
            f"empty; {_FIX}"
        )
    dd = {
        **fixed,
        **shape,
        "ch_mult": tuple(dd["ch_mult"]),
        "attn_resolutions": dd["attn_resolutions"],
        "resamp_with_conv": bool(dd.get("resamp_with_conv", True)),
    }
    return dd, {
        "num_codes": numbers["n_embed"],
        "embed_dim": numbers["embed_dim"],
        "gumbel": target == "GumbelVQ",
    }
