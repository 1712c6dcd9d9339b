"""Instruction data in LLaVA's format: BioMed-VITAL, LLaVA-Med, Llama3-Med and PubMedVision.

Expected layout of the raw folder::

    NAME.json or NAME.jsonl     a list of dialogues, or one on each line; also gzipped
    images/                     the images, by the names that the dialogues have for them

A dialogue has ``id``, ``image`` (a name, a list of names, or none), ``conversations`` (see
`biomedgpt.data.raw.instruction_rows.parse_turns`), and ``domain`` or ``modality``. The files are
read piece by piece. They may lie in ``instruct/`` or ``alignment/``, where LLaVA-Med's script puts
them.
"""

from functools import partial
from pathlib import Path

from biomedgpt.data.raw.instruction_rows import (
    CONVERSATION_KEYS,
    Dialogue,
    dialogues_of,
    image_names,
    modality_name,
    parse_turns,
    split_dialogues,
)
from biomedgpt.data.raw.tables import Record
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release
from biomedgpt.errors import DataError

FOLDERS = (".", "instruct", "alignment", "data", "data/instruct", "data/alignment")
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
ANY_FILE = "*"
IMAGE_KEYS = ("image", "images")
MODALITY_KEYS = ("domain", "modality")


def read(release: Release) -> RawDataset:
    """Read a release.

    Raises:
        DataError: the file is missing or holds something else, or a dialogue is bad.
    """
    path = _find_file(release)
    error = f"not a list of dialogues (key conversations); is this the {release.spec.name} release?"
    keys = [[key] for key in CONVERSATION_KEYS]
    return split_dialogues(release, dialogues_of(path, _parse, keys, error=error))


def _find_file(release: Release) -> Path:
    """Return the file of a part of the release.

    Raises:
        DataError: it is not there, or it cannot be told which file it is.
    """
    raw, parts = release.folder, release.spec.parts
    names = parts.get(release.part, (ANY_FILE,))
    found = {
        path.resolve(): path
        for folder in FOLDERS
        for name in names
        for suffix in SUFFIXES
        for path in sorted((raw / folder).glob(name + suffix))
        if "image_urls" not in path.name and path.is_file()
    }
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        listed = ", ".join(path.name for path in found.values())
        raise DataError(f"{raw}: several files ({listed}); leave one of them there")
    wanted = "a .json or .jsonl file" if names == (ANY_FILE,) else f"{names[0]}.json"
    other = [
        name
        for name, files in parts.items()
        if any((raw / folder / f"{file}.json").is_file() for folder in FOLDERS for file in files)
    ]
    hint = f"; there is {' and '.join(f'--part {name}' for name in other)}" if other else ""
    raise DataError(f"{raw}: no {wanted}{hint}; get it from {release.spec.source}")


def _parse(record: Record) -> Dialogue:
    name = record.optional("id")
    where = f"{record.where} (id {name})" if name else record.where
    record = Record(where, record.values)
    turns = parse_turns(record)
    images = next((record.values[key] for key in IMAGE_KEYS if key in record.values), None)
    modality = next((record.values[key] for key in MODALITY_KEYS if key in record.values), None)
    return Dialogue(
        id=name or record.where.rpartition(" ")[2],
        turns=turns,
        images=image_names(images, where=where),
        modality=modality_name(modality),
        where=where,
    )


_spec = partial(
    DatasetSpec,
    task="instruction",
    read=read,
    kind="instruction",
    valid_fraction=0.005,
)
SPECS = (
    _spec(
        name="biomed-vital",
        title="BioMed-VITAL: dialogues about PMC figures, selected by clinicians' preferences",
        source="https://huggingface.co/datasets/mao1207/BioMed-VITAL-instructions",
        licence="Apache-2.0",
        parts={
            size.lower(): (f"BioMed-VITAL-instructions-{size}",)
            for size in ("210K", "150K", "80K", "60K")
        },
    ),
    _spec(
        name="llava-med",
        title="LLaVA-Med: dialogues about PMC figures, written from captions and mentions",
        source="https://github.com/microsoft/LLaVA-Med",
        licence="CC-BY-NC-4.0",
        parts={
            "60k-inline": (
                "llava_med_instruct_60k_inline_mention",
                "llava_med_instruct_60k_inline_mentions",
                "llava_med_instruct_60k_inline_mention_post",
                "llava_med_instruct_60k_inline_mentions_post",
            ),
            "60k": ("llava_med_instruct_60k",),
            "10k": ("llava_med_instruct_10k",),
            "alignment": ("llava_med_alignment_500k",),
        },
    ),
    _spec(
        name="llama3-med",
        title="Llama3-Med: 20,000 dialogues written by large language models for high resolution",
        source="https://github.com/standardmodelbio/Llama3-Med",
        licence="not stated",
    ),
    _spec(
        name="pubmedvision",
        title="PubMedVision: questions about PubMed figures, rewritten by a model that saw them",
        source="https://huggingface.co/datasets/FreedomIntelligence/PubMedVision",
        licence="Apache-2.0",
        parts={
            "instruction": ("PubMedVision_InstructionTuning_VQA",),
            "alignment": ("PubMedVision_Alignment_VQA",),
        },
    ),
)
