"""PathMMU: multiple choice about pathology to rows.

Expected layout of the raw folder::

    data.json        by source (PubMed, SocialPath, Atlas, EduContent, PathCLS) and split (val,
                     test_tiny, test) lists of questions with No, img, question, options, answer
    images/          by the names in ``img``

Options and answer have their letter before them ("A) Macronucleoli"). Sources whose images have to
be obtained elsewhere may be missing from ``images/``: leave such rows out with ``--skip-bad``.
"""

from collections.abc import Iterator, Mapping

from biomedgpt.data.raw.suite_rows import find_image, right_option, suite_row, without_letter
from biomedgpt.data.raw.tables import Record, object_record, read_json
from biomedgpt.data.rows import Row
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError


def read(release: Release) -> RawDataset:
    """Read one split of all sources.

    Raises:
        DataError: files are missing or hold something else, or a row is bad.
    """
    release.require_files(["data.json", "images/"])
    path = release.folder / "data.json"
    content = read_json(path, hint="is this the PathMMU release?")
    wanted = release.spec.parts[release.part]
    if not isinstance(content, Mapping) or not any(
        isinstance(splits, Mapping) and set(wanted) & splits.keys() for splits in content.values()
    ):
        raise DataError(f"{path}: no questions of {' or '.join(wanted)}; is this PathMMU?")

    def records() -> Iterator[tuple[str, str, Record]]:
        for source, splits in content.items():
            for split in wanted:
                rows = splits.get(split, []) if isinstance(splits, Mapping) else []
                for number, values in enumerate(rows, start=1):
                    with release.skipped.catching():
                        where = f"{path}: {source}, {split}, row {number}"
                        record = object_record(values, where=where)
                        yield source, f"{source}-{split}-{number}", record

    def parse(item: tuple[str, str, Record]) -> Row:
        source, name, record = item
        listed = record.values.get("options")
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise DataError(f"{record.where}: options are not a list of texts")
        choices = [without_letter(one) for one in listed]
        return suite_row(
            record.where,
            find_image(record, "img", [release.folder / "images"]),
            name,
            record.text("question"),
            right_option(record.text("answer"), choices, where=record.where),
            options=choices,
            question_type=source,
            modality="histopathology",
        )

    return RawDataset(
        splits={"test": release.rows(records(), parse)},
        cleaning=("letters before options removed", "question_type is the source"),
        preparation={"part": release.part},
    )


SPEC = DatasetSpec(
    name="pathmmu",
    title="PathMMU: multiple choice about pathology, checked by pathologists",
    task="vqa",
    access="registration",
    source="https://huggingface.co/datasets/jamessyx/PathMMU",
    licence="CC-BY-ND-4.0; images as their sources",
    read=read,
    kind="evaluation",
    parts={"test": ("test", "test_tiny"), "test-tiny": ("test_tiny",), "val": ("val",)},
)
