"""Checkpoints that OFA and BiomedGPT released: files of fairseq, by the published key names.

They hold weights, sometimes their moving average, heads of classifiers, and the options of the
program that wrote them, as a namespace of argparse or as containers of omegaconf. Of these only
tensors and plain values are taken; no path in them is looked up, and no object is made.

What older files call otherwise is renamed as the reference does when it loads them. What the
reference fills in at random (`biomedgpt.checkpoints.interpolation`) or drops is said in the notes.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from biomedgpt.checkpoints.description import (
    AVERAGED,
    CheckpointInfo,
    Description,
    Preprocessing,
    options_of,
)
from biomedgpt.checkpoints.embedded import unpack
from biomedgpt.checkpoints.interpolation import fit_positions
from biomedgpt.checkpoints.option_names import TASK_OPTIONS
from biomedgpt.checkpoints.settings import updates_of
from biomedgpt.checkpoints.source import FIX, Contents, Source, own_vocabulary
from biomedgpt.checkpoints.state_dict import (
    CODE_POSITIONS,
    EMBEDDING_KEY,
    count_layers,
    essential,
    identify_size,
    shapes_of,
)
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.checkpoints.torch_file import plain, tensors
from biomedgpt.errors import CheckpointError, ConfigError, VocabularyError
from biomedgpt.files import parse_json
from biomedgpt.model import PRESETS, ModelConfig
from biomedgpt.model.decoder import CODE_STRIDE
from biomedgpt.tasks import get_task
from biomedgpt.vocabulary import BPE_VARIABLE, Vocabulary

_FIX_CONVERTED = "convert it again"
LICENCE = "not in the file; BiomedGPT: academic research only, no commercial or clinical use"

# Of the published tasks, and what they are here.
_TASKS = {
    "vqa_gen": "vqa",
    "caption": "captioning",
    "image_classify": "classification",
    "gigaword": "summarization",
    "mnli": "entailment",
}
# Options that change the function of the model, with the only value there is code for here.
_FIXED: Mapping[str, Any] = {
    "activation_fn": "gelu",
    "attn_scale_factor": 2,
    "no_scale_embedding": True,
    "disable_entangle": True,
    "encoder_normalize_before": True,
    "decoder_normalize_before": True,
    "encoder_prompt": False,
    "decoder_prompt": False,
    "adapter": False,
}
_LAYER_NORMS = {
    "encoder": ("self_attn_layer_norm", "final_layer_norm"),
    "decoder": ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
}
_OLD_NORM = re.compile(r"(encoder|decoder)(\.layers\.\d+\.)layer_norms\.(\d)\.(weight|bias)")
_OLD_PROJECTIONS = re.compile(r"(.+)\.in_proj_(weight|bias)")
_HEAD = re.compile(r"classification_heads\.([^.]+)\.")
_MOST_ANSWERS = 100_000
_NO_CODE = 1024  # what the index of code positions holds where there is none


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """What a published file holds."""

    weights: dict[str, Tensor]
    """As they are in the file, the moving average in their place if it was asked for."""
    averaged: bool = False
    options: dict[str, Any]
    """Options of model and task, plain values."""
    task: str | None = None
    """Name of the published task."""
    updates: int | None = None
    """How long it was trained."""


def parse_published(state: Mapping[str, Any], path: Path, *, ema: bool = True) -> PublishedFile:
    """Return what a published checkpoint holds.

    Args:
        state: content of the file.
        path: of the file, for messages.
        ema: take the moving average of the weights where there is one.

    Raises:
        CheckpointError: there are no weights in it.
    """
    extra = state.get("extra_state")
    averages = average_of(extra, where=str(path)) if ema and isinstance(extra, Mapping) else None
    if averages is None and "model" in state:
        weights = tensors(state["model"], where=f"{path}: model")
    elif averages is not None:
        weights = averages
    else:
        # Weights alone, as `torch.save(model.state_dict())` writes them.
        weights = tensors(state, where=str(path))
    if all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    if EMBEDDING_KEY not in weights or weights[EMBEDDING_KEY].dim() != 2:
        raise CheckpointError(
            f"{path}: no OFA or BiomedGPT model in it (no {EMBEDDING_KEY}); {FIX}"
        )
    options, task = _options(state)
    return PublishedFile(
        weights=weights,
        averaged=averages is not None,
        options=options,
        task=task,
        updates=updates_of(state),
    )


def average_of(extra: Mapping[str, Any], *, where: str) -> dict[str, Tensor] | None:
    """Return the moving average that fairseq stored, the float32 copy of it where there is one."""
    if not extra.get("ema"):
        return None
    averages = tensors(extra["ema"], where=f"{where}: extra_state ema")
    if extra.get("ema_fp32_params"):
        precise = tensors(extra["ema_fp32_params"], where=f"{where}: extra_state ema_fp32_params")
        averages.update({key: value for key, value in precise.items() if key in averages})
    return averages


def _options(state: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return options of model and task, and the name of the task."""
    arguments = plain(state.get("args"))
    if isinstance(arguments, dict):  # before fairseq's configuration files: all in one
        task = arguments.get("task")
        return arguments, task if isinstance(task, str) else None
    config = plain(state.get("cfg"))
    if not isinstance(config, dict):
        return {}, None
    model, task = (
        part if isinstance(part := config.get(name), dict) else {} for name in ("model", "task")
    )
    name = task.get("_name") or model.get("task")
    named = {"arch": model["_name"]} if isinstance(model.get("_name"), str) else {}
    return named | model | task, name if isinstance(name, str) else None


class PublishedFormat:
    """Files of fairseq by the published key names, those of ``convert`` among them.

    See `biomedgpt.checkpoints.formats.Format`.
    """

    name = "fairseq"

    def recognises(self, source: Source) -> bool:
        """Say whether it is a torch file, and not one of our runs."""
        return source.file is not None and not is_run(source.state)

    def describe(self, source: Source) -> Contents:
        """Return what is in a file."""
        state, path = source.state, source.torch_file
        published = parse_published(state, path, ema=False)
        described, _ = unpack(state, path, fix=_FIX_CONVERTED) or (None, None)
        extra, options = state.get("extra_state"), published.options
        average = average_of(extra, where=str(path)) if isinstance(extra, dict) else None
        preprocessing, info = purpose(published, path)
        found = Contents(
            file=path,
            weights=published.weights,
            preprocessing=preprocessing if "patch_image_size" in options else None,
            info=info,
            average=average or {},
            published_task=published.task,
            updates=published.updates,
            options=options,
            classes=source.classes,
        )
        return modern_contents(found, published, described)

    def read(self, source: Source, *, vocabulary: str | Path | None, ema: bool) -> StoredCheckpoint:
        """Read a file; where we did not write it, its vocabulary is given or lies beside it."""
        state, path = source.state, source.torch_file
        described, own = unpack(state, path, fix=_FIX_CONVERTED) or (None, None)
        published = parse_published(state, path, ema=ema)
        if own is None:
            loaded = Vocabulary.load(_find_vocabulary(path, vocabulary))
        else:
            loaded = own_vocabulary(own, vocabulary, path)
        weights, config, notes = modern_weights(published, source=str(path))
        if described is None:
            preprocessing, info = purpose(published, path, notes)
            described = Description(config=config, preprocessing=preprocessing, info=info)
        return StoredCheckpoint.of(described, weights, loaded)


def is_run(state: Mapping[str, Any]) -> bool:
    """Say whether the content of a file is that of a checkpoint of one of our runs."""
    try:
        return str(state["cfg"]["model"]["_name"]).startswith("biomedgpt")
    except (KeyError, TypeError, AttributeError):
        return False


def _find_vocabulary(path: Path, given: str | Path | None) -> Path:
    """Return the folder of the vocabulary of a checkpoint that has none in it.

    Raises:
        VocabularyError: none was given, and none lies beside it.
    """
    if given is not None:
        return Path(given)
    for folder in (path.parent / "vocabulary", path.parent):
        if (folder / "vocabulary.json").is_file() or (folder / "dict.txt").is_file():
            return folder
    if os.environ.get(BPE_VARIABLE):
        return Path(os.environ[BPE_VARIABLE])
    raise VocabularyError(
        f"{path}: published checkpoints come without their vocabulary; give its folder "
        f"(encoder.json, vocab.bpe, dict.txt) with --vocabulary DIR or ${BPE_VARIABLE}"
    )


def modern_contents(
    found: Contents, published: PublishedFile, described: Description | None
) -> Contents:
    """Return what is in a file, its weights brought up to date as far as that goes.

    Args:
        found: what is known if it does not describe itself.
        published: what was read from it.
        described: what the checkpoint says about itself, if it does.
    """
    if described is not None:
        found = replace(found, **vars(described))
    try:
        weights, config, notes = modern_weights(published, source=str(found.file))
    except CheckpointError as error:
        size = identify_size(shapes_of(found.weights))
        return replace(found, config=None if size is None else PRESETS[size], problem=str(error))
    found = replace(found, weights=weights, keys=len(published.weights))
    if described is not None:
        return found
    notes = list(dict.fromkeys((*found.info.notes, *notes)))
    return replace(found, config=config, info=replace(found.info, notes=tuple(notes)))


def modern_weights(
    published: PublishedFile, *, source: str
) -> tuple[dict[str, Tensor], ModelConfig, list[str]]:
    """Return weights by today's names, the configuration they belong to, and what was changed.

    Raises:
        CheckpointError: the options are those of another architecture, or shapes make no sense.
    """
    for name, wanted in _FIXED.items():
        found = published.options.get(name, wanted)
        if found != wanted:
            raise CheckpointError(
                f"{source}: trained with {name} {found!r}, and this program has only {wanted!r}"
            )
    notes: list[str] = []
    weights = _renamed(published.weights, notes)
    weights = _without_heads(weights, notes)
    config = infer_config(weights, published.options, source=source)
    fitted = fit_positions(weights, config, source=source)
    grown = [key for key, value in weights.items() if key in fitted and fitted[key] is not value]
    if grown:
        notes.append(f"Position tables were enlarged: {', '.join(grown)}.")
    return essential(fitted, config, source=source), config, notes


def _renamed(weights: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Give weights of early fairseq versions the names they have had since."""
    renamed: dict[str, Tensor] = {}
    count = 0
    for key, value in weights.items():
        if found := _OLD_NORM.fullmatch(key):
            part, layer, number, kind = found.groups()
            names = _LAYER_NORMS[part]
            if int(number) < len(names):
                renamed[f"{part}{layer}{names[int(number)]}.{kind}"] = value
                count += 1
                continue
        found = _OLD_PROJECTIONS.fullmatch(key)
        if found and len(value) % 3 == 0:
            stem, kind = found.groups()
            for name, third in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{stem}.{name}_proj.{kind}"] = third
            count += 1
        else:
            renamed[key] = value
    if count:
        notes.append(f"{count} weights have names of an earlier version and were renamed.")
    return renamed


def _without_heads(weights: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Leave out the heads of classifiers, which this model has no use for."""
    for name in dict.fromkeys(found[1] for key in weights if (found := _HEAD.match(key))):
        out = weights.get(f"classification_heads.{name}.out_proj.weight")
        size = "" if out is None else f" of {len(out)} classes"
        notes.append(f"The classification head {name!r}{size} was left out.")
    return {key: value for key, value in weights.items() if not _HEAD.match(key)}


def infer_config(
    weights: Mapping[str, Tensor], options: Mapping[str, Any], *, source: str
) -> ModelConfig:
    """Return the configuration that weights belong to, by their shapes.

    Args:
        weights: by the published key names.
        options: of the program that wrote them, for what no shape tells.
        source: how to call the weights in an error.

    Raises:
        CheckpointError: a weight that tells is missing, or of a shape that makes no sense.
    """

    def rows(*keys: str) -> int:
        return max(len(weights[key]) for key in keys if key in weights)

    try:
        tables = [f"{part}.embed_image_positions.weight" for part in ("encoder", "decoder")]
        resnet = "encoder.embed_images."
        first, second, third = (count_layers(weights, f"{resnet}layer{n}") for n in (1, 2, 3))
        return ModelConfig(
            vocab_size=rows(EMBEDDING_KEY),
            embed_dim=weights[EMBEDDING_KEY].shape[1],
            ffn_dim=rows("encoder.layers.0.fc1.weight"),
            heads=rows("encoder.layers.0.self_attn.c_attn"),
            encoder_layers=count_layers(weights, "encoder.layers"),
            decoder_layers=count_layers(weights, "decoder.layers"),
            resnet_blocks=(first, second, third),
            resnet_width=rows(f"{resnet}conv1.weight"),
            max_positions=rows("encoder.embed_positions.weight", "decoder.embed_positions.weight")
            - 2,
            token_bucket_size=(rows("encoder.token_rel_pos_table_list.0.weight") + 1) // 2,
            image_bucket_size=math.isqrt(rows(*tables) - 1),
            code_image_size=_integer(options, "code_image_size") or _code_image_size(weights),
            orig_patch_image_size=_integer(options, "orig_patch_image_size") or 256,
            interpolate_position=options.get("interpolate_position") is True,
        )
    except (KeyError, ValueError, IndexError, TypeError, ConfigError) as error:
        raise CheckpointError(
            f"{source}: not the weights of an OFA or BiomedGPT model ({error}); {FIX}"
        ) from error


def _code_image_size(weights: Mapping[str, Tensor]) -> int:
    """Return what the index of code positions tells, where no option does."""
    index = weights.get(CODE_POSITIONS)
    if index is None or index.dim() != 1:
        return 128
    unused = (index == _NO_CODE).nonzero()
    codes = int(unused[0]) - 1 if len(unused) else 0  # the first entry is the start of sequence
    return math.isqrt(codes) * CODE_STRIDE if codes > 0 else 128


def _integer(options: Mapping[str, Any], name: str) -> int | None:
    value = options.get(name)
    return value if type(value) is int and 0 < value <= 4096 else None


def purpose(
    published: PublishedFile, path: Path, notes: Iterable[str] = ()
) -> tuple[Preprocessing, CheckpointInfo]:
    """Return how a checkpoint wants its images, and what it was trained for, as far as is known.

    Args:
        published: content of the file.
        path: of the file.
        notes: what was changed when its weights were read.
    """
    options = published.options
    preprocessing = Preprocessing.trained_with(
        _integer(options, "patch_image_size"),
        max_image_size=_integer(options, "max_image_size"),
        imagenet=options.get("imagenet_default_mean_and_std") is True,
    )
    said = [AVERAGED] if published.averaged else []
    said += notes
    task = None if published.task is None else _TASKS.get(published.task)
    kept, answers = ({}, ()) if task is None else _task_options(options, task, said)
    info = CheckpointInfo(
        name=path.stem,
        task=task,
        task_options=kept,
        decoding=None if task is None else get_task(task).decoding,
        answers=answers,
        licence=LICENCE,
        source=f"published checkpoint {path.name}",
        notes=tuple(said),
    )
    return preprocessing, info


def _task_options(
    options: Mapping[str, Any], task: str, notes: list[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return options of our task, and its candidate answers, as far as they are known."""
    definition = get_task(task)
    known = options_of(definition)
    kept = {
        ours: options[theirs]
        for theirs, ours in TASK_OPTIONS.items()
        if ours in known and type(options.get(theirs)) is type(known[ours])
    }
    answers: tuple[str, ...] = ()
    if options.get("unconstrained_training") is True:
        kept["constrained"] = False
    elif options.get("ans2label_file") is not None:
        notes.append(
            "Its candidate answers were in a file of the authors (option ans2label_file), which "
            "is not looked up; give them, or answers are free text."
        )
    else:
        answers = _answers(options.get("ans2label_dict"))
    try:
        definition.with_(**kept)
    except ConfigError as error:
        notes.append(f"Its task options were left out: {error}.")
        kept = {}
    return kept, answers


def _answers(text: object) -> tuple[str, ...]:
    """Return the answers of a JSON object of answer and number; none if it is something else."""
    found = parse_json(text) if isinstance(text, str) else None
    if not isinstance(found, dict) or len(found) > _MOST_ANSWERS:
        return ()
    return tuple(answer.strip() for answer in found if answer.strip())
