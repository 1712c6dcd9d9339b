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

from biomedgpt.checkpoints.description import Description
from biomedgpt.recipes.programs import literal
from fairseq_ext.checkpoints import examine  # noqa: F401
from fairseq_ext.criterion import AdjustLabelSmoothedCrossEntropyConfig
from fairseq_ext.models import BiomedGPTModelConfig, model_config
from fairseq_ext.preemption import stopped  # noqa: F401
from fairseq_ext.task import BiomedGPTTaskConfig

OPTIONS = {
    "data and task": BiomedGPTTaskConfig,
    "model": BiomedGPTModelConfig,
    "loss": AdjustLabelSmoothedCrossEntropyConfig,
}


def describe(options: argparse.Namespace, vocabulary: Path) -> tuple[Description, str]:
    """Return what fairseq-train would train, and the fingerprint of the vocabulary.

    Args:
        options: its own, parsed.
        vocabulary: folder of the vocabulary, in place of ``--vocabulary``.
    """
    words = {n: literal(v) if isinstance(v, str) else v for n, v in vars(options).items()}
    words["vocabulary"] = literal(str(vocabulary))
    config = convert_namespace_to_omegaconf(argparse.Namespace(**words))
    task = tasks.setup_task(config.task)
    task.complete(config.model)
    state = {"cfg": OmegaConf.to_container(config)}
    model = model_config(config.model, task.vocabulary)
    return task.description(model, state), task.vocabulary.fingerprint
