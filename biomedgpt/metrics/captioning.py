"""Scores of captions: CIDEr-D, BLEU, ROUGE-L and METEOR as pycocoevalcap computes them.

Its tokenizer and METEOR are Java programs. :func:`find_java` says beforehand whether they can
run; without Java a plain tokenizer takes over and METEOR has no value, and the score says both.
"""

import shutil
import string
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.bootstrap import (
    RESAMPLES,
    SEED,
    Estimate,
    bootstrap_mean,
    bootstrap_statistics,
)
from biomedgpt.metrics.extra import load_extra
from biomedgpt.metrics.predictions import Record

SCORER = "captioning-1.0"
PTB_TOKENIZER = (
    "Penn Treebank words (Stanford PTBTokenizer of pycocoevalcap): lower-cased, brackets turned "
    "into words (-lrb-), other punctuation that stands alone removed; nothing else"
)
PLAIN_TOKENIZER = (
    "plain words, for want of Java: lower-cased, split at white space, punctuation at both ends "
    "of a word removed; nothing else; not comparable with scores of Penn Treebank words"
)
NO_JAVA = "no Java was found"
ONE_IMAGE = "CIDEr-D of a single image is 0 whatever the caption: every n-gram is in every image"
DEFINITIONS = {
    "CIDEr-D": (
        "likeness of n-grams (1 to 4) weighted by their rarity among the images scored, 0 to 10, "
        "mean over images; publications often print it times 100; 0 for a single image"
    ),
    "BLEU": "clipped n-gram precision of all captions together with the closest reference lengths",
    "ROUGE-L": "F of the longest common subsequence (beta 1.2), mean over images",
    "METEOR": "METEOR 1.5 for English of all captions together; without an interval",
    "references": "all references of an image are used",
    "interval": (
        "95 % percentile bootstrap over images; the rarities of CIDEr-D stay those of all images"
    ),
}
_PACKAGE = "pycocoevalcap"
_ORDERS = 4


@dataclass(frozen=True, kw_only=True)
class CaptioningScore:
    """Score of one prediction file; ``meteor`` has no value without Java."""

    cider_d: Estimate
    bleu_1: Estimate
    bleu_2: Estimate
    bleu_3: Estimate
    bleu_4: Estimate
    rouge_l: Estimate
    meteor: Estimate
    meteor_problem: str | None
    """Why METEOR was not computed; None if it was."""
    normalisation: str
    """Which tokenizer split the captions, and what it does to them."""
    notes: list[str]
    """What a reader must know of these very numbers."""
    scorer: str = SCORER

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CaptioningCounts:
    """Sums over images, which add up over batches and processes.

    Only ROUGE-L: CIDEr-D depends on all images at once. Captions are split by the plain tokenizer,
    as starting Java for every batch would take longer than generating.
    """

    n: int = 0
    rouge_l: float = 0.0

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Return the sums over ``records``, lines as in a prediction file."""
        records = list(records)
        values = _rouge_l(_Captions.of(records, java=None))
        return cls(n=len(records), rouge_l=float(values.sum()))

    def __add__(self, other: Self) -> Self:
        return type(self)(n=self.n + other.n, rouge_l=self.rouge_l + other.rouge_l)


@dataclass(frozen=True)
class _Captions:
    """Tokenized captions by number of the image, in the form pycocoevalcap takes."""

    predictions: dict[int, list[str]]
    references: dict[int, list[str]]

    @classmethod
    def of(cls, records: Sequence[Record], *, java: str | None) -> Self:
        references = [_references(record) for record in records]
        texts = [record["prediction"] for record in records]
        texts += [text for several in references for text in several]
        tokenized = iter(tokenize(texts, java=java))
        captions = cls(
            {number: [next(tokenized)] for number in range(len(records))},
            {number: [next(tokenized) for _ in texts] for number, texts in enumerate(references)},
        )
        for record, several in zip(records, captions.references.values(), strict=True):
            if not all(several):
                raise DataError(
                    f"example {record['id']!r}: a reference has no word that could be compared; "
                    "check the prepared dataset"
                )
        return captions


def find_java() -> str | None:
    """Return the path of a Java that runs, or None."""
    path = shutil.which("java")
    if path is None:
        return None
    # On some systems the command exists and only says where Java could be got.
    works = subprocess.run([path, "-version"], capture_output=True, check=False).returncode == 0
    return path if works else None


def tokenize(texts: Sequence[str], *, java: str | None) -> list[str]:
    """Return each text as words joined by single spaces; "" where there is none.

    Args:
        texts: captions.
        java: path of Java for :data:`PTB_TOKENIZER`; None for :data:`PLAIN_TOKENIZER`.

    Raises:
        ConfigError: pycocoevalcap is not installed, or its tokenizer fails.
    """
    if java is None:
        words = (
            (word.strip(string.punctuation) for word in text.lower().split()) for text in texts
        )
        return [" ".join(filter(None, kept)) for kept in words]
    module = load_extra("pycocoevalcap.tokenizer.ptbtokenizer", package=_PACKAGE)
    # Not through its class, which writes into the installed package, repeats what Java reports on
    # the screen, and reads and writes in the encoding of the locale.
    command = [
        java,
        "-Dfile.encoding=UTF-8",
        "-cp",
        str(Path(module.__file__).with_name(module.STANFORD_CORENLP_3_4_1_JAR)),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
    ]
    # A line break of any kind within a caption would make two of one.
    lines = "".join(" ".join(text.split()) + "\n" for text in texts)
    run = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
    tokenized = run.stdout.decode().split("\n")[:-1]
    if run.returncode != 0 or len(tokenized) != len(texts):
        report = run.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise ConfigError(
            f"the tokenizer of pycocoevalcap failed with {java} ({report}); check the Java "
            "installation"
        )
    return [
        " ".join(word for word in line.rstrip().split(" ") if word not in module.PUNCTUATIONS)
        for line in tokenized
    ]


def score_captions(
    records: Sequence[Record],
    *,
    java: str | None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> CaptioningScore:
    """Return the score of ``records``, lines as in a prediction file, in any order.

    Args:
        records: one per image, with all its references.
        java: what :func:`find_java` returned; None scores without METEOR and with plain words.
        resamples: of the intervals.
        seed: of the intervals.

    Raises:
        ConfigError: pycocoevalcap is not installed, or its tokenizer fails.
        DataError: a reference without a word.
    """
    n = len(records)
    normalisation = PLAIN_TOKENIZER if java is None else PTB_TOKENIZER
    meteor_problem = NO_JAVA if java is None else None
    unknown = Estimate(value=None, n=n)
    cider_d = rouge_l = meteor = unknown
    bleu = [unknown] * _ORDERS
    if n:
        captions = _Captions.of(records, java=java)
        cider_d = bootstrap_mean(_cider_d(captions), resamples=resamples, seed=seed)
        rouge_l = bootstrap_mean(_rouge_l(captions), resamples=resamples, seed=seed)
        counts = _bleu_counts(captions)
        bleu = bootstrap_statistics(
            lambda chosen: corpus_bleu(counts[chosen].sum(axis=0)),
            n,
            resamples=resamples,
            seed=seed,
        )
        if java is not None:
            value, meteor_problem = _meteor(captions)
            meteor = Estimate(value=value, n=n)
    notes = [f"METEOR was not computed: {meteor_problem}"] if meteor_problem else []
    if n == 1:
        notes.append(ONE_IMAGE)
    return CaptioningScore(
        cider_d=cider_d,
        bleu_1=bleu[0],
        bleu_2=bleu[1],
        bleu_3=bleu[2],
        bleu_4=bleu[3],
        rouge_l=rouge_l,
        meteor=meteor,
        meteor_problem=meteor_problem,
        normalisation=normalisation,
        notes=notes,
    )


def caption_rouge_l(records: Sequence[Record], *, java: str | None) -> NDArray[np.float64]:
    """Return ROUGE-L of each caption (n,); arguments and errors as in `score_captions`."""
    return _rouge_l(_Captions.of(records, java=java))


def corpus_bleu(counts: NDArray[np.float64]) -> list[float]:
    """Return BLEU-1 to BLEU-4.

    Args:
        counts: (10,), summed over captions: words of the caption, words of its closest reference,
            n-grams of each order, those of them found in a reference.
    """
    # The small numbers are pycocoevalcap's, so that all its digits are met.
    tiny, small = 1e-15, 1e-9
    length, reference_length = counts[:2]
    possible, found = counts[2 : 2 + _ORDERS], counts[2 + _ORDERS :]
    precisions = np.cumprod((found + tiny) / (possible + small))
    ratio = (length + tiny) / (reference_length + small)
    penalty = np.exp(min(0.0, 1 - 1 / ratio))
    return [
        float(penalty * precision ** (1 / order))
        for order, precision in enumerate(precisions, start=1)
    ]


def _references(record: Record) -> list[str]:
    answers = [reference["answer"] for reference in record["references"]]
    return answers or [record["reference"]]


def _cider_d(captions: _Captions) -> NDArray[np.float64]:
    """Return the score of each image (n,)."""
    scorer = load_extra("pycocoevalcap.cider.cider", package=_PACKAGE).Cider()
    _, values = scorer.compute_score(captions.references, captions.predictions)
    return np.asarray(values, dtype=np.float64)


def _rouge_l(captions: _Captions) -> NDArray[np.float64]:
    """Return the score of each image (n,)."""
    scorer = load_extra("pycocoevalcap.rouge.rouge", package=_PACKAGE).Rouge()
    values = [
        scorer.calc_score(prediction, captions.references[number])
        for number, prediction in captions.predictions.items()
    ]
    return np.array(values, dtype=np.float64)


def _bleu_counts(captions: _Captions) -> NDArray[np.float64]:
    """Return what `corpus_bleu` sums up, of each image: (n, 10)."""
    scorer = load_extra("pycocoevalcap.bleu.bleu_scorer", package=_PACKAGE).BleuScorer(n=_ORDERS)
    for number, (prediction,) in captions.predictions.items():
        scorer += (prediction, captions.references[number])
    rows = []
    for one in scorer.ctest:
        length = one["testlen"]
        _, closest = min((abs(other - length), other) for other in one["reflen"])
        rows.append([length, closest, *one["guess"], *one["correct"]])
    return np.array(rows, dtype=np.float64)


def _meteor(captions: _Captions) -> tuple[float | None, str | None]:
    """Return METEOR of all captions, or what went wrong."""
    # Its fields are separated by bars, which are not expected within them.
    references = {
        number: [text.replace("|||", "") for text in texts]
        for number, texts in captions.references.items()
    }
    scorer = load_extra("pycocoevalcap.meteor.meteor", package=_PACKAGE).Meteor()
    try:
        value, _ = scorer.compute_score(references, captions.predictions)
    except (OSError, ValueError) as error:  # Java ended, or answered something else than numbers
        return None, f"its Java program failed ({error})"
    finally:
        # The class leaves Java running, and waits for its own lock for ever after a failure.
        if scorer.lock.locked():
            scorer.lock.release()
        scorer.meteor_p.kill()
        scorer.meteor_p.wait()
        for pipe in (scorer.meteor_p.stdin, scorer.meteor_p.stdout, scorer.meteor_p.stderr):
            with suppress(OSError):
                pipe.close()
    return float(value), None
