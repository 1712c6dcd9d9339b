"""Phantoms as corpora for every kind of pretraining stream, with the file that names them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from biomedgpt.data.imaging.boxes import LabelledBox, format_box, format_objects
from biomedgpt.data.phantoms.phantom import DEFAULT_SIZE, FoundLesion, Phantom, draw
from biomedgpt.data.phantoms.phantom_dataset import (
    check_request,
    phantom_facts,
    train_vocabulary,
    vqa_rows,
)
from biomedgpt.data.prepared.card import VQA_FIELDS, DatasetCard
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.data.prepared.writer import staged_folder, write_splits
from biomedgpt.data.rows import Row

CONFIG_FILE = "pretraining.toml"
FIELDS = {
    "captioning": ("id", "caption", "references", "image_name"),
    "vqa": VQA_FIELDS,
    "text": ("id", "text"),
    "images": ("id", "image_name"),
    "detection": ("id", "image_name", "objects"),
    "grounding": ("id", "image_name", "phrase", "box"),
}
"""Datasets that are written, by folder and kind of rows."""
_STREAMS = {
    "captioning": ["captioning"],
    "vqa": ["vqa"],
    "matching": ["captioning", "vqa"],
    "grounding": ["grounding"],
    "grounded_captioning": ["grounding"],
    "mlm": ["text"],
    "mim": ["images"],
    "detection": ["detection"],
}


def write_phantom_corpora(
    out: str | Path,
    *,
    train: int = 4000,
    valid: int = 100,
    test: int = 0,
    size: int = DEFAULT_SIZE,
    seed: int = 1,
    num_codes: int = 512,
    num_bins: int = 1000,
    overwrite: bool = False,
) -> dict[str, DatasetCard]:
    """Write a dataset of each kind, a vocabulary, and ``pretraining.toml``, which names them.

    All datasets show the same phantoms. They share none with the phantoms of other seeds.

    Args:
        out: folder, which appears only when everything is in it.
        train: training images.
        valid: validation images.
        test: test images; none by default, as pretraining uses none.
        size, seed, num_codes, num_bins, overwrite: see
            `biomedgpt.data.phantoms.phantom_dataset.write_phantoms`.

    Returns:
        The cards by folder.

    Raises:
        ConfigError: a split without images, a size too small, or ``out`` is taken.
    """
    counts = {"train": train, "valid": valid}
    check_request(counts, seed=seed, size=size)
    counts |= {"test": test} if test > 0 else {}
    cards = {}
    with staged_folder(Path(out), overwrite=overwrite, marker=CONFIG_FILE) as staged:
        for kind, fields in FIELDS.items():
            (staged / kind).mkdir()
            facts = phantom_facts(f"phantoms-{kind}", kind, fields)
            rows = {split: _rows(kind, split, count, seed, size) for split, count in counts.items()}
            preparation = {"seed": seed, "size": size, "images": counts}
            cards[kind] = write_splits(staged / kind, facts, rows, preparation=preparation)
        vocabulary = train_vocabulary(train, seed, num_codes=num_codes, num_bins=num_bins)
        vocabulary.save(staged / VOCABULARY_FOLDER)
        (staged / CONFIG_FILE).write_text(_config(seed, size), encoding="utf-8")
    return cards


def _config(seed: int, size: int) -> str:
    lines = [
        "# Pretraining on phantoms; `mim` needs codes: biomedgpt vqgan encode images",
        f"seed = {seed}",
        f"image_size = {size}",
        "augment = false  # small models from scratch learn more without",
    ]
    for kind, folders in _STREAMS.items():
        lines += ["", f"[streams.{kind}]", f"data = {json.dumps(folders)}"]
    return "\n".join(lines) + "\n"


def _rows(kind: str, split: str, count: int, seed: int, size: int) -> Iterator[Row]:
    drawn = draw(split, count, seed=seed, size=size, what=f"{kind} {split}")
    for index, phantom in enumerate(drawn):
        yield from rows_of(kind, phantom, f"{split}-{index:06d}")


def rows_of(kind: str, phantom: Phantom, name: str) -> Iterator[Row]:
    """Yield the rows of one kind that a phantom gives; some have none of a kind."""
    image = None if kind == "text" else phantom.png()
    shown = {"id": name, "image_name": f"{name}.png"}
    match kind:
        case "vqa":
            yield from vqa_rows(phantom, name, image)
        case "captioning":
            references = json.dumps([{"answer": phantom.caption, "confidence": 1.0}])
            yield Row(shown | {"caption": phantom.caption, "references": references}, image, name)
        case "text":
            yield Row({"id": name, "text": f"{phantom.findings} {phantom.impression}"}, None, name)
        case "images":
            yield Row(shown, image, name)
        case "detection" if phantom.lesions:
            objects = [LabelledBox(lesion.box, lesion.kind) for lesion in phantom.lesions]
            yield Row(shown | {"objects": format_objects(objects)}, image, name)
        case "grounding":
            for number, (phrase, lesion) in enumerate(unique_phrases(phantom.lesions)):
                fields = {"id": f"{name}-{number}", "phrase": phrase, "box": format_box(lesion.box)}
                yield Row(shown | fields, image, name)


def unique_phrases(lesions: Sequence[FoundLesion]) -> list[tuple[str, FoundLesion]]:
    """Return lesions with a phrase that fits no other lesion of the image."""
    places = [(lesion.height, lesion.side) for lesion in lesions]
    return [
        (f"{lesion.kind} in the {lesion.height} {lesion.side} part", lesion)
        for lesion, place in zip(lesions, places, strict=True)
        if places.count(place) == 1
    ]
