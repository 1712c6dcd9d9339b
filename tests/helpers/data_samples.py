"""Small images, rows and raw releases that the data tests are made of."""

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from biomedgpt.data.prepared.card import DatasetCard, DatasetFacts
from biomedgpt.data.prepared.codes import CodesInfo
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row

FACTS = DatasetFacts(name="sample", task="vqa", source="drawn here", licence="none")
CODES = CodesInfo(
    tokenizer="ab" * 32, num_codes=16, image_size=32, middle_grid=2, whole_size=24, whole_grid=3
)


def encoded(colour: Any = (200, 30, 90), *, size=(12, 8), format="PNG", mode="RGB") -> bytes:
    """A plain image in encoded form."""
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, format)
    return buffer.getvalue()


def photo(format: str = "JPEG") -> bytes:
    """An image with structure, so that half of its file is not a whole image."""
    pattern = bytes((x * y) % 251 for y in range(96) for x in range(3 * 128))
    buffer = io.BytesIO()
    Image.frombytes("RGB", (128, 96), pattern).save(buffer, format)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size it has no pixels for."""
    data = bytearray(encoded(size=(1, 1)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def vqa_row(number: int, *, image: bytes | Path | None = None, **changes: str) -> Row:
    """A VQA row; ``changes`` are fields with another value."""
    answer = changes.get("answer", "yes")
    fields = {
        "id": f"q{number}",
        "question": f"Is finding {number} there?",
        "answer": answer,
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "object": "head",
        "references": json.dumps([{"answer": answer, "confidence": 1.0}]),
        "image_name": "one.png",
    }
    return Row(fields | changes, encoded() if image is None else image, f"row {number}")


def write_sample(folder: Path) -> DatasetCard:
    """A dataset of two splits that share an image and have known answers."""
    red, green, blue = (encoded(c) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    train = [
        vqa_row(0, image=red, question="Is it red?"),
        vqa_row(1, image=red, question="What colour?", answer="red", question_type="COLOR"),
        vqa_row(2, image=green, question="Is it red?", answer="no"),
        vqa_row(3, image=green, question="is it RED", answer="no"),
    ]
    test = [
        vqa_row(4, image=red, question="Is it red ?"),
        vqa_row(5, image=blue, question="What colour?", answer="blue", question_type="COLOR"),
        vqa_row(6, image=blue, question="How many?", answer="no", question_type="COUNT"),
    ]
    return write_dataset(folder, FACTS, {"train": train, "test": test})


def rad_record(number: int, **changes: Any) -> dict[str, Any]:
    """One record of the VQA-RAD release."""
    return {
        "qid": number,
        "phrase_type": "freeform",
        "qid_linked_id": "0",
        "image_case_url": "",
        "image_name": f"synpic{number % 2}.jpg",
        "image_organ": "CHEST",
        "evaluation": "evaluated",
        "question": f"Is there a nodule {number}?",
        "question_rephrase": "NULL",
        "question_relation": "NULL",
        "question_frame": "NULL",
        "question_type": "PRES",
        "answer": "Yes",
        "answer_type": "CLOSED",
    } | changes


def write_rad_release(folder: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """A raw VQA-RAD folder with two images, ``synpic0.jpg`` and ``synpic1.jpg``."""
    images = folder / "VQA_RAD Image Folder"
    images.mkdir(parents=True)
    (images / "synpic0.jpg").write_bytes(photo())
    (images / "synpic1.jpg").write_bytes(encoded(format="JPEG"))
    text = json.dumps(records)
    (folder / "VQA_RAD Dataset Public.json").write_text(text, encoding="utf-8")
    return folder


def tsv_line(number: int, *, image: bytes | None = None, **changes: str) -> bytes:
    """One row of a VQA table, without the line end."""
    columns = {
        "question_id": str(number),
        "image_id": "a.png",
        "question": "Is it round?",
        "answers": "1|!+yes",
        "objects": "chest",
        "image": base64.b64encode(encoded() if image is None else image).decode(),
    } | changes
    return "\t".join(columns.values()).encode()


def files_of(folder: Path) -> set[str]:
    """Names of what is in a folder of data, but for what is noted of its files."""
    return {path.name for path in folder.iterdir() if path.suffix != ".stamp"}


def nothing_left(folder: Path) -> bool:
    """Whether a failed job left neither output nor temporary files in ``folder``."""
    return not list(folder.iterdir())
