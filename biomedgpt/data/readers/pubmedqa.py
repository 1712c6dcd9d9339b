"""PubMedQA (PQA-L): the official JSON files, or the hub's Parquet file, to rows.

Expected layout of the raw folder, or of ``data/`` below it::

    ori_pqal.json                         1,000 labelled questions by PubMed id
    test_ground_truth.json                answers of the 500 test questions; may be missing
    pqal_fold0/{train,dev}_set.json       made by the authors' script; may be missing

or the hub's ``pqa_labeled/train-*.parquet``, which has the 1,000 questions in one split.

The authors' script draws the 500 test questions and ten folds of the others from a fixed seed. The
draw is repeated here, so that the official split needs no more than the 1,000 questions; files
that state it are used where they are there.
"""

import math
import random
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from biomedgpt.data.raw.qa_rows import qa_row
from biomedgpt.data.raw.tables import Record, parquet_shards, read_json, read_parquet
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.data.spec import DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import DataError

QUESTIONS = "ori_pqal.json"
TEST_ANSWERS = "test_ground_truth.json"
DEV_SET = "pqal_fold0/dev_set.json"
HUB_FOLDER = "pqa_labeled"
HUB_COLUMNS = ("pubid", "question", "context", "final_decision")
ANSWERS = ("yes", "no", "maybe")
FOLDS = 10
AUTHORS_SEED = 0


def read(release: Release) -> RawDataset:
    """Read the official release or the hub's copy.

    Raises:
        DataError: files are missing, are not those of PubMedQA, contradict each other, or a row is
            bad.
    """
    raw = release.folder
    path = _find(raw, QUESTIONS)
    records = list(_hub_records(release) if path is None else _official_records(path))
    rows: dict[str, Row] = {}
    for row in release.rows(records, _parse):
        with release.skipped.catching():
            if rows.setdefault(row.fields["id"], row) is not row:
                raise DataError(f"{row.where}: pmid {row.fields['id']} was there before")
    # The draw needs the answers of all questions, of those too that are skipped for another reason.
    decisions = {str(one.values["pmid"]): one.values["final_decision"] for one in records}
    test_file, dev_file = _find(raw, TEST_ANSWERS), _find(raw, DEV_SET)
    splits = _split(
        decisions,
        test=None if test_file is None else _stated_test(test_file, decisions),
        valid=None if dev_file is None else _stated(dev_file, decisions),
    )
    return RawDataset(
        splits={
            split: [rows[pmid] for pmid in ids if pmid in rows] for split, ids in splits.items()
        },
        answers=ANSWERS,
        cleaning=(
            "parts of an abstract joined with one space, their headings left out",
            "white space collapsed to one space and stripped",
            "conclusion of the abstract (LONG_ANSWER) left out",
        ),
        found={"questions": len(records)},
        preparation={
            "layout": "hub" if path is None else "official",
            "test_split": "drawn as the authors do" if test_file is None else TEST_ANSWERS,
            "valid_split": "drawn as the authors do" if dev_file is None else DEV_SET,
        },
    )


def _find(raw: Path, name: str) -> Path | None:
    """Return an official file, in the folder or in ``data/``."""
    return next((one for one in (raw / name, raw / "data" / name) if one.is_file()), None)


def _official_records(path: Path) -> Iterator[Record]:
    content = read_json(path, hint="is this the PubMedQA release?")
    first = next(iter(content.values()), None) if isinstance(content, dict) else None
    if not isinstance(first, dict) or not first.keys() >= {"QUESTION", "CONTEXTS"}:
        raise DataError(
            f"{path}: not questions by PubMed id, with QUESTION and CONTEXTS; is this the PubMedQA "
            "release?"
        )
    for pmid, values in content.items():
        values = values if isinstance(values, dict) else {}
        yield Record(
            f"{path}: pmid {pmid}",
            {
                "pmid": pmid,
                "question": values.get("QUESTION"),
                "contexts": values.get("CONTEXTS"),
                "final_decision": values.get("final_decision"),
            },
        )


def _hub_records(release: Release) -> Iterator[Record]:
    # Beside it, the download may hold the artificial and the unlabelled questions.
    folder = release.base(HUB_FOLDER)
    shards = [] if "artificial" in folder.name else parquet_shards(folder, "train")
    if not shards or "artificial" in shards[0].parent.name:
        raise release.refused(
            f"missing '{QUESTIONS}' (or the hub's '{HUB_FOLDER}/train-*.parquet')"
        )
    for record in read_parquet(shards, columns=HUB_COLUMNS):
        context = record.values["context"]
        contexts = context.get("contexts") if isinstance(context, Mapping) else None
        pmid = record.values["pubid"]
        yield Record(record.where, {**record.values, "pmid": pmid, "contexts": contexts})


def _parse(record: Record) -> Row:
    """Turn one question into a row."""
    contexts: Any = record.values["contexts"]
    if not isinstance(contexts, list) or not all(isinstance(one, str) for one in contexts):
        raise DataError(f"{record.where}: the contexts are no list of texts")
    context = clean_text(" ".join(contexts))
    if not context:
        raise DataError(f"{record.where}: empty context")
    return qa_row(
        record.where,
        record.text("pmid"),
        clean_text(record.text("question")),
        record.choice("final_decision", dict(zip(ANSWERS, ANSWERS, strict=True))),
        context=context,
    )


def _stated_test(path: Path, decisions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers of the test questions after comparing them."""
    answers = _stated(path, decisions)
    for pmid, answer in answers.items():
        if decisions[pmid] in ANSWERS and decisions[pmid] != answer:
            raise DataError(
                f"{path}: pmid {pmid} is {answer!r}, but {decisions[pmid]!r} among the questions; "
                "take both files from one release"
            )
    return answers


def _stated(path: Path, known: Collection[str]) -> dict[str, Any]:
    """Return the content of a file whose keys are ids."""
    content = read_json(path, hint="is this the PubMedQA release?")
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: not an object by PubMed id; is this the PubMedQA release?")
    unknown = [pmid for pmid in content if pmid not in known]
    if unknown:
        raise DataError(
            f"{path}: pmid {unknown[0]} is none of the questions; take all files from one release"
        )
    return content


def _split(
    answers: Mapping[str, Any], *, test: Collection[str] | None, valid: Collection[str] | None
) -> dict[str, list[str]]:
    """Assign ids to splits; what is not stated is drawn as the authors' script draws it."""
    generator = random.Random(AUTHORS_SEED)
    learn, drawn_test = _deal(answers, 2, generator)
    if test is not None and set(drawn_test) != set(test):
        learn = [pmid for pmid in answers if pmid not in test]
        drawn_test = [pmid for pmid in answers if pmid in test]
    if valid is None:
        valid = _deal({pmid: answers[pmid] for pmid in learn}, FOLDS, generator)[0]
    learning, validating, testing = set(learn), set(valid), set(drawn_test)
    return {
        "train": [pmid for pmid in answers if pmid in learning - validating],
        "valid": [pmid for pmid in answers if pmid in learning & validating],
        "test": [pmid for pmid in answers if pmid in testing],
    }


def _deal(answers: Mapping[str, Any], count: int, generator: random.Random) -> list[list[str]]:
    """Deal ids into parts with equal shares of each answer, as the authors' script does.

    The order of the draws matters: each answer's ids are shuffled in turn and cut into runs of
    equal length; a last part that is too short then gets one id of each other part.
    """
    parts: list[list[str]] = [[] for _ in range(count)]
    for label in ANSWERS:
        ids = [pmid for pmid, answer in answers.items() if answer == label]
        generator.shuffle(ids)
        size = math.ceil(len(ids) / count)
        for number, part in enumerate(parts):
            part += ids[number * size : (number + 1) * size]
    if len(parts[-1]) != len(parts[0]):
        for part in filter(None, parts[:-1]):
            moved = generator.choice(part)
            part.remove(moved)
            parts[-1].append(moved)
    return parts


SPEC = DatasetSpec(
    name="pubmedqa",
    title="PubMedQA: yes, no or maybe from an abstract",
    task="question_answering",
    source="https://github.com/pubmedqa/pubmedqa",
    licence="MIT",
    read=read,
    expected={"questions": 1000, "train": 450, "valid": 50, "test": 500},
    published=(
        PublishedResult("BioLinkBERT-large", "accuracy", 0.722, "Yasunaga et al., ACL 2022"),
    ),
)
