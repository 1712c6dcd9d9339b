"""What options are called in the programs whose files we read, and here."""

from collections.abc import Mapping

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
