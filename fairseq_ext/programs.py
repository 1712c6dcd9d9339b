"""fairseq's programs and parsers for the recipes; see `biomedgpt.recipes.programs`."""

from fairseq.options import (  # noqa: F401
    get_generation_parser,
    get_training_parser,
    parse_args_and_arch,
)
from fairseq_cli.generate import cli_main as generate  # noqa: F401
from fairseq_cli.train import cli_main as train  # noqa: F401

from fairseq_ext.checkpoints import examine  # noqa: F401
from fairseq_ext.criterion import AdjustLabelSmoothedCrossEntropyConfig
from fairseq_ext.models import BiomedGPTModelConfig
from fairseq_ext.task import BiomedGPTTaskConfig

OPTIONS = {
    "data and task": BiomedGPTTaskConfig,
    "model": BiomedGPTModelConfig,
    "loss": AdjustLabelSmoothedCrossEntropyConfig,
}
