"""SLAKE and PathVQA, and what the hub makes of them and of VQA-RAD."""

import json
import pickle

import pyarrow
import pyarrow.parquet

from raw_releases.drawing import encoded

COUNTS = {"train": 12, "valid": 4, "test": 6}


def slake_record(number, **changes):
    """One question of SLAKE; images are shared by three."""
    closed = number % 2 == 0
    return {
        "img_id": number // 3,
        "img_name": f"xmlab{number // 3}/source.jpg",
        "question": f"Is organ {number} healthy?" if closed else f"Which organ is {number}?",
        "answer": ("Yes", "No")[number % 4 // 2] if closed else f"Organ {number % 3}",
        "q_lang": "en",
        "location": "Lung",
        "modality": "X-Ray",
        "answer_type": "CLOSED" if closed else "OPEN",
        "base_type": "vqa",
        "content_type": "Abnormality" if closed else "Organ",
        "triple": ["vhead", "_", "_"],
        "qid": 9000 + number,
    } | changes


def slake_splits():
    """Records by file; every third one is followed by its Chinese counterpart."""
    splits, start = {}, 0
    for name, count in zip(("train", "validate", "test"), COUNTS.values(), strict=True):
        splits[name] = []
        for number in range(start, start + count):
            splits[name].append(slake_record(number))
            if number % 3 == 0:
                other = {"q_lang": "zh", "question": "这是什么？", "answer": "肺"}
                splits[name].append(slake_record(number, qid=number, **other))
        start += count
    return splits


def write_slake(folder, splits, *, images=8):
    """The official layout."""
    for name, records in splits.items():
        text = json.dumps(records, ensure_ascii=False, indent=2)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    for number in range(images):
        image = folder / "imgs" / f"xmlab{number}" / "source.jpg"
        image.parent.mkdir(parents=True)
        image.write_bytes(encoded(number, format="JPEG"))
        (image.parent / "question.json").write_text("[]")
    return folder


def path_records(split, count):
    """Questions of PathVQA as in ``*_qa.pkl``; two in turn share an image."""
    return [
        {
            "image": f"{split}_{number // 2:04d}",
            "question": f"is stain {number} present?" if number % 2 else f"what is in {number} ?",
            "answer": ("yes", "no")[number // 2 % 2] if number % 2 else f"cells of kind {number}",
        }
        for number in range(count)
    ]


def path_labels(records):
    """The same questions as in ``*_vqa.pkl``."""
    return [
        {
            "img_id": record["image"],
            "question_id": number,
            "sent": record["question"],
            "label": {record["answer"]: 1, "another": 0.3},
            "answer_type": "other",
        }
        for number, record in enumerate(records)
    ]


def write_pathvqa(folder, *, layout="qas/{0}/{0}_qa.pkl", make=list):
    """The official layout; ``make`` turns the records into what is pickled."""
    for seed, (split, count) in enumerate(
        zip(("train", "val", "test"), COUNTS.values(), strict=True)
    ):
        records = path_records(split, count)
        file = folder / layout.format(split)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(make(records)))
        for number in range(count // 2):
            image = folder / "images" / split / f"{split}_{number:04d}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(encoded(100 * seed + number, format="JPEG"))
    return folder


def write_parquet(path, rows):
    """A Parquet file of dictionaries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def hub_row(number, **changes):
    """A row of the hub's copies of VQA datasets; images are shared by two."""
    return {
        "image": {"bytes": encoded(number // 2, format="JPEG"), "path": None},
        "question": f"is organ {number} there?",
        "answer": ("yes", "no", f"organ {number}")[number % 3],
    } | changes


def write_hub(folder, counts):
    """The hub's layout, the first split in two files; ``counts`` by the hub's split names."""
    start = 0
    for name, count in counts.items():
        rows = [hub_row(number) for number in range(start, start + count)]
        parts = [rows[: count // 2], rows[count // 2 :]] if start == 0 else [rows]
        for part, content in enumerate(parts):
            file = f"{name}-{part:05d}-of-{len(parts):05d}-0123456789abcdef.parquet"
            write_parquet(folder / "data" / file, content)
        start += count
    return folder


def _slake(folder):
    write_slake(folder, slake_splits())


def _pathvqa(folder):
    write_pathvqa(folder)


BUILDERS = {"slake": _slake, "pathvqa": _pathvqa}
