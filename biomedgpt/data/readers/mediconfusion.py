"""MediConfusion: one question about two images that models confuse, to rows.

Expected layout of the raw folder, or of ``data/`` below it::

    dataset.json                         176 pairs by number: question, option_A, option_B,
                                         im_1_correct, im_2_correct, im_1_local, im_2_local
    images/NUMBER.jpg                    by im_1_local; or
    roco-dataset/data/...                by im_1 (``train/radiology/images/ROCO_1.jpg``)
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.suite_rows import (
    SUITE_FIELDS,
    find_image,
    lettered,
    right_option,
    suite_fields,
)
from biomedgpt.data.raw.tables import Record, read_json, require_files
from biomedgpt.data.rows import Row, Skipped, good_rows
from biomedgpt.data.spec import DatasetSpec
from biomedgpt.errors import DataError

OPTIONS = ("option_A", "option_B")
LETTERS = {"A": "A", "B": "B"}
ROLES = {"1": "first", "2": "second"}
COLUMNS = ("question", *OPTIONS, "im_1_correct", "im_2_correct")


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read the pairs; see `biomedgpt.data.prepare`.

    Raises:
        DataError: files are missing or hold something else, or a pair is bad.
    """
    del options
    base = raw / "data" if (raw / "data" / "dataset.json").is_file() else raw
    require_files(base, ["dataset.json"], dataset="MediConfusion", source=spec.source)
    path = base / "dataset.json"
    content = read_json(path, dataset="MediConfusion")
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{path}: not an object of pairs; is this MediConfusion?")
    local = [base / "images"]
    roco = [base / "roco-dataset" / "data", raw / "roco-dataset" / "data", base]

    def sides() -> Iterator[tuple[str, str, Record]]:
        for name, values in content.items():
            where = f"{path}: pair {name}"
            missing = [
                key for key in COLUMNS if not isinstance(values, Mapping) or key not in values
            ]
            if missing:
                skipped.take(DataError(f"{where}: lacks {', '.join(missing)}"))
                continue
            for side in ROLES:
                yield str(name), side, Record(where, values)

    def parse(item: tuple[str, str, Record]) -> Row:
        name, side, record = item
        number = record.optional(f"im_{side}_local")
        if local[0].is_dir() and number:
            values = {**record.values, "image": f"{number}.jpg"}
            image, image_name = find_image(Record(record.where, values), "image", local)
        else:
            image, image_name = find_image(record, f"im_{side}", roco)
        choices = lettered(record, OPTIONS)
        answer = record.choice(f"im_{side}_correct", LETTERS)
        categories = record.values.get(f"category_{side}")
        fields = suite_fields(
            f"{name}-{side}",
            record.text("question"),
            right_option(answer, choices, where=record.where),
            options=choices,
            question_type=", ".join(map(str, categories)) if isinstance(categories, list) else "",
            pair=name,
            role=ROLES[side],
            image_name=image_name,
        )
        return Row(fields, image, record.where)

    return RawDataset(
        splits={"test": good_rows(sides(), parse, skipped)},
        fields=SUITE_FIELDS,
        cleaning=("white space collapsed", "question_type is the image's category"),
    )


SPECS = (
    DatasetSpec(
        name="mediconfusion",
        title="MediConfusion: one question about two images of ROCO that models confuse",
        task="vqa",
        access="open",
        source="https://github.com/AIF4S/MediConfusion",
        licence="MIT; the images as in ROCO",
        read=read,
        expected={"test": 352},
    ),
)
