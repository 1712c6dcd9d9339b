"""Files of weights with some bytes changed, and what reading them says.

    python tests/helpers/changed_bytes.py --each 300

writes a checkpoint in every form, changes bytes of it at random (one bit, a stretch of up to 64
bytes, or the end cut off), and reads it as its users do. Status 1 if anything was read that was not
written, or ended in anything but one line. Formats that have no checksum and no record of one
(torch files from before 2020, what others published as safetensors or YAML) are not among them.
"""

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from checkpoint_samples import run_state, small_checkpoint
from torch import Tensor
from vqgan_samples import small_tokenizer

from biomedgpt.checkpoints.checkpoint import load_checkpoint, read_checkpoint
from biomedgpt.checkpoints.embedded import KEY, embed, pack
from biomedgpt.checkpoints.fairseq_files import write_fairseq
from biomedgpt.checkpoints.hashes import with_hashes
from biomedgpt.checkpoints.huggingface import write_huggingface
from biomedgpt.checkpoints.native import write_native
from biomedgpt.checkpoints.torch_file import PACKAGES, plain, read_torch_file
from biomedgpt.errors import BiomedGPTError
from biomedgpt.files import WEIGHTS, reading_ahead, write_json
from biomedgpt.inference.beside import CALIBRATION, fingerprint, with_calibration
from biomedgpt.vqgan.tokenizer import ImageTokenizer
from biomedgpt.vqgan.train import TrainOptions

Outcome = Literal["refused", "the same", "SILENT", "NOT ONE LINE"]
BAD: tuple[Outcome, ...] = ("SILENT", "NOT ONE LINE")
LONG_AGO = (1_600_000_000, 1_600_000_000)


@dataclass(frozen=True)
class Kind:
    """Files of one form."""

    write: Callable[[Path], None]
    """Into a folder that is there."""
    read: Callable[[Path], Any]
    """What their users take from them, comparable by `same`."""
    files: str = "*"
    """Pattern of those that are changed."""


def same(one: object, other: object) -> bool:
    """Say whether two values are alike, tensors bit by bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and _bytes(one) == _bytes(other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__dict__") and type(one) is type(other):
        return same(vars(one), vars(other))
    return type(one) is type(other) and one == other


def _bytes(value: Tensor) -> bytes:
    return value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def change(content: bytes, draw: random.Random) -> bytes:
    """Return other bytes: a bit, a stretch, or the end of a file is not what it was."""
    place = draw.randrange(len(content))
    if draw.random() < 0.3:  # what says where things are, at either end of most files
        place = draw.choice((place % 512, len(content) - 1 - place % min(2048, len(content))))
    changed = bytearray(content)
    match draw.choice(("bit", "stretch", "end")):
        case "bit":
            changed[place] ^= 1 << draw.randrange(8)
        case "stretch":
            stretch = draw.randbytes(draw.randint(1, 64))
            changed[place : place + len(stretch)] = stretch[: len(content) - place]
        case "end":
            del changed[place:]
    return bytes(changed) if changed != content else change(content, draw)


def _read_stored(path: Path) -> Any:
    stored = read_checkpoint(path)
    return stored.weights, stored.description, stored.vocabulary.fingerprint


def _read_file(path: Path) -> Any:
    """All of a file, as training resumes from it."""
    file = path / "checkpoint_best.pt"
    return _read_stored(file), plain_state(read_torch_file(file, packages=PACKAGES, fix="fix it"))


def plain_state(state: Mapping[str, Any]) -> Any:
    """Return a state of which namespaces are dicts; tensors stay."""
    return {key: value if isinstance(value, dict) else plain(value) for key, value in state.items()}


def _write_run(folder: Path) -> None:
    """A run with its average and the state of its optimizer."""
    stored = small_checkpoint(task="vqa", answers=("yes", "no"))
    state = run_state(stored)
    moments = {key: value.abs() for key, value in stored.weights.items()}
    state["extra_state"] |= {"ema": dict(stored.weights), "seed": 1}
    state["extra_state"][KEY] = embed(stored.description, pack(stored.vocabulary))
    state["last_optimizer_state"] = {"state": {0: moments}, "param_groups": [{"lr": 0.1}]}
    torch.save(state, folder / "checkpoint_best.pt")


def _read_ahead(path: Path) -> Any:
    with reading_ahead(path / WEIGHTS):
        return _read_stored(path)


def _write_calibrated(folder: Path) -> None:
    """A run with a temperature beside it."""
    _write_run(folder)
    weights = fingerprint(load_checkpoint(folder).model)
    content = {"temperature": 1.5, "ece": 0.0123, "weights": weights}
    path = folder / CALIBRATION
    write_json(path, with_hashes(content, path, {}))


def _read_calibrated(folder: Path) -> Any:
    return with_calibration(load_checkpoint(folder), folder).info


def _read_tokenizer(path: Path) -> Any:
    tokenizer = ImageTokenizer.load(path / "vqgan")
    return tokenizer.network.state_dict(), tokenizer.network.config, tokenizer.fingerprint


def _write_training(folder: Path) -> None:
    """The state that `vqgan train` resumes from."""
    network = small_tokenizer().network
    state = {"identity": vars(TrainOptions()), "update": 100, "network": network.state_dict()}
    torch.save(state, folder / "training.pt")


def _stored(**info: Any) -> Any:
    return small_checkpoint(task="vqa", answers=("yes", "no"), notes=("A note.",), **info)


KINDS: Mapping[str, Kind] = {
    ".pt of a run": Kind(_write_run, _read_file),
    ".pt, converted": Kind(
        lambda folder: write_fairseq(_stored(), folder / "checkpoint_best.pt"), _read_file
    ),
    "native": Kind(
        lambda folder: write_native(_stored(), folder / "out"), lambda f: _read_stored(f / "out")
    ),
    "hf": Kind(
        lambda folder: write_huggingface(_stored(), folder / "out"),
        lambda f: _read_stored(f / "out"),
    ),
    "config.json": Kind(
        lambda folder: write_native(_stored(), folder / "out"),
        lambda f: _read_stored(f / "out"),
        "config.json",
    ),
    "config.json of hf": Kind(
        lambda folder: write_huggingface(_stored(), folder / "out"),
        lambda f: _read_stored(f / "out"),
        "*.json",
    ),
    "native, read ahead": Kind(
        lambda folder: write_native(_stored(), folder / "out"), lambda f: _read_ahead(f / "out")
    ),
    "calibration.json": Kind(_write_calibrated, _read_calibrated, CALIBRATION),
    "VQ-GAN": Kind(lambda folder: small_tokenizer().save(folder / "vqgan"), _read_tokenizer),
    "vqgan.json": Kind(
        lambda folder: small_tokenizer().save(folder / "vqgan", {"valid_psnr": 25.4}),
        _read_tokenizer,
        "vqgan.json",
    ),
    "training.pt of a VQ-GAN": Kind(
        _write_training, lambda f: read_torch_file(f / "training.pt", fix="fix it")
    ),
}


def outcomes(name: str, folder: Path, *, count: int, seed: int) -> Counter[Outcome]:
    """Change files of a kind so often; return what came of it.

    They were read, and found right, before: what is noted of a file must not outlive the change,
    even where its time is what it was.
    """
    kind, draw = KINDS[name], random.Random(f"{name} {seed}")
    kind.write(folder)
    paths = [path for path in sorted(folder.rglob(kind.files)) if path.is_file()]
    for path in paths:
        os.utime(path, LONG_AGO)
    wanted = kind.read(folder)
    found: Counter[Outcome] = Counter()
    for _ in range(count):
        path = draw.choice(paths)
        content = path.read_bytes()
        path.write_bytes(change(content, draw))
        os.utime(path, LONG_AGO)
        found[_outcome(kind, folder, wanted)] += 1
        path.write_bytes(content)
        os.utime(path, LONG_AGO)
    if not same(kind.read(folder), wanted):
        raise AssertionError(f"{name}: not what it was at the end")
    return found


def _outcome(kind: Kind, folder: Path, wanted: object) -> Outcome:
    try:
        found = kind.read(folder)
    except BiomedGPTError as error:
        return "NOT ONE LINE" if "\n" in str(error) else "refused"
    except Exception:
        return "NOT ONE LINE"
    return "the same" if same(found, wanted) else "SILENT"


def main() -> int:
    """Change each kind; return 1 if anything went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--each", type=int, default=300, metavar="N", help="of each kind (300)")
    parser.add_argument("--seed", type=int, default=1, help="(1)")
    args = parser.parse_args()
    bad = 0
    for name in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            found = outcomes(name, Path(folder), count=args.each, seed=args.seed)
        bad += sum(found[one] for one in BAD)
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items()))
        print(f"{name:<26} {told}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
