"""Phantoms as instructions that ask for text and image, in MedMax's format.

Most dialogues ask for a drawing that is described afterwards; the answer is a text, the image, and
a text that is true of it. What was asked for leaves something open (where in the image lesions lie,
how large an organ is, often the lesions themselves), so that the description has to be read off the
drawing. The other dialogues ask about an image, so that both kinds are trained together.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from biomedgpt.data.phantom_releases.dialogues import ask_everything
from biomedgpt.data.phantoms.phantom import DEFAULT_SIZE, Phantom, draw
from biomedgpt.data.prepare import prepare
from biomedgpt.data.prepared.card import DatasetCard
from biomedgpt.data.prepared.writer import staged_folder
from biomedgpt.data.readers.medmax import ALL, FILES
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import ConfigError
from biomedgpt.tasks.dialogue import IMAGE_MARK

RAW_FOLDER, PREPARED_FOLDER = "raw", "instructions"
NAME = "medmax"
END_OF_TURN = "<END-OF-TURN>"
REQUESTS = (
    "Draw {} and describe it.",
    "Show me {}, then say what can be seen.",
    "Make a picture of {} and write its report.",
)
INTRODUCTIONS = ("here is {}.", "this is a drawing of {}.")

_DRAWN = 0.75
"""Share of dialogues that ask for a drawing."""
_OPEN = 0.3
"""Share of requests that leave open whether there are lesions."""
_GOES_ON = 0.5
"""Share of drawings that a question follows."""


def describe_request(phantom: Phantom, *, lesions: bool = True) -> str:
    """Return what is asked for, with an article: the caption, or its part without lesions."""
    asked = phantom.caption if lesions else phantom.caption.partition(" with")[0]
    return f"{'an' if asked[0] in 'aeiou' else 'a'} {asked}"


def dialogue(phantom: Phantom, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Draw one or two rounds about a phantom, with a mark where it is shown."""
    questions = ask_everything(phantom, rng)
    one = questions[int(rng.integers(len(questions)))]
    question = (one.whole[:1].upper() + one.whole[1:], one.answer)
    if rng.random() >= _DRAWN:
        return [(f"{IMAGE_MARK}\n{question[0]}", question[1])]
    wanted = describe_request(phantom, lesions=rng.random() >= _OPEN)
    asked = str(rng.choice(REQUESTS)).format(wanted)
    before = str(rng.choice(INTRODUCTIONS)).format(wanted)
    rounds = [(asked, f"{before} {IMAGE_MARK} {phantom.findings}")]
    return [*rounds, question] if rng.random() < _GOES_ON else rounds


def write_phantom_interleaved(
    out: str | Path,
    *,
    train: int = 2000,
    valid: int = 50,
    test: int = 200,
    size: int = DEFAULT_SIZE,
    seed: int = 1,
    vocabulary: bool = True,
    overwrite: bool = False,
) -> DatasetCard:
    """Write instructions that ask for drawings, as released and as prepared.

    ``out/raw`` holds a release in MedMax's format, ``out/instructions`` what its reader makes of
    it. To train on it, its images need codes: ``biomedgpt vqgan encode out/instructions``.

    Args:
        out: folder, which appears only when everything is in it.
        train: images with a dialogue each for training.
        valid: the same for validation.
        test: the same for testing.
        vocabulary: also train a vocabulary on the dialogues.
        size, seed, overwrite: see `biomedgpt.data.phantoms.phantom_dataset.write_phantoms`.

    Raises:
        ConfigError: a split without images, or ``out`` is taken.
    """
    if min(train, valid, test) < 1 or test >= train:
        raise ConfigError(
            f"{train}, {valid} and {test} images; give at least 1 each, and fewer for test than "
            "for training"
        )
    marker = f"{PREPARED_FOLDER}/dataset.json"
    with staged_folder(Path(out), overwrite=overwrite, marker=marker) as staged:
        raw = staged / RAW_FOLDER
        (raw / "images").mkdir(parents=True)
        for split, count in (("train", train + test), ("valid", valid)):
            lines = _records(raw / "images", split, count, seed=seed, size=size)
            with (raw / FILES[split]).open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
        # The reader holds out the least whole number of images that is this share or more.
        share = (test - 0.5) / (train + test)
        options = PrepareOptions(seed=seed, valid_fraction=share, part=ALL, vocabulary=vocabulary)
        return prepare(NAME, raw=raw, out=staged / PREPARED_FOLDER, options=options)


def _records(folder: Path, split: str, count: int, *, seed: int, size: int) -> Iterator[str]:
    drawn = draw(f"interleaved-{split}", count, seed=seed, size=size, what=split)
    for index, phantom in enumerate(drawn):
        name = f"{split}_{index:05d}.png"
        (folder / name).write_bytes(phantom.png())
        rounds = dialogue(phantom, np.random.default_rng((seed, index, len(split))))
        said = [text for turn in rounds for text in turn]
        text = "".join(f"{one}{END_OF_TURN}" for one in said)
        record = {
            "text": text,
            "image_path": name,
            "source": phantom.modality,
            "task": "generation" if IMAGE_MARK in said[1] else "understanding",
            "credential": "no",
        }
        yield json.dumps(record)
