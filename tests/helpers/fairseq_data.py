"""A tiny prepared VQA dataset with a vocabulary, made in a second; a checkpoint of fairseq."""

import argparse
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.vocabulary import Vocabulary

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def make_dataset(
    folder: Path, *, name: str = "squares", train: int = 24, test: int = 6, valid: int = 6
) -> Path:
    """Write squares of one colour, each with a question about it; return the folder."""
    facts = DatasetFacts(name=name, task="vqa", source="generated", licence="CC0-1.0")
    draw = random.Random(1)
    splits = {"train": train, "valid": valid, "test": test}
    rows = {
        split: [_row(f"{split}-{number}", draw) for number in range(count)]
        for split, count in splits.items()
        if count
    }
    write_dataset(folder, facts, rows)
    texts = [f" {row.fields['question']} {row.fields['answer']}" for row in rows["train"]]
    vocabulary = Vocabulary.train_sentencepiece(texts, size=320, num_codes=4, num_bins=4)
    vocabulary.save(folder / "vocabulary")
    return folder


def _row(name: str, draw: random.Random) -> Row:
    colour = draw.choice(list(COLOURS))
    asked = draw.choice(list(COLOURS))
    closed = draw.random() < 0.5
    question = f"is the square {asked}?" if closed else "what is the colour of the square?"
    answer = ("yes" if asked == colour else "no") if closed else colour
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), COLOURS[colour]).save(buffer, "PNG")
    fields = {
        "id": name,
        "question": question,
        "answer": answer,
        "answer_type": "CLOSED" if closed else "OPEN",
        "question_type": "PRES" if closed else "COLOR",
        "object": "square",
        "references": json.dumps([{"answer": answer, "confidence": 1.0}]),
        "image_name": f"{colour}.png",
    }
    return Row(fields, buffer.getvalue(), name)


def fairseq_checkpoint(**extra: Any) -> dict[str, Any]:
    """What older fairseq versions wrote: option containers and numpy numbers beside tensors."""
    from omegaconf import OmegaConf

    return {
        "args": argparse.Namespace(task="vqa_gen", lr=[5e-5]),
        "cfg": OmegaConf.create({"task": {"data": "x"}, "lr": [0.1], "fp16": False, "seed": 1}),
        "model": {"weight": torch.ones(2)},
        "optimizer_history": [
            {
                "criterion_name": "X",
                "optimizer_name": "Y",
                "lr_scheduler_state": {"best": np.float64(0.5)},
                "num_updates": 3,
            }
        ],
        "extra_state": {
            "train_iterator": {"epoch": 1},
            "val_loss": np.float32(1.5),
            **extra,
        },
    }
