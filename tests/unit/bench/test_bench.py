"""The benchmark suite itself: nothing timed is asserted."""

import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT

sys.path.insert(0, str(ROOT))

from bench import curves, inputs, results
from bench.__main__ import parse
from bench.cases import CANDIDATES, CASES
from bench.ours import Ours


def test_every_case_has_a_method() -> None:
    for case in CASES.values():
        assert hasattr(Ours, case.kind), case.name


@pytest.mark.parametrize(
    "name", ["encoder", "greedy-32", "allcand-517", "train", "train-vqa", "trie-beam5"]
)
def test_a_case_repeats_itself(name: str) -> None:
    side = Ours("nano", torch.device("cpu"), torch.float32)
    case = CASES[name]
    run, floor = getattr(side, case.kind)({**case.options, "batch": 1})
    side.close()
    first = run()
    assert first
    assert all(abs(one - other) < 1e-4 for one, other in zip(first, run(), strict=True))
    assert sum(operations for operations, _ in floor) > 0


def test_inputs_are_fixed() -> None:
    answers = inputs.candidates(CANDIDATES)
    assert len(answers) == len(set(map(tuple, answers))) == CANDIDATES
    assert answers == inputs.candidates(CANDIDATES)
    state = {"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4)}
    inputs.fill(state, state)
    other = {"b.weight": torch.zeros(4)}
    inputs.fill(other, other)
    assert torch.equal(state["b.weight"], other["b.weight"])


def test_results_are_kept_by_case_and_size(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    machine = results.describe_machine(threads=2, device="cpu", dtype="float32", versions={})
    results.save(path, machine, [results.Line("encoder", "tiny", seconds=0.12345)])
    results.save(path, machine, [results.Line("train", "tiny", seconds=1.0, floor_ratio=1.5)])
    found, lines = results.load(path)
    assert found["threads"] == 2
    assert [line.key for line in lines] == [("encoder", "tiny"), ("train", "tiny")]
    shown = results.table(lines, lines, upstream=False)
    assert "0.123" in shown
    assert "1.50" in shown


def test_unusable_checkout_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--upstream", str(tmp_path)])
    assert "no models/ofa/ofa.py" in capsys.readouterr().err.splitlines()[-1]


def _points(*pairs: tuple[int, float]) -> list[curves.Point]:
    return [curves.Point(value=value, seconds=seconds, mib=1.0) for value, seconds in pairs]


def test_a_curve_that_grows_faster_than_stated_is_told() -> None:
    curve = curves.CURVES["beams"]
    linear = curves.verdict(curve, _points((1, 1.0), (8, 2.0), (16, 4.0)))
    assert linear["met"]
    assert linear["time"]["order"] == 1.0
    assert linear["memory"]["order"] == 0.0  # what the allocator makes of next to nothing
    square = curves.verdict(curve, _points((1, 1.0), (8, 2.0), (16, 8.0)))
    assert not square["met"]
    assert "MORE THAN EXPECTED" in curves.table({"beams": square})


@pytest.mark.parametrize("name", ["open", "index"])
def test_rows_are_counted(name: str) -> None:
    side = Ours("nano", torch.device("cpu"), torch.float32)
    run, _ = getattr(side, curves.CURVES[name].kind)({"rows": 70})
    assert run() == [{"open": 4.0, "index": 3.0}[name]]
    side.close()
