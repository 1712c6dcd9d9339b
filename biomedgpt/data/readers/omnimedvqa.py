"""OmniMedVQA: the question files of the release to rows.

Expected layout of the raw folder, or of ``OmniMedVQA/`` below it::

    QA_information/Open-access/NAME.json          lists of questions, one file per source
    QA_information/Restricted-access/NAME.json    the same; the images come from elsewhere
    Images/...                                    by the names in image_path

Questions have two to four options; the answer is the text of one. One row of the release has
``modality`` instead of ``modality_type``.
"""

from collections.abc import Iterator
from pathlib import Path

from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.suite_rows import (
    SUITE_FIELDS,
    find_image,
    lettered,
    right_option,
    suite_fields,
)
from biomedgpt.data.raw.tables import Record, read_objects, require_files
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import DatasetSpec
from biomedgpt.errors import DataError

OPTIONS = ("option_A", "option_B", "option_C", "option_D")
COLUMNS = ("question_id", "question", "gt_answer", "image_path", *OPTIONS[:2])


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read the question files of a part; see `biomedgpt.data.prepare`.

    Raises:
        DataError: files are missing or hold something else, or a row is bad.
    """
    part = options.part or next(iter(spec.parts))
    (name,) = spec.parts[part]
    base = raw / "OmniMedVQA" if (raw / "OmniMedVQA").is_dir() else raw
    folder = base / "QA_information" / name
    require_files(base, [f"QA_information/{name}/"], dataset="OmniMedVQA", source=spec.source)
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DataError(f"{folder}: no .json file; get the release from {spec.source}")

    def records() -> Iterator[Record]:
        for path in paths:
            yield from read_objects(path, skipped, columns=COLUMNS)

    def parse(record: Record) -> Row:
        choices = lettered(record, OPTIONS)
        image, image_name = find_image(record, "image_path", [base])
        modality = record.optional("modality_type") or record.optional("modality")
        fields = suite_fields(
            record.text("question_id"),
            record.text("question"),
            right_option(record.text("gt_answer"), choices, where=record.where),
            options=choices,
            question_type=clean_text(record.optional("question_type")),
            modality=clean_text(modality).lower(),
            image_name=image_name,
        )
        return Row(fields, image, record.where)

    return RawDataset(
        splits={"test": good_rows(records(), parse, skipped)},
        fields=SUITE_FIELDS,
        cleaning=("white space collapsed", "modality in lower case"),
        expected={"test": 88996} if part == "open" else {},
        preparation={"part": part},
    )


SPECS = (
    DatasetSpec(
        name="omnimedvqa",
        title="OmniMedVQA: multiple choice about images of 12 modalities",
        task="vqa",
        access="open",
        source="https://huggingface.co/datasets/foreverbeliever/OmniMedVQA",
        licence="of the sources",
        read=read,
        expected={"test": 88996},
        parts={"open": ("Open-access",), "restricted": ("Restricted-access",)},
    ),
)
