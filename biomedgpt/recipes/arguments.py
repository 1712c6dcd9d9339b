"""The options of a recipe: its own, those of the plug-in, and fairseq's.

fairseq takes most values as they come: it trains with a learning rate of -1 without a word, or ends
in a traceback. Everything is judged here, before a file is written.
"""

import argparse
import ast
import dataclasses
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from biomedgpt.checkpoints.identity import CHANGEABLE, parse_kinds
from biomedgpt.checkpoints.source import LAST
from biomedgpt.errors import ConfigError, did_you_mean
from biomedgpt.model.config import PRESETS
from biomedgpt.recipes.programs import Loader, Programs

OWN = (
    *("--data", "--save-dir", "--vocabulary", "--checkpoint", "--smoke", "--devices", "--size"),
    *("--fold", "--scale-batch", "--allow-changed"),
)
"""The options of a recipe."""
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
    "--no-save": "leave it out: a run is what it saves",
    "--no-last-checkpoints": "leave it out: runs resume from the last",
    "--no-save-optimizer-state": "leave it out: runs resume with it",
    "--checkpoint-suffix": "use --save-dir",
}
"""Options of fairseq that a recipe sets itself, and what to do instead of giving them."""

_CHOICES = ("--optimizer", "--lr-scheduler")
"""What has options of its own, of which recipes set some."""
AT_LEAST_ONE = (
    *("batch_size", "batch_size_valid", "max_tokens", "update_freq", "max_src_length"),
    *("max_tgt_length", "beam", "eval_beam", "nbest", "max_len_b", "log_interval"),
    *("save_interval", "validate_interval"),
)
NOT_NEGATIVE = (
    *("max_epoch", "max_update", "warmup_updates", "num_workers", "clip_norm", "weight_decay"),
    *("sample_patch_num", "save_interval_updates", "validate_interval_updates", "reg_alpha"),
    *("drop_worst_after", "no_repeat_ngram_size", "seed"),
)
SHARES = (
    *("dropout", "attention_dropout", "activation_dropout", "encoder_drop_path_rate"),
    *("decoder_drop_path_rate", "resnet_drop_path_rate", "label_smoothing", "drop_worst_ratio"),
    *("noise_ratio", "ema_decay", "warmup_ratio"),
)
LIMITS: tuple[tuple[Sequence[str], Callable[[float], bool], str], ...] = (
    (AT_LEAST_ONE, lambda value: value >= 1, "at least 1"),
    (NOT_NEGATIVE, lambda value: value >= 0, "at least 0"),
    (SHARES, lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (("lr", "temperature"), lambda value: value > 0, "greater than 0"),
    (("patch_image_size",), lambda value: value >= 16, "at least 16, one patch"),
)


class RecipeParser(argparse.ArgumentParser):
    """Raises what is wrong as an error of one line."""

    more_help: Callable[[], str] | None = None
    """Returns text that follows the help."""

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigError."""
        raise ConfigError(f"{message}; see --help")

    def format_help(self) -> str:
        """Return the help, and what `more_help` adds."""
        return super().format_help() + (self.more_help() if self.more_help else "")

    def add_paths(self, required: Mapping[str, str], optional: Mapping[str, str]) -> None:
        """Add options that take a path, each as ``--option METAVAR`` with what it is."""
        for options in (required, optional):
            for words, what in options.items():
                option, metavar = words.split()
                self.add_argument(
                    option, metavar=metavar, type=Path, required=options is required, help=what
                )

    def add_run_options(self, *, size: str) -> None:
        """Add what all recipes have; ``size`` says what ``--size`` does."""
        self.add_argument("--size", choices=PRESETS, help=size)
        self.add_argument(
            "--devices",
            type=int,
            metavar="N",
            help="GPUs to use (default: all); with --cpu, processes",
        )

    def add_resume_options(self) -> None:
        """Add what only training has."""
        self.add_argument(
            "--allow-changed",
            type=parse_kinds,
            default=(),
            metavar="KINDS",
            help="resume although these are not those that the run was begun with, separated by "
            f"commas: {', '.join(CHANGEABLE)}",
        )


def is_given(name: str, options: Sequence[str]) -> bool:
    """Say whether an option is among those given, as ``--option VALUE`` or ``--option=VALUE``."""
    return any(option.partition("=")[0] == name for option in options)


def describe_plugin(load: Loader) -> str:
    """Return the options of task, model and loss as text, or how to get them.

    fairseq's own help does not know them.
    """
    try:
        plugin = load().OPTIONS
    except ImportError as error:
        return f"\n{error}\n"
    lines = []
    for title, config in plugin.items():
        lines.append(f"\noptions of the {title}:")
        for field in dataclasses.fields(config):
            name = "--" + field.name.replace("_", "-")
            if "help" in field.metadata and name not in (*OWN, *SET_BY_RECIPE):
                text = textwrap.wrap(field.metadata["help"], 74)
                lines += [f"  {name}", *(f"      {line}" for line in text)]
    lines.append("\nAll others: fairseq-train --help, fairseq-generate --help\n")
    return "\n".join(lines)


def refuse_options_of_the_recipe(options: Sequence[str]) -> None:
    """Raise a ConfigError at an option that a recipe sets itself."""
    for option in options:
        name = option.partition("=")[0]
        if name in SET_BY_RECIPE:
            raise ConfigError(f"{name} is set by the recipe; {SET_BY_RECIPE[name]}")


def check_options(
    fairseq: Programs,
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    *,
    given: Sequence[str],
) -> argparse.Namespace:
    """Let fairseq's parser judge all options, and look at the values it takes.

    Args:
        fairseq: its programs.
        parser: of the one that is to run.
        arguments: all of them.
        given: those that the user has given.

    Raises:
        ConfigError: an unknown option, with the nearest known one, or a bad value.
    """

    def refuse(message: str) -> NoReturn:
        # Some of fairseq's lists of choices fill the screen.
        short = message if len(message) < 300 else message.partition(" (choose from")[0]
        raise ConfigError(f"{short.replace('<lambda> ', '')}; see --help")

    parser.error = refuse  # type: ignore[method-assign]
    steps = [value for name, value in pairwise(arguments) if name == "--update-freq"]
    steps += [one.partition("=")[2] for one in arguments if one.startswith("--update-freq=")]
    for value in steps:  # fairseq makes integers of anything
        if not re.fullmatch(r"-?\d+(,-?\d+)*", value):
            raise ConfigError(
                f"--update-freq must be steps, as in 4 or 4,2,1, got {value!r}; see --help"
            )
    parsed, unknown = fairseq.parse_args_and_arch(parser, arguments, parse_known=True)
    if unknown:
        name = unknown[0].partition("=")[0]
        if not is_given(name, given):
            chosen = [one for one in _CHOICES if is_given(one, given)]
            raise ConfigError(
                f"{' and '.join(chosen)} does not go with the recipe's {name}; leave it out"
            )
        known = [*parser._option_string_actions, *OWN]
        raise ConfigError(
            f"unknown option {name}; {did_you_mean(name, known, 'see --help')}".strip()
        )
    check_values(vars(parsed))
    return parsed


def check_betas(text: str) -> None:
    """Raise a ConfigError where fairseq could not make two numbers of ``--adam-betas``."""
    try:
        betas = ast.literal_eval(text)
        right = len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
    except (SyntaxError, ValueError, TypeError):
        right = False
    if not right:
        raise ConfigError(f"--adam-betas must be as '(0.9,0.999)', got {text}; see --help")


def check_values(options: dict[str, Any]) -> None:
    """Raise a ConfigError at a value outside its limits; fairseq has lists of some."""
    restore = options.get("restore_file", LAST)
    if restore != LAST and not Path(restore).is_file():
        raise ConfigError(f"--restore-file {restore}: no such file; fairseq would start afresh")
    if options.get("max_epoch") == 0 and options.get("max_update") == 0:
        raise ConfigError("the run would never end; give --max-epoch or --max-update")
    if (betas := options.get("adam_betas")) is not None:
        check_betas(betas)
    if len(rates := options.get("lr") or []) > 1:
        raise ConfigError(f"--lr must be one rate, got {', '.join(map(str, rates))}; see --help")
    for names, allowed, words in LIMITS:
        for name in names:
            value = options.get(name)
            for one in value if isinstance(value, list) else [value]:
                if one is not None and not (allowed(one) and math.isfinite(one)):
                    raise ConfigError(
                        f"--{name.replace('_', '-')} must be {words}, got {one}; see --help"
                    )
