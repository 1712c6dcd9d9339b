"""A question asked from Python gets the answer that fairseq-generate writes for the same row."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from data_samples import encoded
from fairseq_data import make_dataset
from omegaconf import OmegaConf

import biomedgpt
from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing
from biomedgpt.checkpoints.native import write_native
from biomedgpt.checkpoints.state_dict import essential
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.data.imaging.images import HALF, IMAGENET
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.inference.prediction_file import record_of
from biomedgpt.inference.question_table import InputRow
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.vocabulary import Vocabulary

SIZE = 32
QUESTIONS = [
    "is the square red?",
    "Is the square GREEN - or is it blue?",
    "what is the colour of the square, which is in the middle of the image, most of all?",
]


def texts_dataset(folder: Path, task: str, rows: list[dict[str, str]], image: bool) -> Path:
    """A dataset of another task than VQA."""
    made = [
        Row({"id": f"r{n}", **row}, encoded((40 * n, 9, 200)) if image else None, f"row {n}")
        for n, row in enumerate(rows)
    ]
    facts = DatasetFacts(
        name="sample", task=task, source="drawn here", licence="none", fields=tuple(made[0].fields)
    )
    write_dataset(folder, facts, {"train": made, "test": made})
    texts = [f" {text}" for row in rows for text in row.values() if text]
    vocabulary = Vocabulary.train_sentencepiece(texts, size=320, num_codes=4, num_bins=4)
    vocabulary.save(folder / "vocabulary")
    return folder


def make_data(folder: Path, task: str) -> Path:
    match task:
        case "vqa":
            return make_dataset(folder)
        case "classification":
            rows = [{"answer": one} for one in ("normal", "pneumonia", "normal", "nodule")]
            return texts_dataset(folder, task, rows, image=True)
        case "captioning":
            rows = [
                {
                    "caption": f"A square of size {n}.",
                    "references": json.dumps(
                        [{"answer": f"A square of size {n}.", "confidence": 1.0}]
                    ),
                }
                for n in range(4)
            ]
            return texts_dataset(folder, task, rows, image=True)
        case "entailment":
            rows = [
                {"sentence1": "He has a  FEVER " * n, "sentence2": "He is ill.", "answer": answer}
                for n, answer in ((1, "yes"), (4, "no"), (2, "maybe"))
            ]
            return texts_dataset(folder, task, rows, image=False)
        case "question_answering":
            options = json.dumps(["Left lung", "Right lung", "Neither"])
            rows = [
                {"question": one, "options": options, "context": "", "answer": "abc"[n]}
                for n, one in enumerate(QUESTIONS)
            ]
            return texts_dataset(folder, task, rows, image=False)
    rows = [{"source": f"The patient {one}" * 3, "summary": one} for one in QUESTIONS]
    return texts_dataset(folder, "summarization", rows, image=False)


def evaluate(data: Path, model: Any, out: Path, **options: Any) -> list[dict[str, Any]]:
    """Return the lines that fairseq-generate would write."""
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    config = BiomedGPTTaskConfig(
        data=str(data), patch_image_size=SIZE, predictions=str(out), **options
    )
    task = BiomedGPTTask.setup_task(OmegaConf.structured(config))
    task.load_dataset("test")
    batches = task.get_batch_iterator(task.dataset("test"), max_sentences=4)
    for sample in batches.next_epoch_itr(shuffle=False):
        task.inference_step(task.validation_generator, [model], sample)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("kind", "options", "trained"),
    [
        ("vqa", {"add_object": True}, {"add_object": True}),
        ("vqa", {"prompt_type": "src"}, {"prompt_type": "src"}),
        ("vqa", {"unconstrained": True}, {"constrained": False}),
        (
            "classification",
            {"inference": "allcand", "imagenet_default_mean_and_std": True},
            {},
        ),
        ("captioning", {}, {}),
        ("entailment", {"inference": "allcand"}, {}),
        ("question_answering", {"inference": "allcand"}, {}),
        ("summarization", {"max_src_length": 20}, {"max_source_words": 20}),
    ],
)
def test_answers_and_scores_are_those_of_the_evaluation(
    tmp_path: Path, kind: str, options: dict[str, Any], trained: dict[str, Any]
) -> None:
    data = make_data(tmp_path / "data", kind)
    prepared = PreparedDataset(data)
    vocabulary = Vocabulary.load(data / "vocabulary")
    torch.manual_seed(0)
    model = BiomedGPT(preset("nano", vocab_size=len(vocabulary))).eval()
    with torch.no_grad():
        model.encoder.embed_tokens.weight.mul_(8)  # answers depend on what is asked
    expected = evaluate(data, model, tmp_path / "p.jsonl", **options)
    imagenet = "imagenet_default_mean_and_std" in options
    stored = StoredCheckpoint(
        weights=essential(model.state_dict(), model.config),
        config=model.config,
        vocabulary=vocabulary,
        preprocessing=Preprocessing(image_size=SIZE, normalization=IMAGENET if imagenet else HALF),
        info=CheckpointInfo(
            name="sample", task=kind, task_options=trained, answers=tuple(prepared.card.answers)
        ),
    )
    write_native(stored, tmp_path / "c")
    asked = biomedgpt.load(tmp_path / "c", device="cpu")
    split = prepared.split("test")
    rows = [split[number] for number in range(len(split))]
    results = list(asked.predict(kind, rows))
    assert len({round(line["score"], 4) for line in expected}) > 1  # not one row for all
    assert len(results) == len(expected)
    for row, result, line in zip(rows, results, expected, strict=True):
        assert result.score == pytest.approx(line["score"], abs=1e-4)
        input_row = InputRow(id=row["id"], fields=row, image=None, where="")
        query = asked.query_builder.query(kind, row)
        found = record_of(kind, input_row, query, result, _run(line))
        for key in line.keys() - {"score", "class_scores", "majority"}:
            assert found[key] == line[key], key
        if "class_scores" in line:
            assert found["class_scores"] == pytest.approx(line["class_scores"], abs=1e-3)
    if kind == "vqa" and not options.get("add_object"):
        # The same by the method that people call.
        for row, line in zip(rows, expected, strict=True):
            result = asked.answer(row["image"], row["question"])
            assert (result.text, pytest.approx(result.score, abs=1e-4)) == (
                line["prediction"],
                line["score"],
            )


def _run(line: dict[str, Any]) -> Any:
    from biomedgpt.tasks import RunInfo

    return RunInfo(
        dataset=line["dataset"],
        dataset_hash=line["dataset_hash"],
        split=line["split"],
        decoding=line["decoding"],
        majority={},
    )
