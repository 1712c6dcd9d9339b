"""The options of a recipe: its own, those of the plug-in, and fairseq's.

fairseq takes most values as they come: it trains with a learning rate of -1 without a word, or ends
in a traceback. Everything is judged here, before a file is written.
"""

import argparse
import dataclasses
import difflib
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from biomedgpt.errors import ConfigError

OWN = (
    *("--data", "--save-dir", "--vocabulary", "--checkpoint", "--smoke", "--devices", "--size"),
    "--fold",
)
SET_BY_RECIPE = {
    "--task": "leave it out",
    "--criterion": "leave it out",
    "--user-dir": "leave it out",
    "--arch": "use --size",
    "-a": "use --size",
    "--finetune-from-model": "use --checkpoint",
    "--path": "use --checkpoint",
    "--gen-subset": "use --split",
    "--predictions": "use --save-dir",
    "--results-path": "use --save-dir",
    "--distributed-world-size": "use --devices",
}
"""Options of fairseq that a recipe sets itself, and what to do instead of giving them."""

AT_LEAST_ONE = (
    *("batch_size", "batch_size_valid", "max_tokens", "update_freq", "max_src_length"),
    *("max_tgt_length", "beam", "eval_beam", "nbest", "max_len_b", "log_interval"),
    *("save_interval", "validate_interval"),
)
NOT_NEGATIVE = (
    *("max_epoch", "max_update", "warmup_updates", "num_workers", "clip_norm", "weight_decay"),
    *("sample_patch_num", "save_interval_updates", "validate_interval_updates", "reg_alpha"),
    *("drop_worst_after", "no_repeat_ngram_size"),
)
SHARES = (
    *(
        "dropout",
        "noise_ratio",
        "attention_dropout",
        "activation_dropout",
        "encoder_drop_path_rate",
    ),
    *("decoder_drop_path_rate", "resnet_drop_path_rate", "label_smoothing", "drop_worst_ratio"),
    "ema_decay",
)
LIMITS: tuple[tuple[Sequence[str], Callable[[float], bool], str], ...] = (
    (AT_LEAST_ONE, lambda value: value >= 1, "at least 1"),
    (NOT_NEGATIVE, lambda value: value >= 0, "at least 0"),
    (SHARES, lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (("lr", "temperature"), lambda value: value > 0, "greater than 0"),
    (("patch_image_size",), lambda value: value >= 16, "at least 16, one patch"),
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigError."""
        raise ConfigError(f"{message}; see --help")


class ShowHelp(argparse.Action):
    """``--help``: also the options of the plug-in, which fairseq's own help does not know."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        """Print the help and leave."""
        parser.print_help()
        print(describe_plugin())
        parser.exit()


def describe_plugin() -> str:
    """Return the options of task, model and loss as text, or how to get them."""
    try:
        from fairseq_ext.criterion import AdjustLabelSmoothedCrossEntropyConfig
        from fairseq_ext.models import BiomedGPTModelConfig
        from fairseq_ext.task import BiomedGPTTaskConfig
    except ImportError as error:
        return f"\n{error}"
    lines = []
    for title, config in (
        ("data and task", BiomedGPTTaskConfig),
        ("model", BiomedGPTModelConfig),
        ("loss", AdjustLabelSmoothedCrossEntropyConfig),
    ):
        lines.append(f"\noptions of the {title}:")
        for field in dataclasses.fields(config):
            name = "--" + field.name.replace("_", "-")
            if "help" in field.metadata and name not in (*OWN, *SET_BY_RECIPE):
                text = textwrap.wrap(field.metadata["help"], 74)
                lines += [f"  {name}", *(f"      {line}" for line in text)]
    lines.append("\nAll others: fairseq-train --help, fairseq-generate --help")
    return "\n".join(lines)


def refuse_options_of_the_recipe(options: Sequence[str]) -> None:
    """Raise a ConfigError at an option that a recipe sets itself."""
    for option in options:
        name = option.partition("=")[0]
        if name in SET_BY_RECIPE:
            raise ConfigError(f"{name} is set by the recipe; {SET_BY_RECIPE[name]}")


_LAST = "checkpoint_last.pt"


def check_options(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Let fairseq's parser judge all options, and look at the values it takes.

    Raises:
        ConfigError: an unknown option, with the nearest known one, or a bad value.
    """
    from fairseq.options import parse_args_and_arch

    def refuse(message: str) -> NoReturn:
        # Some of fairseq's lists of choices fill the screen.
        short = message if len(message) < 300 else message.partition(" (choose from")[0]
        raise ConfigError(f"{short.replace('<lambda> ', '')}; see --help")

    parser.error = refuse  # type: ignore[assignment, method-assign]
    parsed, unknown = parse_args_and_arch(parser, arguments, parse_known=True)
    if unknown:
        name = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(name, [*parser._option_string_actions, *OWN], n=1)
        raise ConfigError(
            f"unknown option {name}; " + (f"did you mean {near[0]}?" if near else "see --help")
        )
    namespace: argparse.Namespace = parsed
    check_values(vars(namespace))
    return namespace


def check_values(options: dict[str, Any]) -> None:
    """Raise a ConfigError at a value outside its limits; fairseq has lists of some."""
    restore = options.get("restore_file", _LAST)
    if restore != _LAST and not Path(restore).is_file():
        raise ConfigError(f"--restore-file {restore}: no such file; fairseq would start afresh")
    for names, allowed, words in LIMITS:
        for name in names:
            value = options.get(name)
            for one in value if isinstance(value, list) else [value]:
                if one is not None and not allowed(one):
                    raise ConfigError(
                        f"--{name.replace('_', '-')} must be {words}, got {one}; see --help"
                    )
