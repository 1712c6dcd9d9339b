"""What a dataset's card says about its splits: candidates, baselines, leakage.

Computed from the finished split files, so that writing a dataset and checking it agree.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain, combinations, compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.data.prepared.folds import JoinedSplits
from biomedgpt.data.rows import question_key
from biomedgpt.tasks import row_kinds

LEARNING_SPLITS = ("train", "valid")
"""Splits whose answers may become candidates."""


def candidate_answers(splits: Mapping[str, PreparedSplit]) -> list[str]:
    """Return the distinct answers of train and valid (never of test), by first appearance."""
    columns = (splits[name].column("answer") for name in LEARNING_SPLITS if name in splits)
    return list(dict.fromkeys(chain.from_iterable(columns)))


def answer_coverage(
    splits: Mapping[str, PreparedSplit], candidates: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Say, per split outside train and valid, how many rows have a candidate as their answer.

    Each entry has ``rows``, ``covered`` and ``share``, and the same ``by_answer_type`` where rows
    have one.
    """
    known = set(candidates)
    coverage = {}
    for name, split in splits.items():
        if name in LEARNING_SPLITS:
            continue
        covered = [answer in known for answer in split.column("answer")]
        coverage[name] = _share(covered)
        if "answer_type" in split.fields:
            kinds = np.array(split.column("answer_type"), dtype=object)
            coverage[name]["by_answer_type"] = {
                kind: _share(list(compress(covered, kinds == kind))) for kind in sorted(set(kinds))
            }
    return coverage


def _share(covered: list[bool]) -> dict[str, Any]:
    count = sum(covered)
    return {"rows": len(covered), "covered": count, "share": round(count / len(covered), 4)}


def majority_answers(
    splits: Mapping[str, PreparedSplit | JoinedSplits],
) -> tuple[str, dict[str, str]]:
    """Return the commonest answer of the training split, overall and by question type.

    Of equally common answers the one that appears first wins. Every question type of any split
    has an entry; types without a training example get the overall answer. Rows without a question
    type have the type "". Without a training split both are empty.
    """
    if "train" not in splits:
        return "", {}
    train = splits["train"]
    answers = train.column("answer")
    overall = Counter(answers).most_common(1)[0][0]
    if "question_type" not in train.fields:
        return overall, {"": overall}
    by_type: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for question_type, answer in zip(train.column("question_type"), answers, strict=True):
        by_type[question_type][answer] += 1
    kinds = sorted({kind for split in splits.values() for kind in split.column("question_type")})
    return overall, {
        kind: by_type[kind].most_common(1)[0][0] if kind in by_type else overall for kind in kinds
    }


def leakage(splits: Mapping[str, PreparedSplit]) -> dict[str, Any]:
    """Report what two splits share and what a split holds twice.

    Images are the same when their encoded bytes are. Questions, or whatever texts the task reads,
    are the same when image and all texts agree, apart from case, white space and closing
    punctuation; tasks that read none have none. Counts are rows of the later split for questions,
    distinct images for images.
    """
    images = {name: set(split.image_hashes()) for name, split in splits.items()}
    questions = {name: _question_keys(split) for name, split in splits.items()}
    shared = {}
    for first, second in combinations(splits, 2):
        common = images[first] & images[second]
        repeated = np.isin(questions[second], questions[first])
        shared[f"{first}/{second}"] = {
            "images": len(common),
            "rows_on_shared_images": _rows_on_images(splits[second], common),
            "questions": int(repeated.sum()),
        }
    duplicates = {
        name: len(keys) - len(np.unique(keys)) if len(keys) else 0
        for name, keys in questions.items()
    }
    return {"shared_between_splits": shared, "duplicate_questions": duplicates}


def _rows_on_images(split: PreparedSplit, hashes: set[str]) -> int:
    """Count the rows whose image is one of ``hashes``."""
    chosen = np.array([digest in hashes for digest in split.image_hashes()], dtype=bool)
    index = split.image_index
    return int(chosen[index[index >= 0]].sum())


def _question_keys(split: PreparedSplit) -> NDArray[np.uint64]:
    """Return a 64-bit key of image and source texts per row; empty where the task reads no text."""
    task = row_kinds().get(split.task)
    fields = [name for name in (task.source if task else ()) if name in split.fields]
    if not fields:
        return np.empty(0, dtype=np.uint64)
    hashes = [*split.image_hashes(), ""]  # index -1, no image, is the last
    keys = np.empty(len(split), dtype=np.uint64)
    for row, index in enumerate(split.image_index):
        texts = [question_key(split.text(name, row)) for name in fields]
        text = "\n".join([hashes[index], *texts])
        keys[row] = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return keys
