"""A stand-in for a model, and the page served with it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image

from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing
from biomedgpt.checkpoints.native import write_native
from biomedgpt.checkpoints.state_dict import essential
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.errors import DataError
from biomedgpt.inference import Alternative, Result
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.serve.menu import Menu
from biomedgpt.serve.model_card import ModelCard
from biomedgpt.serve.page import Page
from biomedgpt.serve.server import serving
from biomedgpt.vocabulary import Vocabulary

SECRET = "a secret of the visitor"
BOX = (16.0, 24.0, 48.0, 56.0)
"""What the stand-in finds in an image of 64 x 64 pixels."""


class StandIn:
    """Answers as `biomedgpt.inference.Predictor` does, always the same."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def ask(self, task, *, answers=None, image=None, **fields):
        return getattr(self, f"_{task}")(image, answers, **fields)

    def _vqa(self, image, answers, question):
        if answers is not None:
            return self._choose(question, answers, image=image)
        self.asked.append(("vqa", image.size, image.getpixel((0, 0)), question))
        if question == "fail":
            raise RuntimeError(SECRET)
        return Result(
            text="a <b>nodule</b> of ${1 + 1} mm",
            probability=0.7,
            calibrated=True,
            alternatives=(Alternative("cyst", 0.2), Alternative("none", 0.1)),
            warnings=("the text repeats itself",),
        )

    def _captioning(self, image, answers):
        return Result(text="an image", probability=0.5)

    def _classification(self, image, labels):
        return Result(
            text=labels[0],
            probability=0.9,
            alternatives=tuple(Alternative(one, 0.1) for one in labels[1:]),
        )

    def _grounding(self, image, answers, phrase):
        return Result(text="[16, 24, 48, 56]", probability=0.1, boxes=(BOX,))

    def _region_captioning(self, image, answers, box):
        if not box[0] < box[2] <= image.width:
            raise DataError("box: it reaches out of the image; fix it")
        self.asked.append(("region_captioning", image.size, tuple(box)))
        return Result(text="a region", probability=0.5)

    def _summarization(self, image, answers, source):
        return Result(text=f"short: {source[:10]}", probability=0.5)

    def _entailment(self, image, answers, sentence1, sentence2):
        return Result(text=f"{sentence1} / {sentence2}", probability=0.5)

    def _question_answering(self, image, answers, question, options, context):
        return self._choose(question, options, context=context)

    def _choose(self, question, options, *, context=None, image=None):
        self.asked.append(("choose", question, tuple(options), context, image))
        return Result(
            text=options[1], probability=0.6, alternatives=(Alternative(options[0], 0.4),)
        )

    @contextmanager
    def shared(self):
        yield

    def generate_image(self, text):
        return Result(text="", image=Image.new("RGB", (32, 32), (0, 128, 255)))


CARD = ModelCard(
    task="vqa",
    answers=("yes", "no"),
    facts=(
        ("Model", "stand-in <1>"),
        ("Size", "nano, 2.7 million parameters"),
        ("Task", "vqa"),
        ("Licence of the weights", "CC0"),
        ("Expected score", "vqa score 0.716"),
        ("Calibration", "temperature 1.3, ece 0.02"),
    ),
)


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


@contextmanager
def served(model, card=CARD, *, trained=None, draws=True) -> Iterator[tuple[str, Page]]:
    """Serve the page and give its address, and what made it."""
    pages = []

    def build(gradio, folder):
        pages.append(Page(gradio, model, card, Menu.of(trained, draws=draws), folder))
        return pages[0].build()

    with serving(build, host="127.0.0.1", port=free_port()) as address:
        yield address, pages[0]


def ask(address, content, **headers):
    """Ask as the page does."""
    import httpx

    return httpx.post(f"{address}gradio_api/queue/join", json=content, headers=headers)


def write_tiny(folder: Path) -> Path:
    """Write a tiny model of random weights as a checkpoint, and return its folder."""
    vocabulary = Vocabulary.train_sentencepiece(
        ["what is this? nodule cyst yes no left right"], size=300, num_codes=8
    )
    torch.manual_seed(0)
    model = BiomedGPT(preset("nano", vocab_size=len(vocabulary), code_image_size=64)).eval()
    info = CheckpointInfo(
        name="tiny",
        task="vqa",
        answers=("yes", "no"),
        licence="CC0",
        expected_score={"vqa_score": 0.716},
        calibration={"temperature": 1.25, "ece": 0.02},
        notes=("Made for a test.",),
    )
    stored = StoredCheckpoint(
        weights=essential(model.state_dict(), model.config),
        config=model.config,
        vocabulary=vocabulary,
        preprocessing=Preprocessing(image_size=64),
        info=info,
    )
    write_native(stored, folder)
    return folder
