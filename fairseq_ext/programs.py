"""fairseq's programs and parsers for the recipes; see `biomedgpt.recipes.programs`."""

import argparse
from pathlib import Path

from fairseq import tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.options import (  # noqa: F401
    get_generation_parser,
    get_training_parser,
    parse_args_and_arch,
)
from fairseq_cli.generate import cli_main as generate  # noqa: F401
from fairseq_cli.train import cli_main as train  # noqa: F401
from omegaconf import OmegaConf

from biomedgpt.checkpoints.torch_file import plain
from biomedgpt.recipes.programs import Planned, literal
from fairseq_ext.checkpoints import examine  # noqa: F401
from fairseq_ext.criterion import AdjustLabelSmoothedCrossEntropyConfig
from fairseq_ext.models import BiomedGPTModelConfig, model_config
from fairseq_ext.preemption import early_end, stopped  # noqa: F401
from fairseq_ext.task import BiomedGPTTaskConfig

OPTIONS = {
    "data and task": BiomedGPTTaskConfig,
    "model": BiomedGPTModelConfig,
    "loss": AdjustLabelSmoothedCrossEntropyConfig,
}


def describe(options: argparse.Namespace, vocabulary: Path) -> Planned:
    """Return what fairseq-train would train.

    Args:
        options: its own, parsed.
        vocabulary: folder of the vocabulary, in place of ``--vocabulary``.

    Raises:
        ConfigError: a candidate answer is longer than answers may be.
    """
    words = {n: literal(v) if isinstance(v, str) else v for n, v in vars(options).items()}
    words["vocabulary"] = literal(str(vocabulary))
    config = convert_namespace_to_omegaconf(argparse.Namespace(**words))
    task = tasks.setup_task(config.task)
    task.complete(config.model)
    groups = OmegaConf.to_container(config)
    assert isinstance(groups, dict)
    task.candidates  # noqa: B018 (encodes them)
    found = task.description(model_config(config.model, task.vocabulary), {"cfg": groups})
    return Planned(found, task.vocabulary.fingerprint, plain(groups))
