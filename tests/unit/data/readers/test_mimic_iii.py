"""The two readers of MIMIC-III."""

import gzip

import pytest
from data_samples import nothing_left
from raw_releases.clinical_text import (
    NOTE,
    discharge_summary,
    mimic_admissions,
    mimic_notes,
    radiology_report,
    write_mimic,
)

from biomedgpt.data.prepare import count_differences, prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.readers.mimic_iii import admission_note, findings_and_impression
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import ConfigError, DataError

EMPTY = "FAMILY HISTORY: SOCIAL HISTORY:"


def run(name, raw, out, **options):
    return prepare(
        f"mimic-iii-{name}", raw=raw, out=out, options=PrepareOptions(vocabulary=False, **options)
    )


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def rows(folder):
    dataset = PreparedDataset(folder)
    return {row["id"]: row for name in dataset.splits for row in dataset.split(name)}


def patients(folder):
    dataset = PreparedDataset(folder)
    return {name: set(dataset.split(name).column("patient")) for name in dataset.splits}


def note(row, admission, **changes):
    return NOTE | {"ROW_ID": str(row), "HADM_ID": str(admission), "SUBJECT_ID": "1"} | changes


def test_admission_notes_and_answers(raw, tmp_path):
    write_mimic(raw)
    card = run("mortality", raw, tmp_path / "out")
    assert card.counts == {"train": 14, "valid": 2, "test": 4}
    assert card.answers == ["no", "yes"]
    found = rows(tmp_path / "out")
    assert found["1004"] == {
        "id": "1004",
        "note": "CHIEF COMPLAINT: Chest pain 4 PRESENT ILLNESS: This is a man with chest pain "
        "number 4. He was seen at 3:00. MEDICAL HISTORY: MEDICATION ON ADMISSION: "
        f"ALLERGIES: No Known Drug Allergies PHYSICAL EXAM: {EMPTY}",
        "answer": "yes",
        "patient": "4",
    }
    assert found["1005"]["answer"] == "no"
    assert "mimic-iii-mortality: 60 notes, the official release has 2,083,180" in count_differences(
        card
    )


@pytest.mark.parametrize("name", ["mortality", "summary"])
def test_a_patient_is_in_one_split(raw, tmp_path, name):
    notes = mimic_notes()
    for one in notes:  # two admissions, or reports, per patient
        one["SUBJECT_ID"] = str((int(one["SUBJECT_ID"]) + 1) // 2)
    admissions = mimic_admissions()
    for one in admissions:
        one["SUBJECT_ID"] = str((int(one["SUBJECT_ID"]) + 1) // 2)
    write_mimic(raw, notes, admissions)
    run(name, raw, tmp_path / "out")
    found = patients(tmp_path / "out")
    assert {split: len(members) for split, members in found.items()} == {
        "train": 7,
        "valid": 1,
        "test": 2,
    }
    assert len(set().union(*found.values())) == 10
    run(name, raw, tmp_path / "other", seed=5)
    assert patients(tmp_path / "other") != found
    with pytest.raises(ConfigError, match="has its own validation split"):
        run(name, raw, tmp_path / "more", valid_fraction=0.2)


def test_which_notes_count(raw, tmp_path):
    complaint = "Chief Complaint:\n{}\n\nService: MICU\n"
    history = "Past Medical History:\nGout {}\n\nService: MICU\n"
    notes = [
        *mimic_notes(),
        note(101, 2001, TEXT=complaint.format("late"), CHARTDATE="2118-06-20"),
        note(102, 2001, TEXT=complaint.format("early"), CHARTDATE="2118-06-10"),
        note(103, 2001, TEXT=history.format("a"), DESCRIPTION="Addendum"),
        note(104, 2002, TEXT=complaint.format("only"), DESCRIPTION="Addendum"),
        note(105, 2003, TEXT=complaint.format("newborn")),
        note(106, 2004, TEXT="Nothing is known.\n"),
        note(107, "", TEXT=complaint.format("nobody")),
        note(108, 2001, TEXT=" "),
        note(109, 2005, TEXT=complaint.format("twice"), CHARTDATE="2118-06-20"),
        note(110, "2006.0", TEXT=complaint.format("twice"), CHARTDATE="2118-06-21"),
    ]
    admission = mimic_admissions()[0]
    admissions = [
        *mimic_admissions(),
        *(admission | {"HADM_ID": str(number)} for number in range(2001, 2007)),
    ]
    admissions[-4]["ADMISSION_TYPE"] = "NEWBORN"
    write_mimic(raw, notes, admissions)
    card = run("mortality", raw, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert found.keys() - {str(1000 + number) for number in range(1, 21)} == {"2001", "2006"}
    assert found["2001"]["note"].startswith("CHIEF COMPLAINT: early PRESENT ILLNESS: MEDICAL HISTO")
    assert "MEDICAL HISTORY: Gout a MEDICATION" in found["2001"]["note"]
    assert card.preparation["admissions_without_sections"] == 1
    assert card.preparation["found_counts"] == {"notes": 70, "admissions": 26}
    assert card.preparation["skipped"] == 0


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("chief complaint: a\r\n\r\nService: b", "CHIEF COMPLAINT: a"),
        # A line with a digit, a dot or a bracket before the colon is no heading.
        ("Chief Complaint:\na\n\n1. b: c\n\nPlan (d): e\n\nPlan:", "a 1. b: c Plan (d): e"),
        ("Chief Complaint: a\n\nService", None),
        ("Chief Complaint: Patient died, a\n\nService:", "CHIEF COMPLAINT: , a PRESENT"),
        ("Allergies: a\n\nService: b", None),
        ("no headings", None),
    ],
)
def test_sections(summary, expected):
    note = admission_note(summary)
    assert note == "" if expected is None else expected in note


def test_published_patient_lists_are_used(raw, tmp_path):
    write_mimic(raw)
    (raw / "tasks").mkdir()
    lists = {"train": range(1, 8), "val": (8, 8, 12), "test": range(13, 20)}
    for name, members in lists.items():
        text = "SUBJECT_ID\n" + "".join(f"{member}\n" for member in members)
        (raw / "tasks" / f"mimic_{name}.csv").write_text(text)
    card = run("mortality", raw, tmp_path / "out")
    assert card.counts == {"train": 7, "valid": 2, "test": 7}
    assert patients(tmp_path / "out")["valid"] == {"8", "12"}
    assert card.preparation["split"] == "published patient lists"
    assert card.preparation["patients_in_no_list"] == 4
    with (raw / "tasks/mimic_test.csv").open("a") as file:
        file.write("1\n")
    with pytest.raises(DataError, match=r"mimic_test\.csv: row 8: patient 1 is in two lists"):
        run("mortality", raw, tmp_path / "more")
    (raw / "tasks/mimic_val.csv").unlink()
    with pytest.raises(DataError, match=r"raw has patient lists but not mimic_val\.csv"):
        run("mortality", raw, tmp_path / "more")


def test_findings_and_impressions(raw, tmp_path):
    wrong = note(100, 1001, CATEGORY="Radiology", ISERROR="1", TEXT=radiology_report(9))
    short = note(101, "", CATEGORY="Radiology", TEXT=radiology_report(9, findings="Clear."))
    empty = note(102, "", CATEGORY="Radiology", TEXT="Only a text.")
    outside = note(103, "", CATEGORY="Radiology", TEXT=radiology_report(9))
    write_mimic(raw, [*mimic_notes(), wrong, short, empty, outside])
    (raw / "ADMISSIONS.csv").unlink()
    card = run("summary", raw, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert len(found) == 21
    assert found["2"] == {
        "id": "2",
        "source": "The heart is enlarged, grade 1. The lungs are clear. There is no pleural "
        "effusion or pneumothorax. The bones are intact.",
        "summary": "Cardiomegaly, grade 1. No acute process.",
        "patient": "1",
    }
    assert "103" in found
    assert card.preparation["reports_left_out"] == 3


TEN = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (f"FINDINGS: {TEN}\n\nIMPRESSION: All clear.", (TEN, "All clear.")),
        (f" Findings:\n{TEN}\n Impressions:\n1. All\n2. clear\n", (TEN, "1. All 2. clear")),
        (
            f"FINDINGS: {TEN}\nCT HEAD: a\nIMPRESSION: All clear.\n\nADDENDUM: b",
            f"{TEN} CT HEAD: a",
        ),
        (f"FINDINGS: {TEN}\nIMPRESSION: clear", None),
        (f"IMPRESSION: All clear.\nFINDINGS: {TEN}", None),
        (f"FINDINGS: {TEN}\nIMPRESSION: All clear.\nIMPRESSION: No, not.", None),
        (f"FINDINGS/IMPRESSION: {TEN}", None),
        ("nothing", None),
    ],
)
def test_sections_of_reports(report, expected):
    found = findings_and_impression(report)
    if isinstance(expected, str):
        assert found == (expected, "All clear.")
    else:
        assert found == expected


def test_gzipped_tables_in_the_tree_of_physionet(raw, tmp_path):
    write_mimic(raw)
    run("mortality", raw, tmp_path / "expected")
    folder = raw / "physionet.org/files/mimiciii/1.4"
    folder.mkdir(parents=True)
    for name in ("NOTEEVENTS.csv", "ADMISSIONS.csv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((raw / name).read_bytes()))
        (raw / name).unlink()
    run("mortality", raw, tmp_path / "out")
    assert rows(tmp_path / "out") == rows(tmp_path / "expected")
    path = folder / "NOTEEVENTS.csv.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"NOTEEVENTS\.csv\.gz: cannot be read as a table"):
        run("mortality", raw, tmp_path / "more")


BAD_NOTES = {
    "encoding": ({"TEXT": discharge_summary(3, more="caf\udce9")}, "TEXT is not UTF-8"),
    "date": ({"CHARTDATE": ""}, "empty CHARTDATE"),
}


@pytest.mark.parametrize("name", BAD_NOTES)
def test_a_bad_note_is_one_error_or_skipped(raw, tmp_path, name):
    changes, message = BAD_NOTES[name]
    notes = mimic_notes()
    notes[6] |= changes
    write_mimic(raw, [one | {"TEXT": one["TEXT"].replace("\udce9", "\u00e9")} for one in notes])
    path = raw / "NOTEEVENTS.csv"
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xe9"))
    check_bad("mortality", raw, tmp_path, rf"NOTEEVENTS\.csv: row 7:? ?.*{message}")


def test_a_report_without_patient_is_a_bad_row(raw, tmp_path):
    notes = mimic_notes()
    notes[1]["SUBJECT_ID"] = ""
    write_mimic(raw, notes)
    check_bad("summary", raw, tmp_path, r"NOTEEVENTS\.csv: row 2: empty SUBJECT_ID")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"HOSPITAL_EXPIRE_FLAG": "2"}, "HOSPITAL_EXPIRE_FLAG is '2', must be one of 0, 1"),
        ({"HADM_ID": "1001"}, "admission 1001 was there before"),
        ({"SUBJECT_ID": ""}, "empty SUBJECT_ID"),
    ],
)
def test_a_bad_admission_is_one_error_or_skipped(raw, tmp_path, changes, message):
    admissions = mimic_admissions()
    admissions[4] |= changes
    write_mimic(raw, admissions=admissions)
    check_bad("mortality", raw, tmp_path, rf"ADMISSIONS\.csv: row 5: {message}")


def check_bad(name, raw, tmp_path, message):
    target = tmp_path / "parent" / "out"
    target.parent.mkdir()
    with pytest.raises(DataError, match=f"{message}.*--skip-bad") as caught:
        run(name, raw, target)
    assert "\n" not in str(caught.value)
    assert nothing_left(target.parent)
    card = run(name, raw, target, skip_bad=True)
    assert sum(card.counts.values()) == 19
    assert card.preparation["skipped"] == 1


def test_other_releases_are_refused(raw, tmp_path):
    with pytest.raises(DataError, match=r"raw is not the MIMIC-III .*, no ADMISSIONS\.csv or ADM"):
        run("mortality", raw, tmp_path / "out")
    write_mimic(raw, [NOTE | {"CATEGORY": "ECG"}])
    for name in ("mortality", "summary"):
        with pytest.raises(DataError, match=r"NOTEEVENTS\.csv: no .*the demo release has no notes"):
            run(name, raw, tmp_path / "out")
    text = (raw / "NOTEEVENTS.csv").read_text()
    (raw / "NOTEEVENTS.csv").write_text(text.lower())
    with pytest.raises(DataError, match=r"NOTEEVENTS\.csv: no column 'ROW_ID'"):
        run("summary", raw, tmp_path / "out")
