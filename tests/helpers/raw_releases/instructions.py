"""Tiny releases of instruction data, in the formats they are published in."""

import json
from pathlib import Path
from typing import Any

from biomedgpt.data.prepare import prepare
from biomedgpt.data.spec import PrepareOptions
from raw_releases.drawing import encoded

DOMAINS = ("CXR", "MRI", "Histology", "Gross", "CT")
BOOLEANS = ("chest_xray", "mri", "histology", "gross", "ct_scan")
COUNT = 12


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def write_lines(path: Path, content: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, content)), encoding="utf-8")


def write_image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(number, format="JPEG"))


def turns(number: int, *, mark: str = "before", rounds: int = 2) -> list[dict[str, str]]:
    """Return a conversation; the first question has the image's mark before or after it."""
    first = f"What is shown in figure {number}?"
    asked = {"before": f"<image>\n{first}", "after": f"{first}\n<image>", "none": first}[mark]
    said = [{"from": "human", "value": asked}, {"from": "gpt", "value": f"An opacity, {number}."}]
    for turn in range(1, rounds):
        said.append({"from": "human", "value": f"Is it  large?\n({turn})"})
        said.append({"from": "gpt", "value": "Yes - it is large."})
    return said


def vital_record(number: int, **changes: Any) -> dict[str, Any]:
    """One dialogue of BioMed-VITAL."""
    return {
        "id": f"{1000 + number}_F{number}",
        "image": f"{1000 + number}_F{number}.jpg",
        "domain": DOMAINS[number % 5],
        "conversations": turns(number, mark="after" if number % 2 else "before"),
    } | changes


def write_vital(folder: Path, records: list[Any] | None = None, size: str = "210K") -> Path:
    """Both kinds of domains, and the misspelt key, as the merged files have them."""
    if records is None:
        records = [vital_record(number) for number in range(COUNT)]
        for number in (3, 4):
            records[number]["domain"] = {name: i == number for i, name in enumerate(BOOLEANS)}
        records[5]["conversatons"] = records[5].pop("conversations")
    write_json(folder / f"BioMed-VITAL-instructions-{size}.json", records)
    for record in records:
        if isinstance(record, dict) and isinstance(record.get("image"), str):
            write_image(folder / "images" / record["image"], int(record["id"].partition("_")[0]))
    return folder


def write_vital_dataset(folder: Path) -> Path:
    """Prepare twelve dialogues about images and one without; return the dataset's folder."""
    records = [vital_record(n) for n in range(12)]
    records += [{"id": "text", "conversations": [vital_record(0)["conversations"][2]] * 1}]
    records[-1]["conversations"] += [{"from": "gpt", "value": "It is."}]
    write_vital(folder / "raw", records)
    prepare("biomed-vital", raw=folder / "raw", out=folder / "data", options=PrepareOptions())
    return folder / "data"


def write_llava_med(folder: Path) -> Path:
    """All files of the download, where its script puts them."""
    records = []
    for number in range(COUNT):
        name = f"{2000 + number}_Fig{number}"
        domain = {key: i == number % 5 for i, key in enumerate(BOOLEANS)}
        said = {"conversatons" if number % 3 else "conversations": turns(number)}
        records.append({"id": name, "image": f"{name}.jpg", "domain": domain, **said})
        write_image(folder / "images" / f"{name}.jpg", 2000 + number)
    for name in ("10k", "60k", "60k_inline_mention"):
        write_json(folder / "instruct" / f"llava_med_instruct_{name}.json", records)
    captions = [record | {"conversations": turns(n, rounds=1)} for n, record in enumerate(records)]
    write_json(folder / "alignment" / "llava_med_alignment_500k.json", captions)
    write_lines(folder / "llava_med_image_urls.jsonl", [{"pair_id": "1_F1", "pmc_tar_url": "-"}])
    return folder


def write_llama3_med(folder: Path) -> Path:
    records = [
        {"id": n, "image": f"{n}.jpg", "conversations": turns(n, rounds=1)} for n in range(COUNT)
    ]
    write_json(folder / "instruct_20k.json", records)
    for number in range(COUNT):
        write_image(folder / "images" / f"{number}.jpg", number)
    return folder


def write_pubmedvision(folder: Path) -> Path:
    """Lists of images, no marks; one dialogue shows two."""
    for kind, part in (("Alignment", "Alignment"), ("InstructionTuning", "InstructionTuning")):
        records = []
        for number in range(COUNT):
            names = [f"images/pmc_{number}_0.jpg"] + (["images/pmc_9_1.jpg"] if number == 9 else [])
            records.append(
                {
                    "image": names,
                    "id": f"{part}_VQA_{number}",
                    "modality": ["Computed Tomography", "Ultrasound"][number % 2],
                    "body_part": "Chest",
                    "conversations": turns(number, mark="none", rounds=1),
                }
            )
            for name in names:
                write_image(folder / name, 3000 + number + len(name))
        path = folder / f"PubMedVision_{kind}_VQA"
        if kind == "Alignment":
            write_lines(path.with_suffix(".jsonl"), records)
        else:
            write_json(path.with_suffix(".json"), records)
    return folder


def medmax_record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "text": f"<image> Is figure {number} normal?<END-OF-TURN>No, it is not.",
        "image_path": f"quilt/{number}.jpg",
        "tokens": [0, 8197, *range(4, 20), 8196, 17000, 8710, 17001, 2],
        "task": "VQA",
        "source": "Quilt",
        "credential": "NO",
    } | changes


def write_medmax(folder: Path) -> Path:
    records = [medmax_record(number) for number in range(COUNT)]
    records[1]["text"] = "<s>Draw figure 1.<reserved08706>Here it is: <image> as asked.</s>"
    records[2] |= {"text": "What is a cyst?<END-OF-TURN>A sac.", "image_path": None}
    records[3] |= {"image_path": None, "credential": "YES", "tokens": None}
    records[4] |= {"text": "<image>\nDescribe.\n### Response: A nodule.", "source": "mimic-cxr"}
    write_lines(folder / "train.jsonl", records)
    write_lines(folder / "validation.jsonl", [medmax_record(n) for n in range(20, 23)])
    for number in (*range(COUNT), *range(20, 23)):
        write_image(folder / "images" / "quilt" / f"{number}.jpg", 4000 + number)
    return folder


BUILDERS = {
    "biomed-vital": write_vital,
    "llava-med": write_llava_med,
    "llama3-med": write_llama3_med,
    "pubmedvision": write_pubmedvision,
    "medmax": write_medmax,
}
