"""Tiny releases of sets to evaluate on, in the formats they are published in."""

import csv
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet

from raw_releases.drawing import encoded

COUNT = 6
LETTERS = "ABCD"


def write_image(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(number, format="JPEG"))


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def write_pmc(raw: Path) -> Path:
    columns = ("index", "Figure_path", "Caption", "Question")
    choices = [f"Choice {letter}" for letter in LETTERS]
    for name, label in (("test_2.csv", "Answer"), ("test.csv", "Answer_label")):
        with (raw / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow((*columns, *choices, label))
            for number in range(COUNT):
                texts = [f" {letter}:Finding {letter}{number} " for letter in LETTERS]
                writer.writerow(
                    (
                        number,
                        f"PMC{number}_F1.jpg",
                        "A caption.",
                        f" What is  {number}? ",
                        *texts,
                        LETTERS[number % 4],
                    )
                )
    for number in range(COUNT):
        write_image(raw / "figures" / f"PMC{number}_F1.jpg", number)
    return raw


def omni_record(number, **changes):
    return {
        "dataset": "ACRIMA",
        "question_id": f"ACRIMA_{number:04d}",
        "question_type": "Modality Recognition",
        "question": "What imaging technique was used?",
        "gt_answer": "Fundus photography",
        "image_path": f"Images/ACRIMA/Im{number}.png",
        "option_A": "MRI",
        "option_B": "Fundus photography",
        "option_C": "X-ray",
        "option_D": "CT",
        "modality_type": "Fundus Photography",
    } | changes


def write_omni(raw: Path) -> Path:
    records = [omni_record(number) for number in range(COUNT)]
    records[1] = {k: v for k, v in records[1].items() if k not in ("option_C", "option_D")}
    records[2]["modality"] = records[2].pop("modality_type")
    write_json(raw / "QA_information" / "Open-access" / "ACRIMA.json", records[:4])
    write_json(raw / "QA_information" / "Open-access" / "Others.json", records[4:])
    for number in range(COUNT):
        write_image(raw / "Images" / "ACRIMA" / f"Im{number}.png", number)
    return raw


def write_probmed(raw: Path) -> Path:
    records = []
    for number in range(3):
        for qa_type, answer in (
            ("modality_gt", "yes"),
            ("modality_hallu", "no"),
            ("body_part_gt", "yes"),
            ("body_part_hallu", "no"),
            ("abnormality", "yes"),
            ("entity_gt_0", "yes"),
            ("entity_hallu_0", "no"),
            ("grounding_gt_0", "yes"),
            ("grounding_hallu_0", "no"),
        ):
            records.append(
                {
                    "id": number,
                    "image": f"MedICaT/{number}.jpg",
                    "qa_type": qa_type,
                    "question": f"Is there {qa_type} in this image?",
                    "answer": answer,
                    "image_type": "x-ray_chest",
                }
            )
        write_image(raw / "MedICaT" / f"{number}.jpg", number)
    write_json(raw / "probmed.json", records)
    return raw


def confusion_record(number):
    return {
        "im_1": f"train/radiology/images/ROCO_{2 * number}.jpg",
        "im_2": f"test/radiology/images/ROCO_{2 * number + 1}.jpg",
        "im_1_local": 20000 + 2 * number,
        "im_2_local": 20001 + 2 * number,
        "cap_1": "One.",
        "cap_2": "Two.",
        "category_1": ["Cerebral", "Vascular"],
        "category_2": ["Cerebral"],
        "question": "What is seen?",
        "option_A": "An occlusion",
        "option_B": "An aneurysm",
        "im_1_correct": "AB"[number % 2],
        "im_2_correct": "BA"[number % 2],
    }


def write_confusion(raw: Path) -> Path:
    write_json(raw / "dataset.json", {str(10001 + n): confusion_record(n) for n in range(3)})
    for number in range(6):
        write_image(raw / "images" / f"{20000 + number}.jpg", number)
    return raw


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def picture(number):
    return {"bytes": encoded(number, format="JPEG"), "path": None}


def write_quilt(raw: Path) -> Path:
    rows = [
        {
            "image": picture(number),
            "question": f"Is it {number}?" if number % 2 else "What is seen?",
            "answer": "Yes, the cells are large." if number % 2 else "large cells",
            "answer_type": ("OPEN", "CLOSED")[number % 2],
            "context": "",
        }
        for number in range(COUNT)
    ]
    parquet(raw / "data" / "train-00000-of-00001.parquet", rows)
    return raw


def write_pathmmu(raw: Path) -> Path:
    def rows(source, split):
        found = []
        for number in range(3):
            name = f"{source}_{split}_{number}.jpg"
            write_image(raw / "images" / name, len(name) + number)
            options = [f"{letter}) Kind {letter}" for letter in LETTERS]
            found.append(
                {
                    "No": number,
                    "img": name,
                    "question": "Which kind?",
                    "options": options,
                    "answer": options[number],
                    "explanation": "So.",
                }
            )
        return found

    content = {
        source: {split: rows(source, split) for split in ("val", "test_tiny", "test")}
        for source in ("PubMed", "Atlas")
    }
    write_json(raw / "data.json", content)
    return raw


def mmmu_row(subject, number, **changes):
    return {
        "id": f"validation_{subject}_{number}",
        "question": f"What does <image 1> show, {number}?",
        "options": "['A cell', \"Crohn's disease\", 'None']",
        "explanation": "",
        "image_1": picture(number),
        "image_2": None,
        "img_type": "['Pathology']",
        "answer": "B",
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice",
        "subfield": "Pathology",
    } | changes


def write_mmmu(raw: Path) -> Path:
    from biomedgpt.data.readers.mmmu import SUBJECTS

    for subject in SUBJECTS:
        rows = [
            mmmu_row(subject, 1),
            mmmu_row(subject, 2, image_2=picture(9)),
            mmmu_row(subject, 3, options="[]", answer="12", question_type="open"),
        ]
        parquet(raw / subject / "validation-00000-of-00001.parquet", rows)
    return raw


BUILDERS = {
    "pmc-vqa": write_pmc,
    "omnimedvqa": write_omni,
    "probmed": write_probmed,
    "mediconfusion": write_confusion,
    "quilt-vqa": write_quilt,
    "pathmmu": write_pathmmu,
    "mmmu-medical": write_mmmu,
}
