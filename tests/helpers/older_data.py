"""Prepared datasets as earlier programs wrote them, and cards that somebody has edited."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from biomedgpt.data.prepared.card import CARD_FILE, CARD_HASH, hash_of
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.files import file_hash


def change_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit ``dataset.json`` and state its new hash, as somebody who hands such files out would."""
    path = folder / CARD_FILE
    content = json.loads(path.read_text())
    change(content)
    if content.get("format_version") != 1:
        content[CARD_HASH] = hash_of(content)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def rehash(folder: Path) -> None:
    """State the hashes of split files that were changed."""

    def restate(content: dict[str, Any]) -> None:
        content["hashes"] = {name: file_hash(folder / f"{name}.h5") for name in content["counts"]}

    change_card(folder, restate)


def make_version_1(folder: Path) -> None:
    """Write a prepared dataset again in version 1 of the form, byte by byte as its writer did."""
    content = json.loads((folder / CARD_FILE).read_text())
    for name in content["counts"]:
        _write_version_1(folder / f"{name}.h5")

    def older(content: dict[str, Any]) -> None:
        content["format_version"] = 1
        del content[CARD_HASH]

    change_card(folder, older)
    rehash(folder)


def _write_version_1(path: Path) -> None:
    split = PreparedSplit(path)
    images = [split.image(number) for number in range(split.num_images)]
    items = {"images": images}
    for name in split.fields:
        items[f"fields/{name}"] = [text.encode() for text in split.column(name)]
    index = split.image_index.copy()
    digests = np.frombuffer(bytes.fromhex("".join(split.image_hashes())), np.uint8)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "biomedgpt-prepared"
        file.attrs["version"] = 1
        file.attrs["task"] = split.task
        file.attrs["rows"] = len(split)
        file.attrs["fields"] = json.dumps(split.fields)
        for group, values in items.items():
            data = np.frombuffer(b"".join(values), np.uint8)
            offsets = np.cumsum([0, *map(len, values)], dtype="<i8")
            for array, content in (("data", data), ("offsets", offsets)):
                stored = file.create_dataset(f"{group}/{array}", content.shape, content.dtype)
                if len(content):
                    stored[:] = content
        file.create_dataset("image_index", index.shape, "<i8")[:] = index
        file.create_dataset("images/sha256", data=digests.reshape(-1, 32))
