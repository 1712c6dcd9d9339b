"""PubMed abstracts: the annual baseline and the daily update files as NLM ships them.

Expected: ``pubmed*.xml.gz`` (or ``.xml``), in the raw folder or in folders below it, such as
``baseline/`` and ``updatefiles/``. Files are numbered through both; a record in a later file
replaces the one of the same PMID in an earlier file, and ``DeleteCitation`` removes it.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from biomedgpt.corpora import xml
from biomedgpt.corpora.reader import Corpus, Reading, RowGroup, Work, files_below
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.errors import DataError
from biomedgpt.files import open_bytes

ARTICLE, DELETED = "PubmedArticle", "DeleteCitation"
UNLABELLED = "UNLABELLED"
"""What NLM writes where one part of a structured abstract has no heading."""


def plan(raw: Path) -> list[Work]:
    """Return a piece of work per file, in the order of the files' numbers."""
    paths = files_below(raw, (".xml.gz", ".xml"), what="PubMed files")
    return Work.of_files(sorted(paths, key=lambda path: (path.name, path)), raw)


def read(work: Work, reading: Reading) -> Iterator[RowGroup]:
    """Yield a document per citation; without an abstract it has no rows.

    A file that is cut or damaged is one error; with bad rows allowed, the whole records before
    that place are kept.
    """
    (path,) = work.files
    try:
        with open_bytes(path) as stream:
            elements = xml.iterate(
                stream, (ARTICLE, DELETED), roots=("PubmedArticleSet",), where=str(path)
            )
            for number, element in enumerate(elements, start=1):
                where = f"{path}: record {number}"
                with reading.skipped.catching():
                    if element.tag == DELETED:
                        for pmid in element.findall("PMID"):
                            name, version = _identify(pmid, where=where)
                            yield RowGroup(name, (), version)
                    else:
                        yield _document(element, reading, where=where)
    except xml.DamagedError as error:
        reading.skipped.take(error)


def _document(article: Element, reading: Reading, *, where: str) -> RowGroup:
    citation = article.find("MedlineCitation")
    if citation is None:
        raise DataError(f"{where}: no MedlineCitation")
    pmid, version = _identify(citation.find("PMID"), where=where)
    text = _abstract(citation)
    if not text:
        reading.counts["without abstract"] += 1
        return RowGroup(pmid, (), version)
    title = _text(citation.find("Article/ArticleTitle"))
    row = Row({"id": pmid, "text": clean_text(f"{title} {text}")}, None, f"{where} (PMID {pmid})")
    return RowGroup(pmid, (row,), version)


def _identify(pmid: Element | None, *, where: str) -> tuple[str, int]:
    """Return PMID and version."""
    text = "" if pmid is None or pmid.text is None else pmid.text.strip()
    if pmid is None or not (text.isascii() and text.isdigit()):
        raise DataError(f"{where}: PMID is {text!r}, not a number")
    version = pmid.get("Version", "1")
    if not (version.isascii() and version.isdigit() and len(version) < 9):
        raise DataError(f"{where}: version of PMID {text} is {version!r}, not a number")
    return text, int(version)


def _abstract(citation: Element) -> str:
    """Return the parts of the abstract in order, each behind its heading."""
    parts = []
    for part in citation.findall("Article/Abstract/AbstractText"):
        text, label = _text(part), part.get("Label", "")
        if text:
            parts.append(f"{label}: {text}" if label and label != UNLABELLED else text)
    return " ".join(parts)


def _text(element: Element | None) -> str:
    return "" if element is None else clean_text("".join(element.itertext()))


CORPUS = Corpus(
    name="pubmed",
    title="PubMed: titles and abstracts of the citations, baseline and updates",
    kind="text",
    source="https://ftp.ncbi.nlm.nih.gov/pubmed/",
    licence="terms of NLM; abstracts may be under the copyright of their publishers",
    plan=plan,
    read=read,
    cleaning=(
        "text is title and abstract, parts of a structured abstract behind their headings",
        "white space collapsed to one space and stripped; markup within the text dropped",
        "citations without an abstract are left out",
    ),
)
