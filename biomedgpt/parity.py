"""Check that this machine computes the reference function, from golden numbers.

A golden prefix is a pair of files: ``PREFIX.json`` (the state-dict keys and sizes of a reference
model) and ``PREFIX.npz`` (inputs and the outputs of the reference for synthetic weights). The
weights follow a rule (`golden_weights`), so no checkpoint is needed.
"""

import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from biomedgpt.checkpoints.option_names import RESNETS
from biomedgpt.checkpoints.state_dict import check_keys
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import CheckpointError, ConfigError, DataError
from biomedgpt.generation import generate
from biomedgpt.model import BiomedGPT, ModelConfig

TOLERANCE = 1e-4
"""Largest absolute error in float32 on logits, log-sums, scores and losses."""

Arrays = dict[str, NDArray[Any]]

INPUTS = ("src_tokens", "prev_output_tokens", "patch_images", "patch_masks")
OUTPUTS = ("encoder_out", "encoder_out_sum", "logsumexp", "argmax")
_DIMENSIONS = ("embed_dim", "ffn_dim", "heads", "encoder_layers", "decoder_layers")
_NUMBERS = ("dictionary", *_DIMENSIONS, "num_parameters")
SEARCH = re.compile(r"gen/beam\d+_ngram\d+/\d+/")


@dataclass(frozen=True)
class CaseResult:
    """Outcome of one case."""

    name: str
    error: float
    """Largest error; that of sums and gradient norms is relative."""
    tolerance: float
    mismatches: int = 0
    """Tokens that had to be equal and are not."""
    detail: str = ""
    """Which of the compared numbers has the largest error."""

    @property
    def passed(self) -> bool:
        """Whether the case agrees with the reference."""
        return self.error <= self.tolerance and self.mismatches == 0


def load_golden(prefix: str | Path) -> tuple[dict[str, Any], Arrays]:
    """Read ``PREFIX.json`` and ``PREFIX.npz``.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    description_path, arrays_path = Path(f"{prefix}.json"), Path(f"{prefix}.npz")
    for path in (description_path, arrays_path):
        if not path.is_file():
            raise DataError(f"{path}: no such file; give the common prefix of a .json and a .npz")
    try:
        description = json.loads(description_path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{description_path}: damaged ({error}); get the file again") from error
    try:
        # Opened as an archive: for any other file numpy's advice is to unpickle it.
        with zipfile.ZipFile(arrays_path), np.load(arrays_path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (
        *(ValueError, OSError, EOFError, MemoryError),
        *(RuntimeError, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise DataError(f"{arrays_path}: damaged ({error}); get the file again") from error
    _check_description(description, description_path)
    _check_arrays(arrays, arrays_path, vocab_size=description["dictionary"])
    return description, arrays


def _check_description(description: Any, path: Path) -> None:
    """Raise a DataError unless everything that is read from a description is there."""
    if not isinstance(description, dict) or not isinstance(description.get("state_dict"), dict):
        raise DataError(f"{path}: key 'state_dict' is missing; get the file again")
    for key in _NUMBERS:
        if type(description.get(key)) is not int:
            raise DataError(f"{path}: key {key!r} is not a whole number; get the file again")
    for key, entry in description["state_dict"].items():
        match entry:
            case [list(shape), str()] if all(type(side) is int for side in shape):
                continue
        raise DataError(f"{path}: state_dict {key!r} is not a shape and a type; get it again")
    tied = description.get("tied")
    if not isinstance(tied, list) or not all(isinstance(p, list) and len(p) == 2 for p in tied):
        raise DataError(f"{path}: key 'tied' is not a list of pairs; get the file again")


def _check_arrays(arrays: Arrays, path: Path, *, vocab_size: int) -> None:
    """Raise a DataError unless every case has its arrays, and tokens are of the vocabulary."""
    names = [key.removesuffix("/logits_sample") for key in arrays if key.endswith("/logits_sample")]
    for name in names:
        outputs = [f"{name}/{key}" for key in OUTPUTS]
        inputs = INPUTS[:2] if name in ("text", "code") else INPUTS
        if name == "code":
            inputs = (*inputs, "patch_images")
        missing = [key for key in outputs if key not in arrays]
        missing += [key for key in inputs if not {key, f"{name}/{key}"} & arrays.keys()]
        if missing:
            raise DataError(f"{path}: case {name!r} lacks {', '.join(missing)}; get it again")
    for key, array in arrays.items():
        if key.rpartition("/")[2] in INPUTS[:2]:
            whole = array.ndim == 2 and array.dtype.kind == "i" and array.size > 0
            if not whole or array.min() < 0 or array.max() >= vocab_size:
                raise DataError(f"{path}: {key} are not tokens 0..{vocab_size - 1}; get it again")
        if key.startswith("gen/") and not SEARCH.match(key):
            raise DataError(f"{path}: {key!r} names no beam search; get the file again")


def check_device(name: str) -> None:
    """Raise a ConfigError unless torch can compute on the device ``name``."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: built without CUDA
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name}: {reason}; see `biomedgpt doctor`") from error


def golden_config(description: dict[str, Any]) -> ModelConfig:
    """Return the model configuration that a golden description stands for."""
    shapes = {key: shape for key, (shape, _) in description["state_dict"].items()}
    blocks = {name: blocks for blocks, name in RESNETS.items()}
    try:
        return ModelConfig(
            max_positions=shapes["encoder.embed_positions.weight"][0] - 2,
            token_bucket_size=(shapes["encoder.token_rel_pos_table_list.0.weight"][0] + 1) // 2,
            image_bucket_size=math.isqrt(shapes["encoder.embed_image_positions.weight"][0] - 1),
            vocab_size=description["dictionary"],
            **{name: description[name] for name in _DIMENSIONS},
            resnet_blocks=blocks[description["resnet"]],
        )
    except KeyError as error:
        raise DataError(f"golden description lacks, or has an unknown, {error}") from error


def golden_weights(description: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the synthetic weight of each floating-point key, one at a time to save memory."""
    tied = {key for key, _ in description["tied"]}
    for key, (shape, dtype) in description["state_dict"].items():
        if key in tied or key.endswith(".version") or not dtype.startswith("float"):
            continue
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        x = rng.standard_normal(shape).astype(np.float32)
        name = key.rsplit(".", 1)[-1]
        if len(shape) >= 2:
            scale = 0.1 if "embed" in key or "rel_pos_table" in key else np.prod(shape[1:]) ** -0.5
            yield key, torch.from_numpy(x * np.float32(scale))
            continue
        base = 1.0 if name in ("weight", "running_var", "c_attn", "w_resid") else 0.0
        if name == "weight" and "embed_images" in key:
            base = 0.3
        if name == "weight" and key.endswith("layernorm_embedding.weight"):
            base = 0.1
        if name == "running_var":
            x = np.abs(x)
        yield key, torch.from_numpy(np.float32(base) + np.float32(0.05) * x)


def golden_model(description: dict[str, Any], *, device: str | torch.device = "cpu") -> BiomedGPT:
    """Build the model of a golden description with its synthetic weights, in evaluation mode.

    Raises:
        CheckpointError: the model's keys, shapes or parameter count are not the reference's.
    """
    with torch.device("meta"):
        model = BiomedGPT(golden_config(description))
    shapes = {key: shape for key, (shape, _) in description["state_dict"].items()}
    check_keys(model, shapes, source="golden description")
    if model.num_parameters() != description["num_parameters"]:
        raise CheckpointError(
            f"golden description has {description['num_parameters']} parameters, "
            f"the model {model.num_parameters()}"
        )
    # Filled in place rather than through a state dict: the largest sizes then fit in memory once.
    model = model.to_empty(device=device)
    model.tie_embeddings()
    state = model.state_dict()
    for key, value in golden_weights(description):
        state[key].copy_(value)
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            value.zero_()
    return model.eval()


def run_model(model: BiomedGPT, arrays: Arrays) -> Iterator[CaseResult]:
    """Run every case found in the arrays with a model that has the golden weights, one by one."""
    names = [key.removesuffix("/logits_sample") for key in arrays if key.endswith("/logits_sample")]
    for name in names:
        yield _forward_case(model, arrays, name)
    if "grad/loss" in arrays:
        yield _gradient_case(model, arrays)
    for search in sorted({key.split("/")[1] for key in arrays if key.startswith("gen/")}):
        yield _generation_case(model, arrays, search)


def _inputs(model: BiomedGPT, arrays: Arrays, name: str) -> dict[str, Tensor]:
    """Return the model's inputs for a case; a case's own arrays go before the shared ones."""
    device = next(model.parameters()).device

    def tensor(key: str) -> Tensor:
        return torch.from_numpy(arrays.get(f"{name}/{key}", arrays[key])).to(device)

    inputs = {key: tensor(key) for key in INPUTS[:2]}
    batch = len(inputs["src_tokens"])
    if name != "text":
        inputs["patch_images"] = tensor("patch_images").float()
        inputs["patch_masks"] = tensor("patch_masks").bool()
    if name == "code":
        inputs["patch_masks"] = torch.ones(batch, dtype=torch.bool, device=device)
        inputs["code_masks"] = torch.ones(batch, dtype=torch.bool, device=device)
    return inputs


@torch.no_grad()
def _forward_case(model: BiomedGPT, arrays: Arrays, name: str) -> CaseResult:
    inputs = _inputs(model, arrays, name)
    source = model.encoder(
        inputs["src_tokens"], inputs.get("patch_images"), inputs.get("patch_masks")
    )
    logits = model.decoder(inputs["prev_output_tokens"], source, inputs.get("code_masks"))
    errors = {
        "encoder_out": _error(source.hidden[:, ::8, ::16], arrays[f"{name}/encoder_out"]),
        "logits": _error(logits[:, :, ::101], arrays[f"{name}/logits_sample"]),
        "logsumexp": _error(logits.logsumexp(-1), arrays[f"{name}/logsumexp"]),
    }
    wrong = int((logits.argmax(-1).cpu().numpy() != arrays[f"{name}/argmax"]).sum())
    # The sum runs over many entries, so its rounding grows with their size, not with the sum's.
    total = source.hidden.double()
    expected_sum = float(arrays[f"{name}/encoder_out_sum"])
    scale = max(float(total.abs().sum()), 1.0)
    errors["encoder_out_sum"] = abs(float(total.sum()) - expected_sum) / scale
    return _result(name, errors, wrong)


def _gradient_case(model: BiomedGPT, arrays: Arrays) -> CaseResult:
    inputs = _inputs(model, arrays, "image_text")
    tokens = inputs["prev_output_tokens"]
    target = torch.cat([tokens[:, 1:], torch.full_like(tokens[:, :1], 2)], dim=1)
    loss = F.cross_entropy(model(**inputs).flatten(0, 1), target.flatten())
    loss.backward()
    errors = {"loss": abs(loss.item() - float(arrays["grad/loss"]))}
    parameters = dict(model.named_parameters())
    for key, expected in zip(arrays["grad/names"], arrays["grad/norms"], strict=True):
        gradient = parameters[str(key)].grad
        # In double precision: summing 15 million squares in float32 loses the fourth digit.
        norm = 0.0 if gradient is None else float(gradient.double().norm())
        # Relative, but gradients that are zero but for rounding have no relative error.
        errors[f"norm of {key}"] = abs(norm - float(expected)) / max(float(expected), 1e-2)
    model.zero_grad(set_to_none=True)
    return _result("grad", errors, 0)


def _generation_case(model: BiomedGPT, arrays: Arrays, search: str) -> CaseResult:
    inputs = _inputs(model, arrays, "image_text")
    del inputs["prev_output_tokens"]
    beam, ngram = (int("".join(filter(str.isdigit, part))) for part in search.split("_"))
    config = GenerationConfig(beam=beam, max_len=16, min_len=1, no_repeat_ngram_size=ngram)
    found = generate(model, inputs, config=config)
    errors: dict[str, float] = {}
    wrong = 0
    for row, hypotheses in enumerate(found):
        if f"gen/{search}/{row}/tokens" not in arrays:
            continue
        tokens, scores = (arrays[f"gen/{search}/{row}/{key}"] for key in ("tokens", "scores"))
        if len(hypotheses) < len(tokens):
            wrong += int((tokens[len(hypotheses) :] != model.config.pad).sum())
        for index, hypothesis in enumerate(hypotheses[: len(tokens)]):
            expected = tokens[index][tokens[index] != model.config.pad]
            wrong += int(hypothesis.tokens.tolist() != expected.tolist())
            error = abs(hypothesis.score - float(scores[index]))
            errors[f"row {row} hypothesis {index}"] = error
    return _result(f"gen/{search}", errors, wrong)


def _error(found: Tensor, expected: NDArray[Any]) -> float:
    if tuple(found.shape) != expected.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    return float(np.abs(found.float().cpu().numpy() - expected).max())


def _result(name: str, errors: dict[str, float], wrong: int) -> CaseResult:
    worst = max(errors, key=lambda key: errors[key], default="nothing compared")
    error = errors.get(worst, float("inf"))
    if np.isnan(list(errors.values())).any():
        error = float("nan")
    return CaseResult(name, error, TOLERANCE, wrong, worst)
