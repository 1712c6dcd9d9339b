"""The VQA tables of the published OFA and BiomedGPT code, in and out.

One row per question, tab between columns, no header::

    0 question_id   1 image_id   2 question   3 answers   4 objects   5 image (base64)

``answers`` is ``confidence|!+answer``, several joined by ``&&``; ``objects`` may be empty, several
are joined by ``&&``; the image is the encoded file in standard or URL-safe base64.

Files are read as bytes and split at line feeds only, so that CRLF and LF files give the same rows
(a text-mode reader would count offsets wrongly with CRLF). A tab or line end inside a text cannot
be told from a separator: rows with another number of columns are refused on import, and such text
is refused on export, both by row.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from biomedgpt.data.prepared.card import DatasetCard, DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.data.prepared.text_vocabulary import write_vocabulary
from biomedgpt.data.prepared.writer import staged_folder, write_splits
from biomedgpt.data.raw.tables import check_text, read_lines
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import atomic_path

COLUMNS = ("question_id", "image_id", "question", "answers", "objects", "image")
BETWEEN_ANSWERS = "&&"
AFTER_CONFIDENCE = "|!+"
CLEANING = (
    "white space collapsed to one space and stripped",
    "answers lower-cased; questions keep their case",
    "the target is the answer of highest confidence, of equals the first",
    "answer_type is CLOSED where that answer is yes or no, else OPEN: the table does not say",
    "question_type is empty: the table does not say",
    "objects joined by spaces",
)
_URL_SAFE = str.maketrans("-_", "+/")


def import_tsv(
    files: Mapping[str, Path],
    out: Path,
    *,
    name: str,
    source: str,
    licence: str,
    skip_bad: bool = False,
    overwrite: bool = False,
    vocabulary: bool = True,
) -> DatasetCard:
    """Make a prepared dataset of VQA tables.

    Args:
        files: table by split name.
        out: output folder.
        name: name of the dataset.
        source: where it comes from, for the card.
        licence: licence of the data, for the card.
        skip_bad: leave bad rows out and list them, instead of stopping at the first.
        overwrite: replace a prepared dataset that is there.
        vocabulary: also train a text vocabulary, if there is a training split.

    Raises:
        DataError: a file is missing or a row is bad; names file and row.
        ConfigError: ``out`` is taken.
    """
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise DataError(f"no such file: {', '.join(missing)}")
    skipped = Skipped(allowed=skip_bad)
    learning_first = sorted(files, key=lambda split: (split != "train", split != "valid", split))
    order = {split: files[split] for split in learning_first}
    splits = {split: good_rows(read_lines(path), _parse, skipped) for split, path in order.items()}
    facts = DatasetFacts(name=name, task="vqa", source=source, licence=licence, cleaning=CLEANING)
    with staged_folder(out, overwrite=overwrite) as staged:
        card = write_splits(
            staged,
            facts,
            splits,
            skipped=skipped,
            preparation={"tables": {split: path.name for split, path in order.items()}},
        )
        if vocabulary and "train" in files:
            write_vocabulary(staged)
    return card


def export_tsv(split: PreparedSplit, path: Path) -> int:
    """Write one split as a VQA table; returns the number of rows.

    `import_tsv` gives the same id, question, answer, references, object, image name and image
    back; answer and question types have no column.

    Raises:
        DataError: a row that the table cannot hold; names its id.
        ConfigError: the split is not of visual questions.
    """
    if split.task != "vqa":
        raise ConfigError(f"{split.path}: task {split.task}; only vqa has a table of this kind")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for index in tqdm(range(len(split)), desc=path.name, unit=" rows", disable=None):
            row = split[index]
            where = f"{split.path}: row {index + 1} (id {row['id']})"
            if "image" not in row:
                raise DataError(f"{where}: has no image, which the table needs")
            columns = [
                row["id"],
                row["image_name"],
                row["question"],
                _format_answers(row["references"], where),
                row["object"],
            ]
            for name, text in zip(COLUMNS, columns, strict=False):
                if any(mark in text for mark in "\t\n\r"):
                    raise DataError(f"{where}: {name} holds a tab or line end")
            file.write("\t".join(columns).encode() + b"\t" + base64.b64encode(row["image"]) + b"\n")
    return len(split)


def _parse(item: tuple[str, str]) -> Row:
    """Turn one line into a row."""
    where, line = item
    check_text(line, where=where)
    columns = line.split("\t")
    if len(columns) != len(COLUMNS):
        raise DataError(
            f"{where}: {len(columns)} columns instead of {len(COLUMNS)} (a tab within a text?)"
        )
    question_id, image_id, question, answers, objects = map(clean_text, columns[:-1])
    for name, text in (("question_id", question_id), ("question", question)):
        if not text:
            raise DataError(f"{where}: empty {name}")
    references = _parse_answers(answers, where)
    answer, _ = max(references, key=lambda reference: reference[1])
    try:
        image = base64.b64decode(columns[-1].translate(_URL_SAFE), validate=True)
    except binascii.Error as error:
        raise DataError(f"{where}: image is not base64 ({error})") from error
    fields = {
        "id": question_id,
        "question": question,
        "answer": answer,
        "answer_type": "CLOSED" if answer in ("yes", "no") else "OPEN",
        "question_type": "",
        "object": clean_text(objects.replace(BETWEEN_ANSWERS, " ")),
        "references": json.dumps(
            [{"answer": text, "confidence": number} for text, number in references],
            ensure_ascii=False,
        ),
        "image_name": image_id,
    }
    return Row(fields, image, f"{where} (id {question_id})")


def _parse_answers(text: str, where: str) -> list[tuple[str, float]]:
    """Parse ``confidence|!+answer`` joined by ``&&`` to answers with their confidence."""
    references = []
    for part in text.split(BETWEEN_ANSWERS):
        number, mark, answer = part.partition(AFTER_CONFIDENCE)
        answer = clean_text(answer).lower()
        if not mark or not answer:
            raise DataError(f"{where}: answer {part!r} is not of the form confidence|!+answer")
        try:
            confidence = float(number)
        except ValueError:
            confidence = math.nan
        if not 0.0 <= confidence <= 1.0:
            raise DataError(f"{where}: confidence {number!r} is not a number from 0 to 1")
        references.append((answer, confidence))
    return references


def _format_answers(references: str, where: str) -> str:
    """Write the JSON list of references as the table's column."""
    parts = []
    for one in json.loads(references):
        answer, confidence = one["answer"], float(one["confidence"])
        if BETWEEN_ANSWERS in answer or AFTER_CONFIDENCE in answer:
            raise DataError(f"{where}: answer {answer!r} holds a separator of the table")
        number = str(int(confidence)) if confidence.is_integer() else repr(confidence)
        parts.append(f"{number}{AFTER_CONFIDENCE}{answer}")
    return BETWEEN_ANSWERS.join(parts)
