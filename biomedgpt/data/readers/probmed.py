"""ProbMed: its questions with adversarial negations to rows.

Expected layout of the raw folder, or of ``test/`` below it::

    probmed.json or test.json    a list of questions with id, image, qa_type, question, answer,
                                 image_type
    the images, by the names in ``image``

``id`` is that of the image. ``qa_type`` names what is asked (modality, body_part, abnormality,
entity, grounding) and whether it is true (``gt``) or hallucinated (``hallu``). As in the published
score, all questions of one kind about one image belong together: every one must be right.
"""

import re

from biomedgpt.data.raw.suite_rows import find_image, suite_row
from biomedgpt.data.raw.tables import Record, read_objects, require_first
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release

FILES = ("probmed.json", "test.json", "test/test.json", "test/probmed.json")
COLUMNS = ("id", "image", "qa_type", "question", "answer")
KINDS = {
    "modality": "modality",
    "body_part": "organ",
    "abnormality": "abnormality",
    "entity": "condition",
    "grounding": "position",
}
"""What ``qa_type`` holds, and what the published table calls it."""
_ANSWERS = {"yes": "yes", "no": "no", "Yes": "yes", "No": "no"}
_IMAGE_TYPE = re.compile(r"^(?P<modality>[^_]+)_(?P<organ>.+)$")


def read(release: Release) -> RawDataset:
    """Read the questions.

    Raises:
        DataError: the file is missing or another one, or a row is bad.
    """
    raw = release.folder
    path = next((raw / name for name in FILES if (raw / name).is_file()), None)
    if path is None:
        raise release.refused(f"no {' or '.join(FILES[:2])}")
    require_first(
        read_objects(path, Skipped(allowed=True)),
        [("qa_type", "question")],
        f"{path}: not a list of questions with qa_type; is this ProbMed?",
    )
    folders = [path.parent, path.parent / "images", raw, raw / "images"]

    def parse(item: tuple[int, Record]) -> Row:
        number, record = item
        qa_type = record.text("qa_type")
        kind = next((kind for name, kind in KINDS.items() if name in qa_type), "position")
        image_type = _IMAGE_TYPE.match(clean_text(record.optional("image_type")).lower())
        name = record.text("id")
        return suite_row(
            record.where,
            find_image(record, "image", folders),
            f"{name}-{qa_type}-{number}",
            record.text("question").replace("<image>", ""),
            record.choice("answer", _ANSWERS),
            answer_type="CLOSED",
            question_type=kind,
            modality=image_type["modality"] if image_type else "",
            organ=image_type["organ"] if image_type else "",
            pair=f"{name} {kind}",
            role="adversarial" if "hallu" in qa_type else "true",
        )

    records = enumerate(read_objects(path, release.skipped, columns=COLUMNS), start=1)
    return RawDataset(
        splits={"test": release.rows(records, parse)},
        cleaning=("white space collapsed", "modality and organ are the two halves of image_type"),
    )


SPEC = DatasetSpec(
    name="probmed",
    title="ProbMed: questions about radiology images, each with an adversarial negation",
    task="vqa",
    source="https://huggingface.co/datasets/rippleripple/ProbMed",
    licence="not stated",
    read=read,
    kind="evaluation",
    expected={"test": 57132},
)
