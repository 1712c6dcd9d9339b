"""OmniMedVQA: the question files of the release to rows.

Expected layout of the raw folder, or of ``OmniMedVQA/`` below it::

    QA_information/Open-access/NAME.json          lists of questions, one file per source
    QA_information/Restricted-access/NAME.json    the same; the images come from elsewhere
    Images/...                                    by the names in image_path

Questions have two to four options; the answer is the text of one. One row of the release has
``modality`` instead of ``modality_type``.
"""

from itertools import chain

from biomedgpt.data.raw.suite_rows import find_image, lettered, right_option, suite_row
from biomedgpt.data.raw.tables import Record, read_objects
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError

OPTIONS = ("option_A", "option_B", "option_C", "option_D")
COLUMNS = ("question_id", "question", "gt_answer", "image_path", *OPTIONS[:2])


def read(release: Release) -> RawDataset:
    """Read the question files of a part.

    Raises:
        DataError: files are missing or hold something else, or a row is bad.
    """
    (name,) = release.spec.parts[release.part]
    base = release.base("OmniMedVQA")
    folder = base / "QA_information" / name
    release.require_files([f"QA_information/{name}/"], folder=base)
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DataError(f"{folder}: no .json file; get the release from {release.spec.source}")

    def parse(record: Record) -> Row:
        choices = lettered(record, OPTIONS)
        modality = record.optional("modality_type") or record.optional("modality")
        return suite_row(
            record.where,
            find_image(record, "image_path", [base]),
            record.text("question_id"),
            record.text("question"),
            right_option(record.text("gt_answer"), choices, where=record.where),
            options=choices,
            question_type=clean_text(record.optional("question_type")),
            modality=clean_text(modality).lower(),
        )

    files = (read_objects(path, release.skipped, columns=COLUMNS) for path in paths)
    return RawDataset(
        splits={"test": release.rows(chain.from_iterable(files), parse)},
        cleaning=("white space collapsed", "modality in lower case"),
        expected=None if release.part == "open" else {},
        preparation={"part": release.part},
    )


SPEC = DatasetSpec(
    name="omnimedvqa",
    title="OmniMedVQA: multiple choice about images of 12 modalities",
    task="vqa",
    source="https://huggingface.co/datasets/foreverbeliever/OmniMedVQA",
    licence="of the sources",
    read=read,
    kind="evaluation",
    expected={"test": 88996},
    parts={"open": ("Open-access",), "restricted": ("Restricted-access",)},
)
