"""Instructions as the plug-in feeds and records them: balanced epochs, drawn answers."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from raw_releases.instructions import write_vital_dataset
from vqgan_samples import write_interleaved

from biomedgpt.cli.main import main
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError
from biomedgpt.examples.example_encoder import ExampleEncoder
from biomedgpt.examples.mixing import Balance, modalities
from biomedgpt.examples.segments import ImageCodes
from biomedgpt.tasks import get_task
from biomedgpt.vocabulary import Vocabulary
from fairseq_ext.fairseq_dataset import PreparedFairseqDataset


def test_the_order_of_a_balanced_epoch_is_the_same_after_a_restart(tmp_path: Path) -> None:
    dataset = write_vital_dataset(tmp_path)
    split = PreparedDataset(dataset).split("train")
    vocabulary = Vocabulary.load(dataset / "vocabulary")
    encoder = ExampleEncoder(vocabulary, get_task("instruction"), image_size=32)
    orders = []
    for state in (1, 2):
        np.random.seed(state)  # noqa: NPY002 (fairseq's, which nothing may depend on)
        rows = PreparedFairseqDataset(
            split, encoder, shuffle=True, balance=Balance(modalities(split), seed=1)
        )
        rows.set_epoch(3)
        orders.append(rows.ordered_indices().tolist())
    assert orders[0] == orders[1]
    assert len(orders[0]) < len(split)


def test_a_drawn_answer_is_a_line_with_its_codes(tmp_path: Path) -> None:
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    dataset, tokenizer = write_interleaved(tmp_path)
    assert main(["vqgan", "encode", str(dataset), "--tokenizer", str(tokenizer)]) == 0
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
