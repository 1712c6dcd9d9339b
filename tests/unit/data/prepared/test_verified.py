"""Whoever opens a split gets what its card describes, or an error of one line."""

import ast
import json
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from checkout import ROOT
from data_samples import CODES, FACTS, encoded, vqa_row, write_sample
from fairseq_data import make_dataset
from older_data import change_card, make_version_1, rehash
from pretraining_data import write_corpora
from raw_releases.instructions import write_vital_dataset

from biomedgpt import stamps
from biomedgpt.cli.main import main
from biomedgpt.data.prepared import dataset as dataset_module
from biomedgpt.data.prepared.card import DatasetCard, DatasetFacts
from biomedgpt.data.prepared.codes import CodesFile, codes_path, write_codes
from biomedgpt.data.prepared.dataset import ROLES, PreparedDataset
from biomedgpt.data.prepared.folds import open_split
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.errors import BiomedGPTError, DataError
from biomedgpt.examples.mixing import open_mixed
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.pretraining.streams import open_streams
from biomedgpt.scoring.predictions import RUN_KEYS, PredictionFile, check_against_dataset
from biomedgpt.suites.questions import Benchmark
from biomedgpt.tasks import Instruction
from biomedgpt.tasks.dialogue import IN_ANSWER
from biomedgpt.vocabulary import Vocabulary

LONG_AGO = (1_600_000_000, 1_600_000_000)
REFUSED = r"\.h5: not the file that dataset\.json describes; copy or prepare the dataset again$"


def tamper(folder: Path) -> None:
    """Change one letter of the last text of every split, and nothing that a layout would show."""
    for path in folder.rglob("*.h5"):
        if path.name.endswith(".codes.h5"):
            continue
        with h5py.File(path, "r+") as file:
            data = file[f"fields/{sorted(file['fields'])[-1]}/data"]
            if len(data):
                data[-1] = ord("x")
            else:
                file["images/data"][-1] ^= 1


def folds(folder: Path) -> None:
    rows = {f"fold{n}": [vqa_row(n)] for n in range(3)}
    write_dataset(folder, FACTS, rows)


def fairseq_task(folder: Path, split: str, **options: Any) -> None:
    pytest.importorskip("fairseq", reason="needs the train extra")
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    BiomedGPTTask(BiomedGPTTaskConfig(data=str(folder), **options)).load_dataset(split)


def streams(folder: Path) -> None:
    config = PretrainingConfig.load(folder / "pretraining.toml")
    open_streams(config, Vocabulary.load(folder / "vocabulary"), "train")


def command(*words: object) -> None:
    """Run a command in this process; its error is the line that it prints."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = main([str(word) for word in words])
    if status:
        raise BiomedGPTError((err.getvalue() or out.getvalue()).strip().splitlines()[-1])


def scored(folder: Path) -> None:
    facts = dict.fromkeys(RUN_KEYS, "") | {"split": "test", "decoding": {}}
    check_against_dataset(PredictionFile(folder / "p.jsonl", [], **facts), folder)


def _only_dataset(folder: Path) -> Path:
    (card,) = folder.rglob("dataset.json")
    return card.parent


WAYS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "split": (write_sample, lambda f: PreparedDataset(f).split("test")),
    "fold": (folds, lambda f: open_split(PreparedDataset(f), "train", fold=0)),
    "training": (make_dataset, lambda f: fairseq_task(f, "train")),
    "generation": (make_dataset, lambda f: fairseq_task(f, "test")),
    "mixing": (
        lambda f: (write_vital_dataset(f / "a"), make_dataset(f / "b")),
        lambda f: open_mixed(PreparedDataset(_only_dataset(f / "a")), [f / "b"]),
    ),
    "pretraining": (lambda f: write_corpora(f, size=64), streams),
    "suite": (write_sample, lambda f: Benchmark.open(f)),
    "score": (write_sample, scored),
    "show": (write_sample, lambda f: command("data", "show", f, "--split", "test")),
    "export": (write_sample, lambda f: command("data", "export-tsv", f, "--out", f / "out")),
    "filter": (write_sample, lambda f: command("data", "filter", f, "--min-side", 2)),
    "decontaminate": (
        write_sample,
        lambda f: command("data", "decontaminate", f, "--against", f),
    ),
}
"""By name: what writes a dataset, and what reads it."""


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_refuses_a_split_that_was_changed(way: str, tmp_path: Path) -> None:
    write, read = WAYS[way]
    write(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "changed")
    tamper(tmp_path / "changed")
    with pytest.raises(BiomedGPTError, match=REFUSED):
        read(tmp_path / "changed")


def test_no_module_opens_a_split_without_its_card() -> None:
    """Only the module itself, the check that goes on, and what reads its own unfinished files."""
    known = {
        "biomedgpt/corpora/merge.py": {"PreparedSplit"},  # shards, which have no card
        "biomedgpt/data/prepared/dataset.py": {"PreparedSplit", "unverified_split"},
        "biomedgpt/data/prepared/integrity.py": {"unverified_split"},
        "biomedgpt/data/prepared/writer.py": {"PreparedSplit"},  # to make the card
    }
    found: dict[str, set[str]] = {}
    for package in ("biomedgpt", "fairseq_ext", "evaluation", "bench"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if name in ("PreparedSplit", "unverified_split"):
                        found.setdefault(str(path.relative_to(ROOT)), set()).add(name)
    assert found == known


def test_a_file_is_hashed_once_and_again_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample(tmp_path / "data")
    path = tmp_path / "data" / "train.h5"
    os.utime(path, LONG_AGO)
    hashed = []
    true_hash = stamps.file_hash
    monkeypatch.setattr(stamps, "file_hash", lambda one: hashed.append(one) or true_hash(one))
    for _ in range(3):
        PreparedDataset(tmp_path / "data").split("train")
    assert hashed == [path]
    tamper(tmp_path / "data")
    os.utime(path, LONG_AGO)  # as a copy that keeps times would leave it
    with pytest.raises(DataError, match=REFUSED):
        PreparedDataset(tmp_path / "data").split("train")


@pytest.mark.parametrize("group", ["fields/question", "fields/answer", "images", "row_images"])
def test_what_no_stamp_shows_is_told_by_checksums(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample(tmp_path)
    with h5py.File(tmp_path / "train.h5", "r+") as file:
        data = file[f"{group}/data"]
        data[-1] = ord("x") if group.startswith("fields") else data[-1] ^ 1
    hashes = PreparedDataset(tmp_path).card.hashes
    monkeypatch.setattr(dataset_module, "stamped_hash", lambda path: hashes[path.stem])
    split = PreparedDataset(tmp_path).split("train")
    assert split[0]
    with pytest.raises(DataError, match=r"train\.h5: (row 4|image 2): .*checksum differs"):
        split[3]


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed_up(tmp_path: Path) -> None:
    """A worker that starts later maps the file anew."""
    write_sample(tmp_path)
    split = PreparedDataset(tmp_path).split("train")
    worker = pickle.loads(pickle.dumps(split))
    assert worker[0] == split[0]
    late = pickle.loads(pickle.dumps(split))
    write_sample(tmp_path / "other")
    (tmp_path / "other" / "test.h5").replace(tmp_path / "train.h5")
    assert split[0]["question"] == "Is it red?"
    with pytest.raises(DataError, match=r"train\.h5: changed since it was opened"):
        late[0]


@pytest.mark.parametrize("key", [*(one.name for one in fields(DatasetCard)), "card_hash"])
def test_a_card_that_was_edited_is_refused(key: str, tmp_path: Path) -> None:
    write_sample(tmp_path)
    path = tmp_path / "dataset.json"
    content = json.loads(path.read_text())
    value = content.pop(key)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"dataset\.json: (missing or unknown|format|changed)"):
        PreparedDataset(tmp_path)
    changes = {str: lambda one: f"{one}0", int: lambda one: one - 1}
    changes |= {list: lambda one: [*one, "x"], dict: lambda one: one | {"train": None}}
    path.write_text(json.dumps(content | {key: changes[type(value)](value)}))
    with pytest.raises(DataError, match=r"dataset\.json: .*(prepare|copy)"):
        PreparedDataset(tmp_path)
    path.write_text(json.dumps(content | {key: value}))  # in another order
    assert PreparedDataset(tmp_path)


def test_version_1_is_read_as_before(tmp_path: Path) -> None:
    images = [encoded(), None, encoded((1, 2, 3)), None, encoded()]
    rows = [Row(vqa_row(n).fields, image) for n, image in enumerate(images)]
    write_dataset(tmp_path / "mixed", FACTS, {"train": rows, "test": rows[1:2]})
    new = PreparedDataset(tmp_path / "mixed")
    content = {name: [dict(row) for row in new.split(name)] for name in new.splits}
    index = new.split("train").image_index.tolist()
    assert index == [0, -1, 1, -1, 0]
    assert [new.split("train").image_number(row) for row in range(5)] == index
    make_version_1(tmp_path / "mixed")
    old = PreparedDataset(tmp_path / "mixed")
    assert old.split("train").version == 1
    assert {name: [dict(row) for row in old.split(name)] for name in old.splits} == content
    assert old.split("train").image_index.tolist() == index
    assert [old.split("train").image_number(row) for row in range(5)] == index
    # Its card has no hash of its own, but hashes of the splits.
    change_card(tmp_path / "mixed", lambda card: card.update(majority_answer="red"))
    assert PreparedDataset(tmp_path / "mixed").split("test").version == 1
    tamper(tmp_path / "mixed")
    with pytest.raises(DataError, match=REFUSED):
        PreparedDataset(tmp_path / "mixed").split("test")
    rehash(tmp_path / "mixed")
    assert PreparedDataset(tmp_path / "mixed").split("test")


def test_an_image_that_the_answer_shows_has_another_role(tmp_path: Path) -> None:
    drawn = {"id": "a", "instruction": "draw", "answer": "<image>", "image_in": IN_ANSWER}
    seen = drawn | {"id": "b", "image_in": ""}
    facts = DatasetFacts("d", Instruction.name, "here", "none", fields=tuple(drawn))
    write_dataset(tmp_path, facts, {"train": [Row(drawn, encoded()), Row(seen, encoded())]})
    with h5py.File(tmp_path / "train.h5") as file:
        roles = file["row_images/data"][1::2].tolist()
    assert [ROLES[number] for number in roles] == ["target", "source"]


def test_codes_that_were_changed_within_their_range_are_refused(tmp_path: Path) -> None:
    write_sample(tmp_path)
    split = PreparedDataset(tmp_path).split("train")
    middle, whole = np.zeros((2, 4), np.int32), np.zeros((2, 9), np.int32)
    for change in (
        lambda file: file["whole"].__setitem__((1, 3), 7),
        lambda file: file.attrs.__setitem__("image_size", 33),
        lambda file: file.attrs.__setitem__("sha256", "0" * 64),
    ):
        path = write_codes(split, CODES, middle, whole)
        assert CodesFile(split).info == CODES
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(DataError, match=r"train\.codes\.h5: changed since it was written"):
            CodesFile(split)


def test_codes_of_version_1_are_read_as_before(tmp_path: Path) -> None:
    write_sample(tmp_path)
    split = PreparedDataset(tmp_path).split("train")
    write_codes(split, CODES, np.ones((2, 4), np.int32), np.zeros((2, 9), np.int32))
    with h5py.File(codes_path(split), "r+") as file:
        file.attrs["version"] = 1
        del file.attrs["sha256"]
    assert CodesFile(split).middle(1) == [1] * 4


def test_a_check_reads_what_a_stamp_vouches_for(tmp_path: Path, capsys: Any) -> None:
    """`data check` looks at the disk, and what turned out to be wrong is noted no longer."""
    write_sample(tmp_path)
    path = tmp_path / "test.h5"
    os.utime(path, LONG_AGO)
    PreparedDataset(tmp_path).split("test")
    stamp = tmp_path / ".test.h5.stamp"
    tamper(tmp_path)
    state = [path.stat().st_size, *(getattr(path.stat(), f"st_{n}_ns") for n in ("mtime", "ctime"))]
    hashes = PreparedDataset(tmp_path).card.hashes
    stamp.write_text(json.dumps({"state": [*state, path.stat().st_ino], "sha256": hashes["test"]}))
    assert PreparedDataset(tmp_path).split("test")  # as after damage that only reading shows
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "test.h5 has changed since preparation" in capsys.readouterr().out
    with pytest.raises(DataError, match=REFUSED):
        PreparedDataset(tmp_path).split("test")
