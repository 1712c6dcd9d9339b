"""PubMed Central, open-access subset: articles in JATS XML, cut into passages.

Expected, anywhere below the raw folder: bundles ``*.tar.gz`` as in ``oa_bulk`` (such as
``oa_comm_xml.PMC000xxxxxx.baseline.DATE.tar.gz`` and ``oa_comm_xml.incr.DATE.tar.gz``), and single
``.xml`` or ``.nxml`` files. Bundles are read as streams, nothing is unpacked to disk. An article
that comes again, in a later bundle by name, replaces the earlier one with all its passages.
"""

import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from xml.etree.ElementTree import Element

from biomedgpt.corpora import passages, xml
from biomedgpt.corpora.reader import Corpus, Reading, RowGroup, Work, files_below
from biomedgpt.data.rows import Row, clean_text
from biomedgpt.errors import DataError
from biomedgpt.files import open_bytes

BUNDLES, SINGLE = (".tar.gz", ".tar"), (".xml", ".nxml")
FILES_AT_ONCE = 500
_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_MOST_HEADER = 1 << 20
_LEFT_OUT = {
    *("table-wrap", "fig", "fig-group", "disp-formula", "tex-math", "supplementary-material"),
    *("media", "graphic", "fn", "object-id"),
}
_OTHER_ABSTRACTS = {"graphical", "teaser", "toc", "precis", "executive-summary"}
_EMPTY_BRACKETS = re.compile(r"\s*[\[(][\s,;–-]*[\])]")
_ID = re.compile(r"(?:PMC)?(\d+)")


def plan(raw: Path) -> list[Work]:
    """Return a piece of work per bundle, then the single files in batches."""
    paths = files_below(raw, (*BUNDLES, *SINGLE), what="bundles or articles")
    bundles = [path for path in paths if path.name.lower().endswith(BUNDLES)]
    single = [path for path in paths if path.name.lower().endswith(SINGLE)]
    return [
        *Work.of_files(sorted(bundles, key=lambda path: (path.name, path)), raw),
        *Work.of_batches(single, raw, size=FILES_AT_ONCE),
    ]


def read(work: Work, reading: Reading) -> Iterator[RowGroup]:
    """Yield a document per article; bad articles, and a bundle that is cut, are bad rows."""
    for path in work.files:
        if path.name.lower().endswith(BUNDLES):
            yield from _bundle(path, reading)
        else:
            with open_bytes(path) as stream, reading.skipped.catching():
                yield _article(stream, reading, where=str(path))


class _Member(tarfile.TarInfo):
    """A member without long headers, which tarfile reads into memory whatever they say."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the member of a block; ReadError where a header of gigabytes follows."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and member.size > _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes; refused")
        return member


def _bundle(path: Path, reading: Reading) -> Iterator[RowGroup]:
    number, name = 0, ""
    try:
        with tarfile.open(path, "r|*", tarinfo=_Member) as bundle:
            for member in bundle:
                if not (member.isreg() and member.name.lower().endswith(SINGLE)):
                    continue
                number, name = number + 1, member.name
                where = f"{path}: record {number} ({name})"
                with reading.skipped.catching():
                    if member.size > xml.MAX_RECORD:
                        raise DataError(f"{where}: {member.size:,} bytes; refused")
                    stream = bundle.extractfile(member)
                    assert stream is not None  # it is a regular file
                    yield _article(io.BytesIO(stream.read()), reading, where=where)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        after = f"after record {number} ({name})" if number else "at its begin"
        reading.skipped.take(DataError(f"{path}: cut or damaged {after}: {error}"))


def _article(stream: io.BufferedIOBase, reading: Reading, *, where: str) -> RowGroup:
    articles = xml.iterate(stream, ("article",), roots=("article", "pmc-articleset"), where=where)
    article = next(articles, None)
    if article is None:
        raise DataError(f"{where}: no article in it")
    meta = article.find("front/article-meta")
    name = "" if meta is None else _identify(meta)
    if meta is None or not name:
        raise DataError(f"{where}: no PMC number")
    paragraphs = [_text(meta.find("title-group/article-title"))]
    for abstract in meta.findall("abstract"):
        if abstract.get("abstract-type") not in _OTHER_ABSTRACTS:
            paragraphs += _paragraphs(abstract)
    body = article.find("body")
    if body is not None:
        paragraphs += _paragraphs(body)
    for _ in articles:  # to its end: a file that is cut behind the body is still cut
        raise DataError(f"{where}: several articles in one file")
    texts = passages.cut(paragraphs, reading.max_words)
    if not texts:
        reading.counts["without text"] += 1
    rows = [
        Row({"id": f"{name}-{number}", "text": text}, None, where)
        for number, text in enumerate(texts)
    ]
    return RowGroup(name, rows)


def _identify(meta: Element) -> str:
    """Return the PMC number, "" where there is none."""
    for entry in meta.findall("article-id"):
        if entry.get("pub-id-type") in ("pmc", "pmcid"):
            found = _ID.fullmatch((entry.text or "").strip())
            if found:
                return f"PMC{found[1]}"
    return ""


def _paragraphs(section: Element) -> Iterator[str]:
    """Yield the texts of the outermost paragraphs of a section, in order."""
    for child in section:
        if child.tag == "p":
            text = _text(child)
            if text:
                yield text
        elif child.tag not in _LEFT_OUT:
            yield from _paragraphs(child)


def _text(element: Element | None) -> str:
    """Return the text of an element without tables, figures, formulas and citation marks."""
    if element is None:
        return ""
    parts: list[str] = []
    _gather(element, parts)
    return clean_text(_EMPTY_BRACKETS.sub("", "".join(parts)))


def _gather(element: Element, parts: list[str]) -> None:
    parts.append(element.text or "")
    for child in element:
        citation = child.tag == "xref" and child.get("ref-type") == "bibr"
        if child.tag not in _LEFT_OUT and not citation:
            _gather(child, parts)
            if child.tag in ("p", "list-item", "title"):
                parts.append(" ")
        parts.append(child.tail or "")


CORPUS = Corpus(
    name="pmc",
    title="PubMed Central open access: full text in passages",
    kind="text",
    source="https://ftp.ncbi.nlm.nih.gov/pub/pmc/oa_bulk/",
    licence="per article; oa_comm holds those that may be used commercially",
    plan=plan,
    read=read,
    cleaning=(
        "title, abstract and paragraphs of the body, cut into passages",
        "tables, figures, displayed formulas, footnotes and marks of citations left out",
        "white space collapsed to one space and stripped; markup within the text dropped",
    ),
    passages=True,
)
