"""MedMax: interleaved texts and images, as rows with one image each.

Expected layout of the raw folder::

    train.jsonl, validation.jsonl   one example on each line (also gzipped)
    images/ or as in image_path     the images of images.tar.gz.*, unpacked

An example has ``text`` with `<image>` marks, ``image_path``, ``source``, ``task`` and
``credential``; what was asked ends with a mark for the end of a turn. The columns with tokens are
those of another model: text is encoded anew, and images get codes of our own VQ-GAN (``biomedgpt
vqgan encode``).
"""

import re

from biomedgpt.data.raw.instruction_rows import (
    Dialogue,
    ReadDialogues,
    Turn,
    dialogues_of,
    image_names,
    split_dialogues,
)
from biomedgpt.data.raw.tables import Record
from biomedgpt.data.rows import clean_text
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError

FILES = {"train": "train.jsonl", "valid": "validation.jsonl"}
KEYS = ("text", "image_path")
NO_EXAMPLES = "not a list of examples with text and image_path; is this the MedMax release?"
UNDERSTANDING, ALL = "understanding", "all"

_END_OF_TURN = re.compile(r"<END-OF-TURN>|<reserved08706>")
"""As the published code writes it, and as the tokenizer does."""
_RESPONSE = re.compile(r"###\s*Response:|\n\s*(?:Assistant|ASSISTANT|Answer):")
"""What begins the answer in texts without such a mark."""
_FRAME = re.compile(r"</?s>|<racm3:break>|<eoss>|<pad>")


def read(release: Release) -> RawDataset:
    """Read the release.

    Raises:
        DataError: files are missing or hold something else, or an example is bad.
    """
    readers: dict[str, ReadDialogues] = {}
    for split, name in FILES.items():
        for path in (release.folder / name, release.folder / f"{name}.gz"):
            if split not in readers and path.is_file():
                readers[split] = dialogues_of(path, _parse, [KEYS], error=NO_EXAMPLES)
    if "train" not in readers:
        raise release.refused(f"no {FILES['train']}")
    return split_dialogues(
        release,
        readers.pop("train"),
        cleaning=(
            "tokens of another tokenizer left out",
            "modality is the source that an example is from",
        ),
        answers_may_show=release.part == ALL,
        official=readers,
    )


def _parse(record: Record) -> Dialogue:
    text = _FRAME.sub(" ", record.text("text"))
    parts = [part.strip() for part in _END_OF_TURN.split(text)]
    if len(parts) == 1:
        parts = [part.strip() for part in _RESPONSE.split(text, maxsplit=1)]
    while parts and not parts[-1]:
        parts.pop()
    if len(parts) < 2:
        raise DataError(
            f"{record.where}: text has no end of turn (<END-OF-TURN>), so what is asked cannot be "
            "told from the answer"
        )
    if not all(map(clean_text, parts)):
        raise DataError(f"{record.where}: text has an empty turn")
    return Dialogue(
        id=record.optional("id") or record.where.rpartition(" ")[2],
        turns=tuple(map(Turn, parts[::2], parts[1::2])),
        images=image_names(record.values.get("image_path"), where=record.where),
        modality=clean_text(record.optional("source")).lower(),
        where=record.where,
    )


SPEC = DatasetSpec(
    name="medmax",
    title="MedMax: instructions with texts and images in source and answer",
    task="instruction",
    source="https://huggingface.co/datasets/mint-medmax/medmax_data",
    licence="Apache-2.0",
    read=read,
    kind="instruction",
    valid_fraction=0.005,
    parts={UNDERSTANDING: tuple(FILES.values()), ALL: tuple(FILES.values())},
)
