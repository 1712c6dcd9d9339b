"""The reader of SEER case listings."""

import gzip
import re

import pytest
from data_samples import nothing_left
from raw_releases.clinical_text import seer_case, write_seer

from biomedgpt.data.prepare import prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.readers.seer import ANSWERS
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError

SURGERY = "RX Summ--Surg Prim Site (1998-2022)"
SURGERY_2023 = "RX Summ--Surg Prim Site 2023 (2023+)"
RADIATION = "Radiation recode"
CHEMOTHERAPY = "Chemotherapy recode (yes, no/unk)"
NOTHING = {SURGERY: "00", RADIATION: "None/Unknown", CHEMOTHERAPY: "No/Unknown"}


def run(raw, out, **options):
    return prepare("seer", raw=raw, out=out, options=PrepareOptions(vocabulary=False, **options))


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def rows(folder):
    dataset = PreparedDataset(folder)
    return {row["id"]: row for name in dataset.folds for row in dataset.split(name)}


def test_record_is_what_was_known_before_treatment(raw, tmp_path):
    write_seer(raw)
    card = run(raw, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert len(found) == 40
    assert found["00000002-2"] | {"patient": ""} == {
        "id": "00000002-2",
        "record": "Age recode with single ages and 90+: 44 years; Sex: Male; "
        "Race recode (W, B, AI, API): White; Year of diagnosis: 2014; "
        "Primary Site - labeled: C50.4-Upper-outer quadrant of breast; "
        "Derived AJCC Stage Group, 7th ed (2010-2015): IIA",
        "answer": "surgery",
        "patient": "",
    }
    assert {row["answer"] for row in found.values()} == set(ANSWERS) == set(card.answers)
    left_out = card.preparation["columns_left_out"]
    for word in ("Survival months", "Vital status", "death", "Surg/Rad Seq", "Reason no cancer"):
        assert word in left_out
    assert len(ANSWERS) == 8
    assert ANSWERS[0] == "none"
    assert ANSWERS[-1] == "surgery, radiation and chemotherapy"


def test_a_patient_is_in_one_fold(raw, tmp_path):
    write_seer(raw)
    run(raw, tmp_path / "out")
    dataset = PreparedDataset(tmp_path / "out")
    patients = [set(dataset.split(name).column("patient")) for name in dataset.folds]
    assert sum(map(len, patients)) == len(set().union(*patients)) == 14


@pytest.mark.parametrize("kind", ["tab", "semicolon", "no names", "gzip", "mark"])
def test_forms_of_the_export(raw, tmp_path, kind):
    write_seer(raw)
    run(raw, tmp_path / "expected")
    for path in raw.iterdir():
        path.unlink()
    if kind in ("tab", "semicolon"):
        write_seer(raw, name="cases.txt", delimiter={"tab": "\t", "semicolon": ";"}[kind])
        (raw / "cases.dic").unlink()
    elif kind == "no names":
        write_seer(raw, name="cases.txt", delimiter="\t", header=False)
    else:
        write_seer(raw)
        table = raw / "export.csv"
        if kind == "gzip":
            (raw / "export.txt.gz").write_bytes(gzip.compress(table.read_bytes()))
            table.unlink()
        else:
            table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
            (raw / "readme.txt").write_text("not a table")
    run(raw, tmp_path / "out")
    assert rows(tmp_path / "out") == rows(tmp_path / "expected")


LABELS = {
    "implants": ({RADIATION: "Radioactive implants (includes brachytherapy) (1988+)"}, "radiation"),
    "lost dash": ({RADIATION: "Radiation, NOS  method or source not specified"}, "radiation"),
    "refused": ({RADIATION: "Refused (1988+)"}, "none"),
    "recommended": ({RADIATION: "Recommended, unknown if administered"}, "none"),
    "no such surgery": ({SURGERY: "98"}, "none"),
    "one digit": ({SURGERY: "0"}, "none"),
    "since 2023": ({SURGERY: "Blank(s)", SURGERY_2023: "B300"}, "surgery"),
    "none since 2023": ({SURGERY: "Blank(s)", SURGERY_2023: "A000"}, "none"),
    "unknown surgery": ({SURGERY: "99"}, None),
    "unknown since 2023": ({SURGERY: "Blank(s)", SURGERY_2023: "A990"}, None),
    "blank": ({SURGERY: "Blank(s)"}, None),
    "no radiation data": ({RADIATION: "Not available (IL or TX)"}, None),
}


@pytest.mark.parametrize("name", LABELS)
def test_treatment(raw, tmp_path, name):
    changes, answer = LABELS[name]
    cases = [seer_case(number) for number in range(40)]
    cases.append(seer_case(50, **{"Patient ID": "x"} | NOTHING | changes))
    write_seer(raw, cases)
    card = run(raw, tmp_path / "out")
    row = rows(tmp_path / "out").get("x-1")
    assert (row and row["answer"]) == answer
    assert card.preparation["unknown_treatment"] == (answer is None)
    assert card.preparation["skipped"] == 0


def test_the_dash_of_windows_does_no_harm_to_a_label(raw, tmp_path):
    label = "Radiation, NOS - method or source not specified"
    write_seer(raw, [seer_case(number, **{RADIATION: label}) for number in range(40)])
    path = raw / "export.csv"
    path.write_bytes(path.read_bytes().replace(b"NOS - m", b"NOS \x96 m"))
    run(raw, tmp_path / "out")
    assert all("radiation" in row["answer"] for row in rows(tmp_path / "out").values())


BAD_CASES = {
    "surgery": ({SURGERY: "lots"}, f"{SURGERY} is 'lots', must be like 00, 30 or A300"),
    "radiation": ({RADIATION: "Sunlight"}, "Radiation recode is 'Sunlight', must be one of beam"),
    "chemotherapy": ({CHEMOTHERAPY: "2"}, f"{CHEMOTHERAPY} is '2', must be one of yes"),
    "patient": ({"Patient ID": ""}, "empty Patient ID"),
    "encoding": ({"Sex": "M\udce4nnlich"}, "Sex is not UTF-8 (byte 0xe4)"),
}


@pytest.mark.parametrize("name", BAD_CASES)
def test_a_bad_case_is_one_error_or_skipped(raw, tmp_path, name):
    changes, message = BAD_CASES[name]
    write_seer(raw)
    path = raw / "export.csv"
    lines = path.read_bytes().split(b"\r\n")
    values = ",".join(f'"{value}"' for value in seer_case(1, **changes).values())
    lines[2] = values.encode(errors="surrogateescape")
    path.write_bytes(b"\r\n".join(lines))
    target = tmp_path / "parent" / "out"
    target.parent.mkdir()
    with pytest.raises(
        DataError, match=rf"export\.csv: row 2: {re.escape(message)}.*--skip-bad"
    ) as e:
        run(raw, target)
    assert "\n" not in str(e.value)
    assert nothing_left(target.parent)
    card = run(raw, target, skip_bad=True)
    assert sum(card.counts.values()) == 39
    assert card.preparation["skipped"] == 1


def test_listings_that_cannot_be_used_are_refused(raw, tmp_path):
    with pytest.raises(DataError, match="raw has no case listing of SEER"):
        run(raw, tmp_path / "out")
    cases = [seer_case(number) for number in range(40)]
    for case in cases:
        del case[RADIATION], case[CHEMOTHERAPY]
    write_seer(raw, cases)
    with pytest.raises(DataError, match=r"export\.csv: no column 'Radiation recode' and 'Chemo"):
        run(raw, tmp_path / "out")
    write_seer(raw, [seer_case(number) for number in range(12)])
    with pytest.raises(DataError, match=r"export\.csv: 4 patients .* 10 folds"):
        run(raw, tmp_path / "out")
    write_seer(raw, name="again.txt", delimiter="\t")
    with pytest.raises(DataError, match=r"several case listings \(again\.txt and export\.csv\)"):
        run(raw, tmp_path / "out")
