"""Our model computes the reference function: golden numbers of the published code."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from biomedgpt import parity
from biomedgpt.cli.main import main
from biomedgpt.errors import CheckpointError, DataError


@pytest.mark.parametrize("size", ["tiny", "medium"])
def test_every_golden_case_is_within_tolerance(golden: Path, size: str) -> None:
    description, arrays = parity.load_golden(golden / f"ofa_{size}")
    results = list(parity.run_model(parity.golden_model(description), arrays))
    expected = {"text", "image_text", "code"}
    if size == "tiny":
        expected |= {"grad", "gen/beam1_ngram0", "gen/beam5_ngram0"}
    assert {result.name for result in results} == expected
    assert all(result.passed for result in results), results


def test_command_fails_when_one_number_is_off(golden: Path, tmp_path: Path, capsys) -> None:
    shutil.copy(golden / "ofa_tiny.json", tmp_path / "ofa.json")
    with np.load(golden / "ofa_tiny.npz") as file:
        arrays = {key: file[key] for key in file.files if not key.startswith(("gen", "grad"))}
    arrays["code/logits_sample"][0, 0, 0] += 1e-2
    np.savez(tmp_path / "ofa.npz", **arrays)
    assert main(["parity", str(tmp_path / "ofa")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "FAILED (" in line] == ["code"]


def test_missing_files_are_named(tmp_path: Path, capsys) -> None:
    assert main(["parity", str(tmp_path / "nothing")]) == 1
    assert "nothing.json" in capsys.readouterr().err


def test_unknown_device_is_one_line(golden: Path, capsys) -> None:
    assert main(["parity", str(golden / "ofa_tiny"), "--device", "abacus"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: --device abacus: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    "change",
    [
        {"embed_dim": "x"},
        {"num_parameters": None},
        {"state_dict": [1]},
        {"state_dict": {"a": ["x", "float32"]}},
        {"tied": 5},
    ],
)
def test_damaged_descriptions_are_named(golden: Path, tmp_path: Path, change) -> None:
    description = json.loads((golden / "ofa_tiny.json").read_text())
    (tmp_path / "x.json").write_text(json.dumps(description | change))
    shutil.copy(golden / "ofa_tiny.npz", tmp_path / "x.npz")
    with pytest.raises(DataError, match=r"x\.json: .* again"):
        parity.load_golden(tmp_path / "x")


def test_damaged_arrays_are_named(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden / "ofa_tiny.json", tmp_path / "x.json")
    content = (golden / "ofa_tiny.npz").read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 255
    for damaged in (b"", b"text", content[:5000], bytes(flipped)):
        (tmp_path / "x.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.npz: damaged") as error:
            parity.load_golden(tmp_path / "x")
        assert "pickle" not in str(error.value)
    with np.load(golden / "ofa_tiny.npz") as file:
        arrays = {key: file[key] for key in file.files}
    for change, message in (
        ({"src_tokens": None}, "case 'text' lacks src_tokens"),
        ({"text/argmax": None}, "case 'text' lacks text/argmax"),
        ({"src_tokens": arrays["src_tokens"] + 10**7}, "src_tokens are not tokens"),
        ({"gen/wide/0/tokens": np.zeros(1)}, "names no beam search"),
    ):
        changed = {k: v for k, v in (arrays | change).items() if v is not None}
        np.savez(tmp_path / "x.npz", **changed)
        with pytest.raises(DataError, match=rf"x\.npz: .*{message}"):
            parity.load_golden(tmp_path / "x")


def test_description_of_another_model_is_refused(golden: Path) -> None:
    description, _ = parity.load_golden(golden / "ofa_tiny")
    description["heads"] = 8
    with pytest.raises(CheckpointError, match="of another shape"):
        parity.golden_model(description)


def test_pickled_arrays_are_refused(tmp_path: Path, golden: Path) -> None:
    shutil.copy(golden / "ofa_tiny.json", tmp_path / "x.json")
    np.savez(tmp_path / "x.npz", a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="x"):
        parity.load_golden(tmp_path / "x")
