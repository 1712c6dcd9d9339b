"""The recipe of instruction tuning on answers that show images, from data to document."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from test_instruct_recipe import run
from vqgan_samples import small_tokenizer

import biomedgpt
from biomedgpt.cli.main import main
from biomedgpt.data.phantoms.interleaved import write_phantom_interleaved
from biomedgpt.data.prepared import PreparedDataset
from biomedgpt.errors import ConfigError
from biomedgpt.inference import Document
from biomedgpt.instructions.interleaved import ImageCodes

pytest.importorskip("fairseq", reason="the recipes train with fairseq")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interleaved")
    write_phantom_interleaved(folder / "data", train=12, valid=2, test=3, size=48)
    small_tokenizer().save(folder / "tokenizer")
    return folder / "data" / "instructions"


def encode(dataset: Path) -> None:
    tokenizer = dataset.parent.parent / "tokenizer"
    assert main(["vqgan", "encode", str(dataset), "--tokenizer", str(tokenizer)]) == 0


def train(dataset: Path, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return run("train_own.sh", "--data", dataset, "--save-dir", folder, *options)


def test_from_data_to_a_document(dataset: Path, tmp_path: Path) -> None:
    done = train(dataset, tmp_path / "none")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"biomedgpt vqgan encode {dataset}" in done.stderr
    assert not (tmp_path / "none").exists()

    encode(dataset)
    done = train(dataset, tmp_path / "run", "--max-update", "2")
    assert done.returncode == 0, done.stderr

    tokenizer = small_tokenizer()
    images = ImageCodes(4, tokenizer.num_codes, tokenizer.fingerprint)
    model = biomedgpt.load(
        tmp_path / "run", device="cpu", image_tokenizer=dataset.parent.parent / "tokenizer"
    )
    assert ImageCodes.of(model.asker.task("instruction")) == images
    assert isinstance(model.document("draw a head."), Document)

    (dataset / "test.codes.h5").rename(tmp_path / "kept")  # to generate, codes are not needed
    options = ["--data", dataset, "--save-dir", tmp_path / "run", "--max-len-b", "8"]
    scored = run("evaluate_own.sh", *options, "--beam", "2")
    (tmp_path / "kept").rename(dataset / "test.codes.h5")
    assert scored.returncode == 0, scored.stderr
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    split = PreparedDataset(dataset).split("test")
    records = {record["id"]: record for record in map(json.loads, lines)}
    assert len(records) == len(split)
    record = records[split.text("id", 0)]
    assert record["decoding"]["image"]["max_len"] == 16
    assert record["reference"] == split.text("answer", 0)


def test_a_drawn_answer_is_a_line_with_its_codes(dataset: Path) -> None:
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    encode(dataset)
    task = BiomedGPTTask(BiomedGPTTaskConfig(data=str(dataset)))
    task.most_positions = 40
    with pytest.raises(ConfigError, match=r"16 of them codes, .* 40 positions"):
        task.load_dataset("valid")
    task.most_positions = 1024
    task.load_dataset("valid")
    state = task.state_dict()
    vocabulary = task.vocabulary
    ids = [*vocabulary.encode_text(" here."), vocabulary.image_begin]
    ids += [*vocabulary.encode_codes(range(4)), vocabulary.image_end]
    ids += [*vocabulary.encode_text(" a head."), vocabulary.eos]
    hypothesis = {"tokens": torch.tensor(ids), "score": -1.0, "candidate_scores": None}
    example = dict.fromkeys(task.datasets["valid"].split.fields, "") | {"answer": "a <image>"}
    record = task._record(example, hypothesis, task.run_info("valid"))
    assert record["prediction"] == "here. <image> a head."
    assert record["codes"] == [(0, 1, 2, 3)]

    again = BiomedGPTTask(BiomedGPTTaskConfig(data=str(dataset)))
    assert ImageCodes.of(again.definition) is None
    again.load_state_dict(state)
    assert ImageCodes.of(again.definition) == ImageCodes.of(task.definition)
    assert ImageCodes.of(task.definition) is not None
