"""Readers of instruction data on small files in the published formats."""

import json
from collections import Counter

import pytest
from data_command import run as run_command
from preparing import check_card, one_bad_row, refuses_another_release, run
from raw_releases.all import build
from raw_releases.instructions import (
    COUNT,
    medmax_record,
    turns,
    vital_record,
    write_image,
    write_json,
    write_lines,
    write_medmax,
    write_vital,
)

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.raw.instruction_rows import MISSING_FILE, modality_name
from biomedgpt.data.registry import BENCHMARKS, INSTRUCTIONS
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.tasks import get_task
from biomedgpt.tasks.dialogue import parse_history


def rows(folder, *splits):
    dataset = PreparedDataset(folder)
    found = [dataset.split(name) for name in splits or dataset.splits]
    return [split[n] for split in found for n in range(len(split))]


def by_dialogue(folder, *splits):
    return {(row["dialogue"], row["id"].partition("-")[2]): row for row in rows(folder, *splits)}


PARTS = [(name, part) for name, spec in INSTRUCTIONS.items() for part in (*spec.parts, None)]


@pytest.mark.parametrize(
    ("name", "part"), [one for one in PARTS if one[0] != "biomed-vital" or one[1] in (None, "210k")]
)
def test_every_release_is_prepared_and_sound(name, part, tmp_path):
    raw = build(name, tmp_path / "raw")
    card = run(name, raw, tmp_path / "out", part=part)
    report = check_dataset(tmp_path / "out")
    assert report.problems == []
    assert list(card.counts) == ["train", "valid", "test"]
    assert card.answers == []  # free text: nothing to choose from
    spec = INSTRUCTIONS[name]
    assert card.preparation.get("part") == (part or next(iter(spec.parts), None))
    assert sum(card.preparation["counts"]["rows by modality"].values()) == sum(card.counts.values())
    assert all(pair["images"] == 0 for pair in report.shared.values())
    task = get_task("instruction")
    found = rows(tmp_path / "out")
    assert len({row["id"] for row in rows(tmp_path / "out", "train")}) == card.counts["train"]
    for row in found:
        assert row.keys() >= {"id", *task.fields.all}
        assert task.instruction(row)
        assert task.target(row)
        assert "<image>" not in row["instruction"] + row["history"]
    again = run(name, raw, tmp_path / "again", part=part)
    assert again.hashes == card.hashes


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_another_release_is_refused_in_one_line(name, tmp_path):
    other = "medmax" if name != "medmax" else "pubmedvision"
    raw = build(other, tmp_path / "raw")
    if name == "llama3-med":  # takes whatever list it is given, but not MedMax's
        (raw / "validation.jsonl").unlink()
    refuses_another_release(name, raw, tmp_path)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_card_says_what_the_registry_knows(name):
    check_card(name, INSTRUCTIONS[name])


def test_a_dialogue_becomes_an_example_per_answer(tmp_path):
    said = turns(7, mark="after", rounds=3)
    raw = write_vital(tmp_path / "raw", [*map(vital_record, range(6)), vital_record(7)])
    records = json.loads((raw / "BioMed-VITAL-instructions-210K.json").read_text())
    records[6]["conversations"] = [{"from": "system", "value": "Be kind."}, *said, said[0]]
    write_json(raw / "BioMed-VITAL-instructions-210K.json", records)
    run("biomed-vital", raw, tmp_path / "out")
    found = by_dialogue(tmp_path / "out")
    first, second, third = (found["1007_F7", str(n)] for n in (1, 2, 3))
    assert first["instruction"] == "What is shown in figure 7?"
    assert (first["history"], first["answer"]) == ("", "An opacity, 7.")
    assert second["instruction"] == "Is it large? (1)"
    assert parse_history(second["history"], where="") == [
        ("What is shown in figure 7?", "An opacity, 7.")
    ]
    assert len(parse_history(third["history"], where="")) == 2
    assert first["image"] == third["image"] == (raw / "images" / "1007_F7.jpg").read_bytes()
    assert ("1007_F7", "4") not in found  # asked, and never answered
    task = get_task("instruction")
    assert task.instruction(third) == (
        "what is shown in figure 7? answer: An opacity, 7. is it large? (1) answer: Yes - it is "
        "large. is it large? (2)"
    )
    assert task.target(third) == "Yes - it is large."


def test_domains_are_named_alike(tmp_path):
    run("biomed-vital", write_vital(tmp_path / "raw"), tmp_path / "out")
    assert Counter(row["modality"] for row in rows(tmp_path / "out")) == {
        "chest x-ray": 6,
        "mri": 6,
        "histology": 4,
        "gross pathology": 4,
        "ct": 4,
    }
    assert modality_name({"mri": True, "gross": False, "ct_scan": 1}) == "ct + mri"
    assert modality_name(["CT", " "]) == "ct"
    assert modality_name(None) == modality_name({}) == modality_name(3) == ""


def test_missing_images_are_counted_and_listed(tmp_path):
    raw = write_vital(tmp_path / "raw")
    for number in (2, 8):
        (raw / "images" / f"{1000 + number}_F{number}.jpg").unlink()
    card = run("biomed-vital", raw, tmp_path / "out")
    assert card.preparation["counts"]["left out"] == {"rows whose image is missing": 4}
    assert (tmp_path / "out" / MISSING_FILE).read_text() == "1002_F2.jpg\n1008_F8.jpg\n"
    assert sum(card.counts.values()) == 2 * (COUNT - 2)
    for path in (raw / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no usable row \(24 rows whose image is missing; first"):
        run("biomed-vital", raw, tmp_path / "none")


def test_text_only_dialogues_are_rows_without_an_image(tmp_path):
    records = [vital_record(n) for n in range(4)]
    records += [
        {"id": n, "image": None, "conversations": turns(int(n), mark="none")} for n in "5678"
    ]
    records.append({"id": "9", "conversations": turns(9)})  # a mark, and no image to it
    raw = write_vital(tmp_path / "raw", records)
    card = run("biomed-vital", raw, tmp_path / "out", valid_fraction=0.0)
    assert card.counts == {"train": 16}
    texts = [row for row in rows(tmp_path / "out") if "image" not in row]
    assert len(texts) == 8
    assert {row["modality"] for row in texts} == {"text only"}
    assert card.preparation["counts"]["left out"] == {"rows whose image is not named": 2}


def test_dialogues_with_several_images_are_left_out_and_counted(tmp_path):
    raw = build("pubmedvision", tmp_path / "raw")
    card = run("pubmedvision", raw, tmp_path / "out")
    assert card.preparation["counts"]["left out"] == {"rows with several images": 1}
    assert card.preparation["counts"]["rows by modality"] == {"ct": 6, "ultrasound": 5}


def test_images_are_found_where_archives_were_unpacked(tmp_path):
    raw = build("pubmedvision", tmp_path / "raw")
    (raw / "images" / "images").mkdir()
    for path in list((raw / "images").glob("*.jpg"))[:3]:
        path.rename(raw / "images" / "images" / path.name)  # looked for as images/images/NAME
    assert sum(run("pubmedvision", raw, tmp_path / "out").counts.values()) == COUNT - 1


def test_splits_share_no_image_and_follow_the_seed(tmp_path):
    records = [vital_record(n) for n in range(30)]
    records += [vital_record(n, id=f"again {n}") for n in range(30)]  # as merged files repeat some
    raw = tmp_path / "raw"
    write_json(raw / "BioMed-VITAL-instructions-210K.json", records)
    for record in records:
        write_image(raw / "images" / record["image"], int(record["image"][:4]))
    cards = [
        run("biomed-vital", raw, tmp_path / f"{seed}", valid_fraction=0.1, seed=seed)
        for seed in (1, 2)
    ]
    assert cards[0].counts == cards[1].counts == {"train": 96, "valid": 12, "test": 12}
    assert cards[0].hashes != cards[1].hashes
    for pair in cards[0].leakage["shared_between_splits"].values():
        assert pair["images"] == 0
    with pytest.raises(ConfigError, match="too few to hold 15 out for valid and test"):
        run("biomed-vital", raw, tmp_path / "half", valid_fraction=0.49)
    for fraction in (-0.1, 0.5):
        with pytest.raises(ConfigError, match=r"must be at least 0 and below 0\.5"):
            run("biomed-vital", raw, tmp_path / "half", valid_fraction=fraction)


def test_medmax_keeps_official_validation_and_drops_foreign_tokens(tmp_path):
    raw = write_medmax(tmp_path / "raw")
    card = run("medmax", raw, tmp_path / "out")
    assert (card.counts["valid"], card.counts["train"] + card.counts["test"]) == (3, COUNT - 2)
    assert card.preparation["counts"]["left out"] == {
        "rows that answer with an image": 1,
        "rows whose image is not named": 1,
    }
    found = by_dialogue(tmp_path / "out", "train", "test")
    assert (found["3", "1"]["answer"], found["3", "1"]["modality"]) == ("A sac.", "quilt")
    assert found["5", "1"]["instruction"] == "Describe."
    everything = run("medmax", raw, tmp_path / "all", part="all")
    assert sum(everything.counts.values()) == sum(card.counts.values()) + 1
    drawn = by_dialogue(tmp_path / "all", "train", "test")["2", "1"]
    assert drawn["image_in"] == "answer"
    assert drawn["answer"] == "Here it is: <image> as asked."
    assert drawn["image"] == (raw / "images" / "quilt" / "1.jpg").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conversations": "hello"}, "no list of turns"),
        ({"conversations": [3]}, "turn 1: not an object with from and value"),
        ({"conversations": turns(1)[1:]}, "turn 1: gpt speaks twice, or first"),
        ({"conversations": turns(1)[:1]}, "nothing is answered"),
        ({"conversations": [{"from": "human", "value": "<image>"}, turns(1)[1]]}, "nothing is"),
        ({"conversations": [turns(1)[0], {"from": "gpt", "value": " "}]}, "the answer is empty"),
        ({"conversations": [{"from": "nurse", "value": "a"}]}, "from is 'nurse'"),
        ({"image": {"a": 1}}, "image is neither a name nor a list of names"),
        ({"image": "../../secret.png"}, "leads out of"),
        ({"id": True}, "id is neither text"),
    ],
)
def test_a_bad_dialogue_is_named_by_row_and_may_be_skipped(tmp_path, change, message):
    raw = write_vital(tmp_path / "raw", [vital_record(n) for n in range(6)])
    path = raw / "BioMed-VITAL-instructions-210K.json"
    records = json.loads(path.read_text())
    records[3] |= change
    write_json(path, records)
    card = one_bad_row("biomed-vital", raw, tmp_path, rf"row 4\b.*{message}")
    assert sum(card.counts.values()) == 10


def test_a_broken_image_is_a_bad_row(tmp_path):
    raw = write_vital(tmp_path / "raw", [vital_record(n, id=f"{n}_x") for n in range(8)])
    run("biomed-vital", raw, tmp_path / "good")
    held = {row["dialogue"] for row in rows(tmp_path / "good", "valid", "test")}
    broken = next(n for n in range(8) if f"{n}_x" not in held)
    (raw / "images" / f"{1000 + broken}_F{broken}.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=rf"row {broken + 1} .*answer 1.*--skip-bad"):
        run("biomed-vital", raw, tmp_path / "strict")
    card = run("biomed-vital", raw, tmp_path / "out", skip_bad=True)
    assert card.preparation["skipped"] == 2


def test_texts_that_are_not_utf8_are_bad_rows(tmp_path):
    raw = write_vital(tmp_path / "raw", [vital_record(n) for n in range(6)])
    path = raw / "BioMed-VITAL-instructions-210K.json"
    path.write_bytes(path.read_bytes().replace(b"figure 2?", b"figure \xe9?"))
    one_bad_row("biomed-vital", raw, tmp_path, r"row 3 .*turn 1 is not UTF-8 \(byte 0xe9\)")


def test_medmax_texts_without_a_turn_are_bad_rows(tmp_path):
    raw = write_medmax(tmp_path / "raw")
    write_lines(raw / "train.jsonl", [*map(medmax_record, range(8)), medmax_record(8, text="a b")])
    one_bad_row("medmax", raw, tmp_path, r"train\.jsonl: row 9: text has no end of turn")


def test_the_wanted_part_is_asked_for_by_name(tmp_path):
    raw = write_vital(tmp_path / "raw", size="60K")
    with pytest.raises(DataError, match=r"no BioMed-VITAL-instructions-210K\.json; .*--part 60k"):
        run("biomed-vital", raw, tmp_path / "out")
    assert run("biomed-vital", raw, tmp_path / "out", part="60k").preparation["part"] == "60k"
    with pytest.raises(ConfigError, match="--part 61k: biomed-vital has the parts 210k, 150k"):
        run("biomed-vital", raw, tmp_path / "other", part="61k")
    with pytest.raises(ConfigError, match="vqa-rad comes in one part: leave out --part"):
        run("vqa-rad", raw, tmp_path / "other", part="61k")
    write_lines(raw / "BioMed-VITAL-instructions-60K.jsonl", [vital_record(1)])
    with pytest.raises(DataError, match="several files"):
        run("biomed-vital", raw, tmp_path / "other", part="60k")


def test_instruction_data_are_listed_apart_from_the_benchmarks(tmp_path, capsys):
    assert run_command("list", "--root", tmp_path) == 0
    printed = capsys.readouterr().out
    assert f"{len(BENCHMARKS)} benchmarks" in printed
    assert "instruction data (--kind instruction): biomed-vital, llava-med" in printed
    assert run_command("list", "--kind", "instruction", "--json", "--root", tmp_path) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == list(INSTRUCTIONS)
    assert {entry["task"] for entry in entries} == {"instruct"}


def test_prepare_prints_modalities_and_what_was_left_out(tmp_path, capsys):
    raw = write_vital(tmp_path / "raw")
    (raw / "images" / "1002_F2.jpg").unlink()
    words = ("--raw", raw, "--out", tmp_path / "out", "--part", "210k")
    assert run_command("prepare", "biomed-vital", *words) == 0
    printed = capsys.readouterr().out
    assert "rows by modality: chest x-ray 6, mri 6, gross pathology 4, ct 4, histology 2" in printed
    assert "left out: rows whose image is missing 2" in printed
    assert (tmp_path / "out" / "vocabulary").is_dir()
