"""A dataset is added to a copy of the project with three files, and nothing else is touched."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

NAME = "ward-notes"
READER = '''
"""Ward notes: two tables of sentence pairs to rows."""

from functools import partial

from biomedgpt.data.raw.tables import Record, read_csv
from biomedgpt.data.rows import Row
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.tasks.entailment import ANSWER_OF_LABEL


def read(release: Release) -> RawDataset:
    """Read both tables; some training rows validate."""
    release.require_files(["train.csv", "test.csv"])
    train, test = (
        release.rows(read_csv(release.folder / name, skipped=release.skipped), parse)
        for name in ("train.csv", "test.csv")
    )
    return RawDataset(
        splits=release.hold_out(train, test, group=lambda row: row.fields["id"]),
        answers=tuple(ANSWER_OF_LABEL.values()),
    )


def parse(record: Record) -> Row:
    """Turn a record into a row."""
    fields = {name: record.text(name) for name in ("id", "sentence1", "sentence2", "label")}
    return Row(fields | {"answer": record.choice("label", ANSWER_OF_LABEL)}, where=record.where)


SPECS = (
    DatasetSpec(
        name="ward-notes",
        title="Ward notes: inference between sentences of ward notes",
        task="entailment",
        access="open",
        source="https://example.org/ward-notes",
        licence="CC0-1.0",
        read=read,
        valid_fraction=0.2,
        expected={"train": 30, "test": 9},
    ),
)
'''
RELEASE = '''
"""Ward notes."""

from biomedgpt.tasks.entailment import ANSWER_OF_LABEL


def _build(folder):
    labels = list(ANSWER_OF_LABEL)
    for name, count in (("train", 30), ("test", 9)):
        rows = [f"{name}{n},fever for {n} days,case {n},{labels[n % 3]}" for n in range(count)]
        lines = ["id,sentence1,sentence2,label", *rows]
        (folder / f"{name}.csv").write_text("\\n".join(lines))


BUILDERS = {"ward-notes": _build}
'''
CARD = """# Ward notes

| | |
| --- | --- |
| Task | entailment |
| Source | https://example.org/ward-notes |
| Licence | CC0-1.0 |
| Access | open |
| Metric | accuracy |

## Prepare

    biomedgpt data prepare ward-notes --raw RAW --out DIR

## Expected counts

30 for training, 9 for testing.

## Published numbers

None.
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project with the three files of a dataset."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("biomedgpt", "fairseq_ext", "evaluation", "run_scripts", "datasets", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    card = copy / "datasets" / NAME / "README.md"
    card.parent.mkdir()
    card.write_text(CARD)
    (copy / "biomedgpt" / "data" / "readers" / "ward_notes.py").write_text(READER)
    (copy / "tests" / "helpers" / "raw_releases" / "ward_notes.py").write_text(RELEASE)
    return copy


def run(project: Path, *words: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, which it imports instead of the installed package."""
    path = os.pathsep.join(map(str, (project, project / "tests" / "helpers")))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    words = (sys.executable, *map(str, words))
    done = subprocess.run(
        words, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def data(project: Path) -> Path:
    """Return the dataset, prepared from its test release."""
    run(project, "-m", "raw_releases", NAME, project / "raw")
    prepare = ("-m", "biomedgpt.cli.main", "data", "prepare", NAME)
    done = run(project, *prepare, "--raw", project / "raw", "--out", project / "data")
    assert "warning" not in done.stderr  # the counts are those of the reader's spec
    return project / "data"


def test_it_is_listed_and_prepared(project: Path, data: Path) -> None:
    done = run(project, "-m", "biomedgpt.cli.main", "data", "list", "--json", "--root", project)
    (entry,) = (one for one in json.loads(done.stdout) if one["name"] == NAME)
    assert entry["task"] == "understanding"
    card = json.loads((data / "dataset.json").read_text())
    assert (card["name"], card["counts"]) == (NAME, {"train": 24, "valid": 6, "test": 9})


def test_it_is_tested_like_every_benchmark(project: Path) -> None:
    tests = project / "tests" / "unit" / "data" / "test_benchmarks.py"
    done = run(
        project, "-m", "pytest", "-p", "no:cacheprovider", tests, "-k", f"{NAME} or release_to_try"
    )
    assert "5 passed" in done.stdout


def test_it_is_trained_and_scored(project: Path, data: Path) -> None:
    pytest.importorskip("fairseq", reason="needs the train extra")
    folder = project / "run"
    for verb in ("train", "evaluate"):
        recipe = (project / "run_scripts" / "launch.py", verb, NAME)
        run(project, *recipe, "--data", data, "--save-dir", folder, "--smoke", "--cpu")
    score = json.loads((folder / "score.json").read_text())
    assert (score["task"], score["n"]) == ("understanding", 9)
