"""Rows of every kind of task, and predictions for them as generation writes them."""

import io
import json

from PIL import Image

from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.scoring.predictions import write_predictions
from biomedgpt.tasks import RunInfo, get_task

# A task of each kind, what its rows hold beside the id, and a wrong answer.
ROWS = {
    "vqa": {
        "question": "is it clear?",
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "object": "chest",
        "references": "",
    },
    "captioning": {},
    "classification": {},
    "summarization": {"source": "Hello. I have a dry cough at night, what can I take?"},
    "entailment": {"sentence1": "He coughs.", "sentence2": "He is ill."},
    "question_answering": {"question": "Is it?", "options": '["a", "b"]', "context": ""},
    "instruction": {"instruction": "Is it clear?", "history": "", "modality": "", "image_in": ""},
}
ANSWERS = {
    "captioning": ("a small left effusion", "the lungs are clear and well"),
    "summarization": ("what helps against a dry cough", "how is a dry cough treated"),
    "question_answering": ("a", "b"),
}
COUNT = 12


def rows(task, *, start=0):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    for number in range(start, start + COUNT):
        text = ANSWERS.get(task, ("yes", "no"))[number % 2]
        fields = {"id": f"q{number}"} | ROWS[task]
        if task == "captioning":
            more = [{"answer": text, "confidence": 1.0}, {"answer": f"{text} too", "confidence": 1}]
            fields |= {"caption": text, "references": json.dumps(more)}
        elif task == "summarization":
            fields["summary"] = text
        else:
            fields["answer"] = text
        image = buffer.getvalue() if get_task(task).fields.image else None
        yield Row(fields=fields, image=image, where="-")


def prepare(folder, task, splits):
    names = tuple(next(rows(task)).fields)
    facts = DatasetFacts(name="tiny", task=task, source="drawn", licence="CC0", fields=names)
    parts = {name: rows(task, start=COUNT * number) for number, name in enumerate(splits)}
    write_dataset(folder, facts, parts)
    return PreparedDataset(folder)


def predict(path, dataset, split, answer, *, blank=False, **decoding):
    """Write predictions the way generation does."""
    card, task = dataset.card, get_task(dataset.card.task)
    run = RunInfo(
        dataset=card.name,
        dataset_hash=dataset.hash,
        split=split,
        decoding={"mode": "beamsearch", "beam": 5, "blank_image": blank} | decoding,
        majority=card.majority_answers,
    )
    examples = dataset.split(split)
    records = []
    for example in (examples[row] for row in range(len(examples))):
        text = answer(example)
        scores = {one: -1.0 - (one != text) for one in card.answers} or None
        records.append(
            task.prediction_record(example, text=text, score=-1.0, run=run, candidate_scores=scores)
        )
    write_predictions(path, records)
    return path


def right(example):
    return example.get("answer") or example.get("caption") or example["summary"]


def half(example):
    return right(example) if int(example["id"][1:]) % 4 < 2 else "nothing at all"


def write_folds(folder):
    """Write a cross-validation of three folds; return it and a file of predictions for each."""
    dataset = prepare(folder / "data", "entailment", ["fold0", "fold1", "fold2"])
    answers = (right, half, lambda _: "maybe")
    files = [
        predict(folder / f"p{number}.jsonl", dataset, f"fold{number}", answer, fold=number)
        for number, answer in enumerate(answers)
    ]
    return dataset, files
