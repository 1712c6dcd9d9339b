"""Readers of sets to evaluate on, on small files in the published formats."""

import json

import pytest
from checkout import require
from preparing import check_card, one_bad_row, refuses_another_release, run
from raw_releases.all import build
from raw_releases.suites import omni_record, write_json

from biomedgpt.cli.main import main
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.registry import BENCHMARKS, EVALUATION
from biomedgpt.data.rows import Skipped
from biomedgpt.metrics.answer_extraction import judge
from biomedgpt.suites.questions import Benchmark


def prepared(name, tmp_path, **options):
    run(name, build(name, tmp_path / "raw"), tmp_path / "out", **options)
    return questions(tmp_path / "out")


def questions(folder):
    return list(Benchmark.open(folder).questions(Skipped()))


@pytest.mark.parametrize("name", EVALUATION)
def test_every_release_is_prepared_and_can_be_asked(name, tmp_path):
    found = prepared(name, tmp_path)
    assert check_dataset(tmp_path / "out").problems == []
    dataset = PreparedDataset(tmp_path / "out")
    assert (dataset.card.name, dataset.splits) == (name, ["test"])
    assert len(found) == dataset.card.counts["test"] > 2
    assert len({one.id for one in found}) == len(found)
    for one in found:
        assert one.image is not None
        assert one.asked.references[0]
        assert judge(one.asked.references[0], one.asked).right in (True, None)
        if one.options:
            assert one.asked.references[0] in one.options
            assert not any(option.startswith(("A)", "A:")) for option in one.options)
    again = run(name, tmp_path / "raw", tmp_path / "again")
    assert again.hashes == dataset.card.hashes


@pytest.mark.parametrize("name", EVALUATION)
def test_another_release_is_refused_in_one_line(name, tmp_path):
    other = "probmed" if name != "probmed" else "pathmmu"
    raw = build(other, tmp_path / "raw")
    refuses_another_release(name, raw, tmp_path)


@pytest.mark.parametrize("name", EVALUATION)
def test_card_says_what_the_registry_knows(name):
    check_card(name, EVALUATION[name])


def test_they_are_no_benchmarks(capsys):
    assert not BENCHMARKS.keys() & EVALUATION.keys()
    assert main(["data", "list", "--kind", "evaluation", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(EVALUATION)


def test_references_of_vqa_rad_are_right_by_the_rule_of_their_kind(real_data, tmp_path):
    raw = require(real_data / "vqa_rad", "the release of VQA-RAD")
    run("vqa-rad", raw, tmp_path / "out")
    kinds = set()
    for split in PreparedDataset(tmp_path / "out").splits:
        for one in Benchmark.open(tmp_path / "out", split=split).questions(Skipped()):
            kinds.add(one.asked.kind)
            found = judge(one.asked.references[0], one.asked)
            assert found.aligned, one
            assert found.right in (True, None), one
    assert kinds == {"yes/no", "option", "phrase", "number", "sentence"}


def test_pmc_vqa_by_letter_and_part(tmp_path):
    found = prepared("pmc-vqa", tmp_path)
    assert found[1].options == ("Finding A1", "Finding B1", "Finding C1", "Finding D1")
    assert found[1].asked.references == ["Finding B1"]
    run("pmc-vqa", tmp_path / "raw", tmp_path / "first", part="test")
    assert questions(tmp_path / "first")[1].asked.references == ["Finding B1"]


def test_omnimedvqa_keeps_modalities(tmp_path):
    found = prepared("omnimedvqa", tmp_path)
    assert found[1].options == ("MRI", "Fundus photography")
    assert {one.groups["modality"] for one in found} == {"fundus photography"}
    assert found[0].groups["question type"] == "Modality Recognition"


def test_probmed_pairs(tmp_path):
    found = prepared("probmed", tmp_path)
    pairs = {}
    for one in found:
        pairs.setdefault(one.pair, []).append((one.role, one.asked.references[0]))
    assert len(pairs) == 15
    assert pairs["0 modality"] == [("true", "yes"), ("adversarial", "no")]
    assert pairs["2 abnormality"] == [("true", "yes")]
    assert (found[0].groups["modality"], found[0].groups["organ"]) == ("x-ray", "chest")


def test_mediconfusion_asks_both_images(tmp_path):
    found = prepared("mediconfusion", tmp_path)
    first, second = found[:2]
    assert (first.pair, second.pair, first.role, second.role) == (
        *("10001", "10001"),
        *("first", "second"),
    )
    assert first.options == second.options
    assert (*first.asked.references, *second.asked.references) == ("An occlusion", "An aneurysm")
    assert first.image != second.image


def test_quilt_vqa_closed_answers_are_yes_or_no(tmp_path):
    found = prepared("quilt-vqa", tmp_path)
    assert [one.asked.kind for one in found[:2]] == ["phrase", "yes/no"]
    assert found[1].asked.references == ["yes"]


def test_mmmu_leaves_several_images_out(tmp_path):
    found = prepared("mmmu-medical", tmp_path)
    assert len(found) == 10
    assert found[0].asked.references == ["Crohn's disease"]
    assert found[0].text == "What does show, 1?"
    assert found[1].asked.kind == "number"
    counts = PreparedDataset(tmp_path / "out").card.preparation["counts"]
    assert counts == {"left out": {"questions with several images": 5}}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"gt_answer": "PET"}, "none of the options"),
        ({"image_path": "../secret.png"}, r"without '\.\.'"),
        ({"image_path": "Images/ACRIMA/none.png"}, "no such file"),
        ({"question": ""}, "empty question"),
        ({"option_A": ""}, "empty option_A"),
    ],
)
def test_bad_rows_are_one_line(changes, match, tmp_path):
    raw = build("omnimedvqa", tmp_path / "raw")
    records = [omni_record(0), omni_record(1, **changes), omni_record(2)]
    write_json(raw / "QA_information" / "Open-access" / "ACRIMA.json", records)
    one_bad_row("omnimedvqa", raw, tmp_path, match)
