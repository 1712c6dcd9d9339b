"""What options are called in the programs whose files we read, and here."""

from collections.abc import Mapping

TASK_OPTIONS: Mapping[str, str] = {
    "max_src_length": "max_source_words",
    "max_tgt_length": "max_target_tokens",
    "prompt_type": "prompt_type",
    "add_object": "add_object",
}
"""Of the tasks of the published code and of our fairseq task; `Task.with_` takes the latter."""

MODEL_OPTIONS: Mapping[str, str] = {
    "encoder_drop_path_rate": "encoder_drop_path",
    "decoder_drop_path_rate": "decoder_drop_path",
    "resnet_drop_path_rate": "resnet_drop_path",
    "activation_checkpointing": "checkpoint_activations",
}
"""Of our fairseq models that have another name in `biomedgpt.model.ModelConfig`."""

RESNETS: Mapping[tuple[int, int, int], str] = {
    (3, 4, 6): "resnet50",
    (3, 4, 23): "resnet101",
    (3, 8, 36): "resnet152",
}
"""Names of ResNets by their blocks, in the published code and in that for transformers."""
