"""Small releases of corpora in their official layouts, written by generators."""

import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

WORDS = """
patients tumour cells expression of the in with treatment response clinical study increased levels
protein gene therapy randomized trial control risk disease associated significant analysis imaging
lesion lung liver survival months dose receptor inhibition pathway model
""".split()  # noqa: SIM905


def sentence(random_state: random.Random, words: int) -> str:
    return " ".join(random_state.choices(WORDS, k=words)).capitalize() + "."


# PubMed

PUBMED_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN"
 "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">
<PubmedArticleSet>
"""


def citation(pmid: int, *, version: int = 1, text: str | None = None, parts: int = 1) -> str:
    """One citation as NLM writes it, with what readers must pass over."""
    rng = random.Random(f"{pmid} {version}")
    if text is not None:
        abstract = f"<AbstractText>{text}</AbstractText>" if text else ""
    elif parts == 1:
        abstract = f"<AbstractText>{sentence(rng, 60)} {sentence(rng, 60)}</AbstractText>"
    else:
        abstract = "".join(
            f'<AbstractText Label="{label}" NlmCategory="{label}">{sentence(rng, 40)}'
            "</AbstractText>"
            for label in ("BACKGROUND", "METHODS", "RESULTS", "UNLABELLED")
        )
    abstract = f"<Abstract>{abstract}</Abstract>" if abstract else ""
    return f"""<PubmedArticle>
<MedlineCitation Status="MEDLINE" IndexingMethod="Automated" Owner="NLM">
<PMID Version="{version}">{pmid}</PMID>
<DateRevised><Year>2025</Year><Month>01</Month><Day>08</Day></DateRevised>
<Article PubModel="Print"><Journal><ISSN IssnType="Print">0006-2944</ISSN>
<Title>Biochemical medicine</Title><ISOAbbreviation>Biochem Med</ISOAbbreviation></Journal>
<ArticleTitle>Study {pmid} of {escape(sentence(rng, 8))}</ArticleTitle>
<Pagination><StartPage>117</StartPage><MedlinePgn>117-26</MedlinePgn></Pagination>{abstract}
<AuthorList CompleteYN="Y"><Author ValidYN="Y"><LastName>Ünal</LastName><ForeName>A B</ForeName>
</Author></AuthorList><Language>eng</Language></Article>
<OtherAbstract Type="Publisher" Language="spa"><AbstractText>Otro.</AbstractText></OtherAbstract>
<MeshHeadingList><MeshHeading><DescriptorName UI="D000818" MajorTopicYN="N">Animals</DescriptorName>
</MeshHeading></MeshHeadingList></MedlineCitation>
<PubmedData><PublicationStatus>ppublish</PublicationStatus><ArticleIdList>
<ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList><ReferenceList><Reference>
<Citation>Cited.</Citation><ArticleIdList><ArticleId IdType="pubmed">1</ArticleId></ArticleIdList>
</Reference></ReferenceList></PubmedData></PubmedArticle>
"""


def pubmed_file(
    path: Path, citations: Iterable[str], *, deleted: Sequence[int] = (), head: str = PUBMED_HEAD
) -> Path:
    """One numbered file of the baseline or of the updates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=3) as file:
        file.write(head)
        for one in citations:
            file.write(one)
        if deleted:
            listed = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in deleted)
            file.write(f"<DeleteCitation>{listed}</DeleteCitation>\n")
        file.write("</PubmedArticleSet>")
    return path


def pubmed_release(folder: Path, *, files: int, records: int) -> Path:
    """A baseline of ``files`` files with ``records`` citations each, PMIDs counted from 1."""
    for number in range(files):
        first = number * records + 1
        pubmed_file(
            folder / f"pubmed26n{number + 1:04d}.xml.gz",
            (citation(pmid, parts=1 + pmid % 2) for pmid in range(first, first + records)),
        )
    return folder


# PubMed Central

ARTICLE_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.2
 20190208//EN" "JATS-archivearticle1.dtd">
"""


def article(number: int, *, paragraphs: Sequence[str], title: str = "A study") -> str:
    """One article in JATS."""
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    return f"""{ARTICLE_HEAD}<article xmlns:xlink="http://www.w3.org/1999/xlink"
 article-type="research-article"><front><journal-meta><journal-id>J</journal-id></journal-meta>
<article-meta><article-id pub-id-type="pmid">1{number}</article-id>
<article-id pub-id-type="pmc">PMC{number}</article-id>
<title-group><article-title>{title} <italic>{number}</italic></article-title></title-group>
<abstract><sec><title>Background</title><p>Abstract of {number}.</p></sec></abstract>
<abstract abstract-type="graphical"><p>A picture.</p></abstract></article-meta></front>
<body><sec><title>Methods</title>{body}
<fig id="f1"><caption><p>Caption left out.</p></caption></fig>
<table-wrap><table><tbody><tr><td>Cell left out</td></tr></tbody></table></table-wrap></sec></body>
<back><ref-list><ref><mixed-citation>Reference left out.</mixed-citation></ref></ref-list></back>
</article>"""


def bundle(path: Path, articles: Mapping[str, str | bytes]) -> Path:
    """A bundle as in oa_bulk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in articles.items():
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


# Images


def picture(number: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A small picture that differs by number."""
    rng = np.random.default_rng(number)
    file = io.BytesIO()
    pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def medicat(folder: Path, figures: Sequence[Mapping[str, Any]]) -> Path:
    """MedICaT; every figure is a record with the keys that are not the usual ones."""
    lines = []
    for number, changes in enumerate(figures):
        record = {
            "pdf_hash": f"{number:040x}",
            "fig_key": "Figure1",
            "fig_uri": "2-Figure1-1.png",
            "s2_caption": f"Figure 1. Finding {number}.",
            "s2orc_caption": f"Figure 1. Finding {number}.",
            "s2orc_references": None,
            "radiology": True,
            "scope": True,
            "predicted_type": "Medical images",
            "oa_info": {"doi": "10.0/0"},
        } | dict(changes)
        lines.append(json.dumps(record))
        write(
            folder / "release/figures" / f"{record['pdf_hash']}_{record['fig_uri']}",
            picture(number),
        )
    name = "s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl"
    write(folder / "release" / name, "\n".join(lines) + "\n")
    return folder


LESION_HEADER = (
    "File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,"
    "Bounding_boxes,Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,"
    "Possibly_noisy,Slice_range,Spacing_mm_px_,Image_size,DICOM_windows,Patient_gender,"
    "Patient_age,Train_Val_Test"
)


def lesion(name: str, box: str, *, kind: int = 5, noisy: int = 0, window: str = "-175, 275") -> str:
    """A row of DeepLesion's table."""
    patient, study, series, key = name.removesuffix(".png").split("_")
    return (
        f'{name},{int(patient)},{int(study)},{int(series)},{int(key)},"1, 2, 3, 4","{box}",'
        f'"4.5, 3.2","0.3, 0.4, 0.5",{kind},{noisy},"103, 115","0.488, 0.488, 5","64, 48",'
        f'"{window}",F,62,3'
    )


def deep_lesion(folder: Path, rows: Sequence[str]) -> Path:
    """DeepLesion with the slices that the rows name, of 64 x 48, from -1000 to 1000 HU."""
    write(folder / "DL_info.csv", "\n".join((LESION_HEADER, *rows)) + "\n")
    for row in rows:
        series, _, key = row.partition(",")[0].rpartition("_")
        units = np.linspace(-1000, 1000, 64 * 48).reshape(48, 64)
        units[0, 0] = int(key[:3])  # no two slices are the same
        path = folder / "Images_png" / series / key
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((units + 32768).astype(np.uint16)).save(path)
    return folder


def voc(name: str, objects: Sequence[tuple[str, tuple[int, int, int, int]]]) -> str:
    """An annotation of OIA-DDR."""
    listed = "".join(
        f"<object><name>{label}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax>"
        f"<ymax>{box[3]}</ymax></bndbox></object>"
        for label, box in objects
    )
    return (
        f"<annotation><folder>train</folder><filename>{name}.jpg</filename>"
        f"<size><width>40</width><height>30</height><depth>3</depth></size>{listed}</annotation>"
    )
