"""The recipe of instruction tuning on answers that show images, from data to document."""

import json
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT
from shell import run_script
from vqgan_samples import small_tokenizer, write_interleaved

import biomedgpt
from biomedgpt.cli.main import main
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.examples.segments import ImageCodes
from biomedgpt.inference import Document

pytest.importorskip("fairseq", reason="the recipes train with fairseq")


FOLDER = ROOT / "run_scripts" / "instruct"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_interleaved(tmp_path_factory.mktemp("interleaved"))[0]


def run(script: str, *options: object) -> subprocess.CompletedProcess[str]:
    return run_script(FOLDER / script, *options, "--smoke")


def train(dataset: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("train_own.sh", "--data", dataset, "--save-dir", folder, *options)


def test_from_data_to_a_document(dataset: Path, tmp_path: Path) -> None:
    done = train(dataset, tmp_path / "none")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"biomedgpt vqgan encode {dataset}" in done.stderr
    assert not (tmp_path / "none").exists()

    tokenizer_folder = dataset.parent.parent / "tokenizer"
    assert main(["vqgan", "encode", str(dataset), "--tokenizer", str(tokenizer_folder)]) == 0
    done = train(dataset, tmp_path / "run", "--max-update", "2")
    assert done.returncode == 0, done.stderr

    tokenizer = small_tokenizer()
    images = ImageCodes(4, tokenizer.num_codes, tokenizer.fingerprint)
    model = biomedgpt.load(tmp_path / "run", device="cpu", image_tokenizer=tokenizer_folder)
    assert ImageCodes.of(model.query_builder.task("instruction")) == images
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
