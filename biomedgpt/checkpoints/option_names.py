"""What options are called in the programs whose files we read, and here."""

from collections.abc import Mapping
from typing import Any

from biomedgpt.model.config import ModelConfig

TASK_OPTIONS: Mapping[str, str] = {
    "max_src_length": "max_source_words",
    "max_tgt_length": "max_target_tokens",
    "prompt_type": "prompt_type",
    "add_object": "add_object",
}
"""Of the tasks of the published code and of our fairseq task; `Task.with_` takes the latter."""

RESNETS: Mapping[tuple[int, int, int], str] = {
    (3, 4, 6): "resnet50",
    (3, 4, 23): "resnet101",
    (3, 8, 36): "resnet152",
}
"""Names of ResNets by their blocks, in the published code and in that for transformers."""


def of_both_parts(config: ModelConfig, **options: Any) -> dict[str, Any]:
    """Return options that encoder and decoder have alike, and their numbers of layers."""
    parts = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    return {
        f"{part}_{name}": value
        for part, layers in parts.items()
        for name, value in {"layers": layers, **options}.items()
    }
