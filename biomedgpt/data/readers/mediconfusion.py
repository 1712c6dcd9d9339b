"""MediConfusion: one question about two images that models confuse, to rows.

Expected layout of the raw folder, or of ``data/`` below it::

    dataset.json                         176 pairs by number: question, option_A, option_B,
                                         im_1_correct, im_2_correct, im_1_local, im_2_local
    images/NUMBER.jpg                    by im_1_local; or
    roco-dataset/data/...                by im_1 (``train/radiology/images/ROCO_1.jpg``)
"""

from collections.abc import Iterator, Mapping

from biomedgpt.data.raw.suite_rows import find_image, lettered, right_option, suite_row
from biomedgpt.data.raw.tables import Record, object_record, read_json
from biomedgpt.data.rows import Row
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError

OPTIONS = ("option_A", "option_B")
LETTERS = {"A": "A", "B": "B"}
ROLES = {"1": "first", "2": "second"}
COLUMNS = ("question", *OPTIONS, "im_1_correct", "im_2_correct")


def read(release: Release) -> RawDataset:
    """Read the pairs.

    Raises:
        DataError: files are missing or hold something else, or a pair is bad.
    """
    base = release.base("data", having="dataset.json")
    release.require_files(["dataset.json"], folder=base)
    path = base / "dataset.json"
    content = read_json(path, hint="is this the MediConfusion release?")
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{path}: not an object of pairs; is this MediConfusion?")
    local = [base / "images"]
    roco = [base / "roco-dataset" / "data", release.folder / "roco-dataset" / "data", base]

    def sides() -> Iterator[tuple[str, str, Record]]:
        for name, values in content.items():
            with release.skipped.catching():
                record = object_record(values, where=f"{path}: pair {name}", columns=COLUMNS)
                for side in ROLES:
                    yield str(name), side, record

    def parse(item: tuple[str, str, Record]) -> Row:
        name, side, record = item
        number = record.optional(f"im_{side}_local")
        if local[0].is_dir() and number:
            local_name = Record(record.where, {"image": f"{number}.jpg"})
            image = find_image(local_name, "image", local)
        else:
            image = find_image(record, f"im_{side}", roco)
        choices = lettered(record, OPTIONS)
        answer = record.choice(f"im_{side}_correct", LETTERS)
        categories = record.values.get(f"category_{side}")
        return suite_row(
            record.where,
            image,
            f"{name}-{side}",
            record.text("question"),
            right_option(answer, choices, where=record.where),
            options=choices,
            question_type=", ".join(map(str, categories)) if isinstance(categories, list) else "",
            pair=name,
            role=ROLES[side],
        )

    return RawDataset(
        splits={"test": release.rows(sides(), parse)},
        cleaning=("white space collapsed", "question_type is the image's category"),
    )


SPEC = DatasetSpec(
    name="mediconfusion",
    title="MediConfusion: one question about two images of ROCO that models confuse",
    task="vqa",
    source="https://github.com/AIF4S/MediConfusion",
    licence="MIT; the images as in ROCO",
    read=read,
    kind="evaluation",
    expected={"test": 352},
)
