"""The model under fairseq's names: ``--arch biomedgpt_{nano,tiny,medium,base,large,xlarge}``."""

# ruff: noqa: UP045, RUF009 (fairseq builds its parser from Optional and does not know `X | None`)

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any, Optional, get_args

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model, register_model_architecture
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from biomedgpt.checkpoints.state_dict import load_reference_state_dict
from biomedgpt.model import PRESETS, BiomedGPT, ModelConfig, preset
from biomedgpt.model.config import BatchNormMode
from biomedgpt.vocabulary import Vocabulary
from fairseq_ext import checkpoints
from fairseq_ext.option_fields import option
from fairseq_ext.throughput import WorkCounter

BATCH_NORM_MODES = ChoiceEnum(list(get_args(BatchNormMode)))


@dataclass
class BiomedGPTModelConfig(FairseqDataclass):
    """Options of the model; the sizes are fixed by ``--arch``."""

    size: str = option("base", "size, if --arch is biomedgpt: " + ", ".join(PRESETS))
    dropout: float = option(0.1, "dropout of embeddings and sub-layers")
    attention_dropout: float = option(0.0, "dropout of attention weights")
    activation_dropout: float = option(0.0, "dropout after the feed-forward activation")
    encoder_drop_path_rate: float = option(0.0, "stochastic depth of the last encoder layer")
    decoder_drop_path_rate: float = option(0.0, "stochastic depth of the last decoder layer")
    resnet_drop_path_rate: float = option(0.0, "stochastic depth of the ResNet's stages")
    freeze_embedding: bool = option(
        False, "keep the token embeddings, input and output, as they are"
    )
    batch_norm: BATCH_NORM_MODES = option(
        "train",
        "batch norm of the ResNet: train (statistics of each device's batch), sync (of "
        "all devices' batches; GPUs only), frozen (stored statistics, affine parameters fixed: "
        "what the reference calls --freeze-resnet)",
    )
    freeze_resnet: bool = option(
        False, "keep all of the ResNet as it is, convolutions and batch norm"
    )
    interpolate_position: bool = option(
        False, "interpolate image positions above --orig-patch-image-size"
    )
    orig_patch_image_size: int = option(256, "image size the position table was trained at")
    max_positions: int = option(
        1024, "longest source or target; rows a checkpoint lacks are drawn at random"
    )
    image_bucket_size: int = option(
        42,
        "patches of 16 pixels along one side of the largest image; positions a "
        "checkpoint lacks take those of the nearest it has",
    )
    image_scales: int = option(
        1,
        "sizes at which images are encoded: --patch-image-size 768 with 2 has the "
        "patches of 384, seen at 384 and 768 pixels; no weights are added",
    )
    resize_positions: Optional[str] = option(
        None,
        "OLD:NEW, as in 256:384: interpolate the image positions of the checkpoint "
        "that training starts from, to images of NEW pixels",
    )
    code_image_size: int = option(
        128,
        "pixels along one side of the image that codes to be written describe, at 8 "
        "pixels per code (pretraining sets it)",
    )
    checkpoint_activations: bool = option(
        False, "recompute layers and ResNet blocks in the backward pass, for memory"
    )


_SAME_NAMES = {one.name for one in fields(BiomedGPTModelConfig)} & {
    one.name for one in fields(ModelConfig)
} - {"batch_norm"}


def model_config(cfg: Any, vocabulary: Vocabulary) -> ModelConfig:
    """Return what fairseq's options say of a model."""
    return preset(
        cfg.size,
        vocab_size=len(vocabulary),
        pad=vocabulary.pad,
        encoder_drop_path=cfg.encoder_drop_path_rate,
        decoder_drop_path=cfg.decoder_drop_path_rate,
        resnet_drop_path=cfg.resnet_drop_path_rate,
        batch_norm="frozen" if cfg.freeze_resnet else str(cfg.batch_norm),
        **{name: getattr(cfg, name) for name in _SAME_NAMES},
    )


@register_model("biomedgpt", dataclass=BiomedGPTModelConfig)
class FairseqBiomedGPT(BiomedGPT, BaseFairseqModel):
    """`BiomedGPT` with fairseq's hooks; parameters keep the names of the reference."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
                # fairseq's EMA averages every buffer in place, which integers cannot do; torch
                # uses this count only without a momentum.
                module.num_batches_tracked = torch.zeros(())
        self.work = WorkCounter(self)

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> "FairseqBiomedGPT":
        if isinstance(cfg, DictConfig):
            # A checkpoint may be older than some options; they then have their defaults.
            options = OmegaConf.structured(BiomedGPTModelConfig())
            known = {name: value for name, value in cfg.items() if name in options}
            cfg = OmegaConf.merge(options, known)
        model = cls(model_config(cfg, task.vocabulary))
        positions = checkpoints.Positions(config=model.config, resize=cfg.resize_positions)
        checkpoints.context.positions = positions
        if cfg.freeze_embedding:
            model.encoder.embed_tokens.requires_grad_(False)
        if cfg.freeze_resnet:
            model.encoder.embed_images.requires_grad_(False)
        return model

    def max_positions(self) -> tuple[int, int]:
        return (self.config.max_positions, self.config.max_positions)

    def load_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        strict: bool = True,
        model_cfg: Optional[Any] = None,
        args: Optional[argparse.Namespace] = None,
        assign: bool = False,
    ) -> Any:
        """Load weights; those of a checkpoint strictly, with a diagnosis if they do not fit."""
        if strict and model_cfg is not None:  # fairseq's readers pass the configuration along
            return load_reference_state_dict(self, state_dict, source=checkpoints.context.path)
        return nn.Module.load_state_dict(self, state_dict, strict=strict, assign=assign)


def _register_size(name: str) -> None:
    @register_model_architecture("biomedgpt", f"biomedgpt_{name}")
    def set_size(cfg: Any) -> None:
        cfg.size = name
        if isinstance(cfg, argparse.Namespace) and cfg.bf16 and not find_spec("torch_xla"):
            # fairseq's command line takes --bf16 for a request to run on a TPU.
            cfg.tpu = False


for _name in PRESETS:
    _register_size(_name)
