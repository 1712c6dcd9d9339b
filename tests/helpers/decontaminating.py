"""A benchmark of phantoms, corpora that hold some of it, and what is left of them."""

import io

from PIL import Image

from biomedgpt.data.cleaning.decontaminate import DecontaminateOptions, decontaminate
from biomedgpt.data.phantoms.phantom import generate
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row

QUESTION = "Is the small round opacity in the left upper lobe of the lung a calcified granuloma?"


def phantom(split, number):
    return Image.fromarray(generate(split, number, seed=1).image).convert("RGB")


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def facts(name, task, *fields):
    return DatasetFacts(
        name=name, task=task, source="tests", licence="none", fields=("id", *fields)
    )


def write_benchmark(folder):
    """Phantoms with questions; the first test question is a long one."""

    def rows(split, count):
        for number in range(count):
            long = split == "test" and number == 0
            yield Row(
                {
                    "id": f"{split}-{number}",
                    "question": QUESTION if long else "Is there a lesion?",
                    "answer": "yes",
                    "answer_type": "CLOSED",
                    "question_type": "",
                    "object": "",
                    "references": "",
                    "image_name": f"{number}.png",
                },
                encoded(phantom(split, number)),
                f"{split} {number}",
            )

    fields = ("question", "answer", "answer_type", "question_type", "object", "references")
    write_dataset(
        folder,
        facts("bench", "vqa", *fields, "image_name"),
        {"train": rows("train", 4), "test": rows("test", 12)},
    )
    return folder


def image_corpus(folder, images):
    rows = (Row({"id": name, "image_name": name}, data, name) for name, data in images.items())
    write_dataset(folder, facts("corpus", "images", "image_name"), {"train": rows})
    return folder


def text_corpus(folder, texts):
    rows = (Row({"id": str(n), "text": text}, None, str(n)) for n, text in enumerate(texts))
    write_dataset(folder, facts("corpus", "text", "text"), {"train": rows})
    return folder


def clean(folder, benchmark, tmp_path, **options):
    out = tmp_path / "clean"
    report = decontaminate(
        folder, against=[benchmark], out=out, options=DecontaminateOptions(**options)
    )
    assert not check_dataset(out).problems
    return report, PreparedDataset(out).split("train").column("id")
