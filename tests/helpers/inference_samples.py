"""Small checkpoints with random weights, as inference reads them."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing
from biomedgpt.checkpoints.native import write_native
from biomedgpt.checkpoints.state_dict import essential
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.vocabulary import Vocabulary

SIZE = 32
TEXTS = (
    " is there a lesion in the left lung?",
    " what is the summary of article the patient has no fever",
    " which region does the text describe? does the image describe",
    " can text1 imply text2? yes no maybe normal pneumonia options: a) b) c)",
)


def small_vocabulary() -> Vocabulary:
    """A vocabulary of the instructions."""
    return Vocabulary.train_sentencepiece(TEXTS, size=320, num_codes=16, num_bins=20)


def write_checkpoint(folder: Path, *, seed: int = 0, scale: float = 8.0, **info: Any) -> Path:
    """Write a `nano` with random weights; ``scale`` makes its answers depend on the question."""
    vocabulary = small_vocabulary()
    torch.manual_seed(seed)
    config = preset("nano", vocab_size=len(vocabulary), code_image_size=24)
    model = BiomedGPT(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("embed_tokens.weight"):
            parameter.data *= scale
    stored = StoredCheckpoint(
        weights=essential(model.state_dict(), config),
        config=config,
        vocabulary=vocabulary,
        preprocessing=Preprocessing(image_size=SIZE, max_image_size=2 * SIZE),
        info=CheckpointInfo(name=folder.name, **info),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_native(stored, folder)
    return folder


def picture(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """An image of noise; width and height in ``size``."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(values.numpy())


def write_images(folder: Path) -> Path:
    """Write five images, 0.png to 4.png."""
    folder.mkdir()
    for number in range(5):
        picture(number).save(folder / f"{number}.png")
    return folder


def write_table(
    path: Path, rows: Iterable[Sequence[str]], columns: Sequence[str] = ("image", "question")
) -> Path:
    """Write a table of questions."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the predictions in a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
