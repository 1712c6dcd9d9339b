"""MedNLI, TREC clinical trials, SEER, MIMIC-III."""

import csv
import json
import zipfile

LABELS = ("entailment", "contradiction", "neutral")


def nli_pair(number, **changes):
    """One line of MedNLI, with the parse trees that the release has."""
    pair = {
        "sentence1": f"Patient {number} has a history of\tCAD.",
        "pairID": f"{number:08d}-5dc9-11e8-9fbd-8c85904924ab",
        "sentence1_parse": "(ROOT (NP (NN patient)))",
        "sentence1_binary_parse": "( patient )",
        "sentence2": f"Patient {number} has heart disease.",
        "sentence2_parse": "(ROOT (NP (NN patient)))",
        "sentence2_binary_parse": "( patient )",
        "gold_label": LABELS[number % 3],
    }
    return pair | changes


def write_mednli(folder, splits=None):
    """Write the three files; ``splits`` gives the pairs of some of them."""
    pairs = {
        "train": [nli_pair(number) for number in range(12)],
        "dev": [nli_pair(number) for number in range(20, 24)],
        "test": [nli_pair(number) for number in range(30, 36)],
    } | (splits or {})
    for name, lines in pairs.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"mli_{name}_v1.jsonl").write_text(text, encoding="utf-8")


def trial_xml(number, *, criteria="Inclusion Criteria:\n\n - Age &gt; 18"):
    """One record of ClinicalTrials.gov."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<clinical_study>
  <!-- This xml conforms to an XML Schema at:
    https://clinicaltrials.gov/ct2/html/images/info/public.xsd -->
  <required_header><url>https://clinicaltrials.gov/show/{trial_id(number)}</url></required_header>
  <id_info><nct_id>{trial_id(number)}</nct_id></id_info>
  <brief_title>Trial of drug {number} &amp; placebo</brief_title>
  <official_title>A Phase II Trial of Drug {number}</official_title>
  <brief_summary>
    <textblock>
      Drug {number} is compared
      with placebo.
    </textblock>
  </brief_summary>
  <condition>Anaemia</condition>
  <condition>Disease {number}</condition>
  <eligibility>
    <criteria><textblock>{criteria}</textblock></criteria>
    <gender>All</gender>
    <minimum_age>18 Years</minimum_age>
    <maximum_age>N/A</maximum_age>
    <healthy_volunteers>No</healthy_volunteers>
  </eligibility>
  <condition_browse><mesh_term>Anemia</mesh_term></condition_browse>
</clinical_study>
"""


def trial_id(number):
    return f"NCT{number:08d}"


def write_trec(folder, *, topics=12):
    """Write topics, judgments of three trials each, and trials: some in a zip, some extracted."""
    items = "".join(
        f'  <topic number="{n}">\n    A {20 + n}-year-old man,\n    with anaemia.\n  </topic>\n'
        for n in range(1, topics + 1)
    )
    text = f'<topics task="2022 TREC Clinical Trials">\n{items}</topics>\n'
    (folder / "topics2022.xml").write_text(text, encoding="utf-8")
    lines = [
        f"{n} 0 {trial_id(n + offset)} {offset}"
        for n in range(1, topics + 1)
        for offset in (0, 1, 2)
    ]
    (folder / "qrels2022.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    part1, part2 = (f"ClinicalTrials.2021-04-27.part{part}" for part in (1, 2))
    with zipfile.ZipFile(folder / f"{part1}.zip", "w") as archive:
        archive.writestr("Contents.txt", "not a trial")
        for number in range(1, 8):
            archive.writestr(f"{part1}/NCT0000xxxx/{trial_id(number)}.xml", trial_xml(number))
    extracted = folder / part2 / "NCT0000xxxx"
    extracted.mkdir(parents=True)
    for number in range(8, topics + 3):
        (extracted / f"{trial_id(number)}.xml").write_text(trial_xml(number), encoding="utf-8")


SEER_TREATMENTS = [
    (surgery, radiation, chemotherapy)
    for surgery in ("00", "30")
    for radiation in ("None/Unknown", "Beam radiation")
    for chemotherapy in ("No/Unknown", "Yes")
]


def seer_case(number, **changes):
    """One tumour as SEER*Stat exports it; the third of a patient's is their second one."""
    surgery, radiation, chemotherapy = SEER_TREATMENTS[number % len(SEER_TREATMENTS)]
    case = {
        "Patient ID": f"{number // 3 + 1:08d}",
        "Age recode with single ages and 90+": f"{40 + number:02d} years",
        "Sex": "Female" if number % 2 else "Male",
        "Race recode (W, B, AI, API)": "White",
        "Year of diagnosis": str(2010 + number % 10),
        "Primary Site - labeled": "C50.4-Upper-outer quadrant of breast",
        "Derived AJCC Stage Group, 7th ed (2010-2015)": "Blank(s)" if number % 4 else "IIA",
        "RX Summ--Surg Prim Site (1998-2022)": surgery,
        "RX Summ--Surg Prim Site 2023 (2023+)": "Blank(s)",
        "RX Summ--Surg/Rad Seq": "No radiation and/or no surgery",
        "Reason no cancer-directed surgery": "Not recommended",
        "Radiation recode": radiation,
        "Chemotherapy recode (yes, no/unk)": chemotherapy,
        "Survival months": "0040",
        "Vital status recode (study cutoff used)": "Alive",
        "SEER cause-specific death classification": "Alive or dead of other cause",
    }
    return case | changes


def write_seer(folder, cases=None, *, name="export.csv", delimiter=",", header=True):
    """Write a case listing, labels in quotes, with the line ends of Windows."""
    cases = [seer_case(number) for number in range(40)] if cases is None else cases
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerows([list(cases[0])] if header else [])
        writer.writerows(list(case.values()) for case in cases)
    names = "".join(f"Var{n}Name={column}\r\n" for n, column in enumerate(cases[0], start=1))
    options = f"[Export Options]\r\nVariable names included={str(header).lower()}\r\n"
    dictionary = folder / f"{name.partition('.')[0]}.dic"
    dictionary.write_text(f"{options}[Variables]\r\n{names}", encoding="utf-8")


def discharge_summary(number, *, more=""):
    """A discharge summary with sections known at admission and others."""
    return f"""Admission Date:  [**2118-6-{number}**]              Discharge Date:  [**2118-6-30**]

Service: MICU

CHIEF COMPLAINT:  Chest pain {number}

HISTORY OF PRESENT ILLNESS:  This is a man
with chest pain number {number}.  He was seen at 3:00.

Allergies:
No Known Drug Allergies

Brief Hospital Course:
He was treated with drug {number}.
{more}
Discharge Disposition:
Home
"""


def radiology_report(number, *, findings=None, heading="IMPRESSION"):
    """A report of two pages, signed."""
    findings = (
        findings
        or f"""The heart is enlarged, grade {number}. The lungs are clear.
 There is no pleural effusion or pneumothorax."""
    )
    return f"""[**2118-6-{number}**] 7:34 PM
 CHEST (PA & LAT)                                                Clip # [**Clip Number**]
 Reason: r/o infiltrate
______________________________________________________________________________
 UNDERLYING MEDICAL CONDITION:
  72 year old man with chest pain
______________________________________________________________________________
 PROVISIONAL FINDINGS IMPRESSION (PFI):  Cardiomegaly.
______________________________________________________________________________
                                 FINAL REPORT
 HISTORY:  Chest pain.

 FINDINGS:  {findings}
                                                             (Over)

     DATE: [**2118-6-{number}**] 7:34 PM
 CHEST (PA & LAT)                                                Clip # [**Clip Number**]
______________________________________________________________________________
                                 FINAL REPORT
 (Cont)
 The bones are intact.

 {heading}:  Cardiomegaly, grade {number}.
 No acute process.
                                 DR. [**First Name (Titles) **] [**Last Name (Titles) **]
 Approved: MON [**2118-6-{number}**] 9:44 AM
"""


NOTE = {
    "ROW_ID": "",
    "SUBJECT_ID": "",
    "HADM_ID": "",
    "CHARTDATE": "2118-06-14",
    "CHARTTIME": "",
    "STORETIME": "",
    "CATEGORY": "Discharge summary",
    "DESCRIPTION": "Report",
    "CGID": "",
    "ISERROR": "",
    "TEXT": "",
}


def mimic_notes(patients=20):
    """Notes of as many patients: a summary, a report of radiology and one of nursing each."""
    notes = []
    for number in range(1, patients + 1):
        whose = {"SUBJECT_ID": str(number), "HADM_ID": str(1000 + number)}
        radiology = {"CATEGORY": "Radiology", "DESCRIPTION": "CHEST (PA & LAT)"}
        nursing = {"CATEGORY": "Nursing/other", "TEXT": 'FINDINGS: none, "stable"'}
        notes += [
            NOTE | whose | {"TEXT": discharge_summary(number)},
            NOTE | whose | radiology | {"TEXT": radiology_report(number)},
            NOTE | whose | nursing,
        ]
    return [note | {"ROW_ID": str(row)} for row, note in enumerate(notes, start=1)]


def mimic_admissions(patients=20):
    """One admission per patient; every fourth one dies."""
    return [
        {
            "ROW_ID": str(number),
            "SUBJECT_ID": str(number),
            "HADM_ID": str(1000 + number),
            "ADMITTIME": "2118-06-02 10:00:00",
            "ADMISSION_TYPE": "EMERGENCY",
            "HOSPITAL_EXPIRE_FLAG": str(int(number % 4 == 0)),
        }
        for number in range(1, patients + 1)
    ]


def write_mimic(folder, notes=None, admissions=None):
    """Write the two tables."""
    tables = {
        "NOTEEVENTS.csv": mimic_notes() if notes is None else notes,
        "ADMISSIONS.csv": mimic_admissions() if admissions is None else admissions,
    }
    for name, rows in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writerow({column: column for column in rows[0]})
            writer.writerows(rows)


BUILDERS = {
    "mednli": write_mednli,
    "trec-2022": write_trec,
    "seer": write_seer,
    "mimic-iii-mortality": write_mimic,
    "mimic-iii-summary": write_mimic,
}
