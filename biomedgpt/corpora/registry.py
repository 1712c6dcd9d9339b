"""The corpora that can be prepared by name; each is described in datasets/corpora/README.md."""

from biomedgpt.corpora import (
    image_folders,
    lesion_boxes,
    pairs,
    plain_text,
    pmc,
    pubmed,
)
from biomedgpt.corpora.reader import Corpus
from biomedgpt.errors import ConfigError, did_you_mean

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        pubmed.CORPUS,
        pmc.CORPUS,
        *plain_text.CORPORA,
        *pairs.CORPORA,
        *image_folders.CORPORA,
        *lesion_boxes.CORPORA,
    )
}


def get_corpus(name: str) -> Corpus:
    """Return a corpus; ConfigError, with the nearest name, when there is none."""
    if name not in CORPORA:
        hint = did_you_mean(name, CORPORA)
        raise ConfigError(f"unknown corpus {name!r}; {hint}see `biomedgpt corpus list`")
    return CORPORA[name]
