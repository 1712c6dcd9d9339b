"""PathVQA: the official pickle files, or the hub's Parquet files, to rows.

Expected layout of the raw folder, which may also lie in ``pvqa/`` below it::

    qas/{train,val,test}/*_qa.pkl       lists of {"image": "train_0422", "question", "answer"}
    images/{train,val,test}/*.jpg

Where those lists are missing, ``qas/*_vqa.pkl`` (also below ``qas/{train,val,test}/``) are read:
lists of {"img_id", "question_id", "sent", "label": {answer: score}}. The pickle files are never
unpickled, see `biomedgpt.data.raw.plain_pickle`.

The hub's copy (``train-*.parquet``, ``validation-*.parquet``, ``test-*.parquet``) has images,
questions and answers; questions that occur twice with the same image and answer are not in it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biomedgpt.data.raw.caption_rows import plain_name
from biomedgpt.data.raw.plain_pickle import read_plain_pickle
from biomedgpt.data.raw.tables import Record
from biomedgpt.data.raw.vqa_hub import read_hub
from biomedgpt.data.raw.vqa_rows import vqa_row
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

FOLDERS = {"train": "train", "valid": "val", "test": "test"}
LAYOUTS = (
    "qas/{0}/{0}_qa.pkl",
    "qas/{0}_vqa.pkl",
    "qas/{0}/{0}_vqa.pkl",
)
"""Where a split's questions may be, best first."""
CLEANING = (
    "white space collapsed to one space and stripped",
    "answer_type made up: yes and no are CLOSED, everything else OPEN",
)


def read(release: Release) -> RawDataset:
    """Read the official release or the hub's copy.

    Raises:
        DataError: files are missing, are not those of PathVQA, hold more than plain data, or a row
            is bad.
    """
    base = release.base("pvqa")
    if not (base / "qas").is_dir():
        counts = {"train": 19654, "valid": 6259, "test": 6719}
        if hub := read_hub(release, cleaning=CLEANING, expected=counts):
            return hub
    layout = next((one for one in LAYOUTS if _complete(base, one)), LAYOUTS[0])
    files = {split: layout.format(folder) for split, folder in FOLDERS.items()}
    images = {split: f"images/{folder}/" for split, folder in FOLDERS.items()}
    release.require_files([*files.values(), *images.values()], folder=base)
    # All three are opened before any row is written: a file that is no plain data stops it here.
    contents = {split: _load(base / name) for split, name in files.items()}
    return RawDataset(
        splits={
            split: _rows(release, split, base / files[split], content, base / images[split])
            for split, content in contents.items()
        },
        cleaning=CLEANING,
        found={"questions": sum(map(len, contents.values()))},
        preparation={"layout": layout.format("*")},
    )


def _complete(base: Path, layout: str) -> bool:
    return all((base / layout.format(folder)).is_file() for folder in FOLDERS.values())


def _load(path: Path) -> list[Any]:
    """Return the questions of a pickle file."""
    content = read_plain_pickle(path)
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        raise DataError(f"{path}: not a list of questions; is this the PathVQA release?")
    return content


def _rows(
    release: Release, split: str, path: Path, content: list[Any], images: Path
) -> Iterator[Row]:
    def parse(item: tuple[int, Any]) -> Row:
        number, values = item
        where = f"{path}: row {number}"
        record = Record(where, _flat(values, where=where))
        name = plain_name(record.text("image"), where=where, column="image")
        if not name.lower().endswith(".jpg"):
            name += ".jpg"
        return vqa_row(
            where,
            (images / name, name),
            f"{split}-{number}",
            clean_text(record.text("question")),
            clean_text(record.text("answer")),
        )

    return release.rows(enumerate(content, start=1), parse)


def _flat(values: Any, *, where: str) -> Mapping[str, Any]:
    """Return image, question and answer of either kind of list."""
    if isinstance(values, dict):
        if values.keys() >= {"image", "question", "answer"}:
            return values
        if values.keys() >= {"img_id", "sent", "label"} and isinstance(values["label"], dict):
            label = values["label"]
            # As the reference: the answer is the first of the labels.
            answer = next(iter(label), None)
            return {"image": values["img_id"], "question": values["sent"], "answer": answer}
    raise DataError(
        f"{where}: lacks image, question and answer (or img_id, sent and label); is this the "
        "PathVQA release?"
    )


SPEC = DatasetSpec(
    name="pathvqa",
    title="PathVQA: questions about pathology images from textbooks",
    task="vqa",
    source="https://github.com/UCSD-AI4H/PathVQA",
    licence="MIT (questions); images belong to the publishers of the textbooks",
    read=read,
    expected={
        "questions": 32795,
        "train": 19755,
        "valid": 6279,
        "test": 6761,
        "test CLOSED": 3391,
        "test OPEN": 3370,
    },
    published=(
        PublishedResult("BiomedGPT-B", "accuracy_closed", 0.880, NATURE_MEDICINE),
        PublishedResult("BiomedGPT-B", "accuracy_open", 0.280, NATURE_MEDICINE),
    ),
)
