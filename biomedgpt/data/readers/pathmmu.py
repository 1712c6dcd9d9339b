"""PathMMU: multiple choice about pathology to rows.

Expected layout of the raw folder::

    data.json        by source (PubMed, SocialPath, Atlas, EduContent, PathCLS) and split (val,
                     test_tiny, test) lists of questions with No, img, question, options, answer
    images/          by the names in ``img``

Options and answer have their letter before them ("A) Macronucleoli"). Sources whose images have to
be obtained elsewhere may be missing from ``images/``: leave such rows out with ``--skip-bad``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from biomedgpt.data.raw.release import PrepareOptions, RawDataset
from biomedgpt.data.raw.suite_rows import (
    SUITE_FIELDS,
    find_image,
    right_option,
    suite_fields,
    without_letter,
)
from biomedgpt.data.raw.tables import Record, read_json, require_files
from biomedgpt.data.rows import Row, Skipped, good_rows
from biomedgpt.data.spec import DatasetSpec
from biomedgpt.errors import DataError


def read(raw: Path, *, spec: DatasetSpec, options: PrepareOptions, skipped: Skipped) -> RawDataset:
    """Read one split of all sources; see `biomedgpt.data.prepare`.

    Raises:
        DataError: files are missing or hold something else, or a row is bad.
    """
    part = options.part or next(iter(spec.parts))
    require_files(raw, ["data.json", "images/"], dataset="PathMMU", source=spec.source)
    path = raw / "data.json"
    content = read_json(path, dataset="PathMMU")
    wanted = spec.parts[part]
    if not isinstance(content, Mapping) or not any(
        isinstance(splits, Mapping) and set(wanted) & splits.keys() for splits in content.values()
    ):
        raise DataError(f"{path}: no questions of {' or '.join(wanted)}; is this PathMMU?")

    def records() -> Iterator[tuple[str, str, Record]]:
        for source, splits in content.items():
            for split in wanted:
                rows = splits.get(split, []) if isinstance(splits, Mapping) else []
                for number, values in enumerate(rows, start=1):
                    where = f"{path}: {source}, {split}, row {number}"
                    if isinstance(values, Mapping):
                        yield source, f"{source}-{split}-{number}", Record(where, values)
                    else:
                        skipped.take(DataError(f"{where}: not a JSON object"))

    def parse(item: tuple[str, str, Record]) -> Row:
        source, name, record = item
        listed = record.values.get("options")
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise DataError(f"{record.where}: options are not a list of texts")
        choices = [without_letter(one) for one in listed]
        image, image_name = find_image(record, "img", [raw / "images"])
        fields = suite_fields(
            name,
            record.text("question"),
            right_option(record.text("answer"), choices, where=record.where),
            options=choices,
            question_type=source,
            modality="histopathology",
            image_name=image_name,
        )
        return Row(fields, image, record.where)

    return RawDataset(
        splits={"test": good_rows(records(), parse, skipped)},
        fields=SUITE_FIELDS,
        cleaning=("letters before options removed", "question_type is the source"),
        preparation={"part": part},
    )


SPECS = (
    DatasetSpec(
        name="pathmmu",
        title="PathMMU: multiple choice about pathology, checked by pathologists",
        task="vqa",
        access="registration",
        source="https://huggingface.co/datasets/jamessyx/PathMMU",
        licence="CC-BY-ND-4.0; images as their sources",
        read=read,
        parts={"test": ("test", "test_tiny"), "test-tiny": ("test_tiny",), "val": ("val",)},
    ),
)
