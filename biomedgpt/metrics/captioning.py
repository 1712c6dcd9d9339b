"""Measures of captions: CIDEr-D, BLEU, ROUGE-L and METEOR as pycocoevalcap computes them.

Its tokenizer and METEOR are Java programs. :func:`find_java` says beforehand whether they can
run; without Java a plain tokenizer takes over and METEOR has no value.
"""

import shutil
import string
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.metrics.measures import NotMeasured, Record, Statistics
from biomedgpt.metrics.normalize import accepted_answers
from biomedgpt.metrics.optional import load_extra

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
_PACKAGE = "pycocoevalcap"
_ORDERS = 4


@dataclass(frozen=True)
class _Captions:
    """Tokenized captions by number of the image, in the form pycocoevalcap takes."""

    predictions: dict[int, list[str]]
    references: dict[int, list[str]]

    @classmethod
    def of(cls, records: Sequence[Record], *, java: str | None) -> Self:
        references = [accepted_answers(record) for record in records]
        texts = [record["prediction"] for record in records]
        texts += [text for several in references for text in several]
        tokenized = iter(_tokenize_once(tuple(texts), java))
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
    return path if path is not None and _runs(path) else None


@lru_cache
def _runs(java: str) -> bool:
    # On some systems the command exists and only says where Java could be got.
    return subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0


# The measures of one file share its words: Java takes a second to start.
@lru_cache(maxsize=4)
def _tokenize_once(texts: tuple[str, ...], java: str | None) -> list[str]:
    return tokenize(texts, java=java)


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


def cider_d(records: Sequence[Record], *, java: str | None) -> Statistics:
    """Return the mean CIDEr-D; the rarities of n-grams stay those of all images.

    Args:
        records: one per image, with all its references.
        java: what :func:`find_java` returned; None splits captions into plain words.

    Raises:
        ConfigError: pycocoevalcap is not installed, or its tokenizer fails.
        DataError: a reference without a word.
    """
    captions = _Captions.of(records, java=java)
    scorer = load_extra("pycocoevalcap.cider.cider", package=_PACKAGE).Cider()
    _, values = scorer.compute_score(captions.references, captions.predictions)
    values = np.asarray(values, dtype=np.float64)  # (n,)
    return lambda chosen: [float(values[chosen].mean())]


def bleu(records: Sequence[Record], *, java: str | None) -> Statistics:
    """Return BLEU-1 to BLEU-4; arguments and errors as in `cider_d`."""
    counts = _bleu_counts(_Captions.of(records, java=java))  # (n, 10)
    return lambda chosen: corpus_bleu(counts[chosen].sum(axis=0))


def rouge_l(records: Sequence[Record], *, java: str | None) -> NDArray[np.float64]:
    """Return ROUGE-L of each caption (n,); arguments and errors as in `cider_d`."""
    captions = _Captions.of(records, java=java)
    scorer = load_extra("pycocoevalcap.rouge.rouge", package=_PACKAGE).Rouge()
    values = [
        scorer.calc_score(prediction, captions.references[number])
        for number, prediction in captions.predictions.items()
    ]
    return np.array(values, dtype=np.float64)


def meteor(records: Sequence[Record], *, java: str | None) -> Statistics:
    """Return METEOR of all captions together, whichever are chosen.

    Raises:
        NotMeasured: there is no Java, or METEOR's program failed.
        ConfigError, DataError: as `cider_d`.
    """
    if java is None:
        raise NotMeasured(NO_JAVA)
    captions = _Captions.of(records, java=java)
    # Its fields are separated by bars, which are not expected within them.
    references = {
        number: [text.replace("|||", "") for text in texts]
        for number, texts in captions.references.items()
    }
    scorer = load_extra("pycocoevalcap.meteor.meteor", package=_PACKAGE).Meteor()
    try:
        value, _ = scorer.compute_score(references, captions.predictions)
    except (OSError, ValueError) as error:  # Java ended, or answered something else than numbers
        raise NotMeasured(f"its Java program failed ({error})") from error
    finally:
        # The class leaves Java running, and waits for its own lock for ever after a failure.
        if scorer.lock.locked():
            scorer.lock.release()
        scorer.meteor_p.kill()
        scorer.meteor_p.wait()
        for pipe in (scorer.meteor_p.stdin, scorer.meteor_p.stdout, scorer.meteor_p.stderr):
            with suppress(OSError):
                pipe.close()
    return lambda chosen: [float(value)]


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
