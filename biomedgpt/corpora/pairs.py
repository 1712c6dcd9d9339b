"""Pairs of image and text: MedICaT, and the training data of the benchmarks that have some.

Of the benchmarks only the training split is taken, read by the benchmark's own reader.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from biomedgpt.corpora.plain_text import lines_between
from biomedgpt.corpora.reader import Corpus, Reading, RowGroup, Work
from biomedgpt.data.raw.caption_rows import CAPTION_CLEANING, caption_row, plain_name
from biomedgpt.data.raw.tables import json_record
from biomedgpt.data.registry import BENCHMARKS
from biomedgpt.data.rows import Row
from biomedgpt.data.spec import PrepareOptions, Release
from biomedgpt.errors import DataError

FIGURES = "s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl"
PART_BYTES = 1 << 24
BENCHMARK_NAMES = ("roco", "iu-xray", "peir-gross", "slake", "pathvqa")


def plan_medicat(raw: Path) -> list[Work]:
    """Return parts of the list of figures."""
    path = (raw / "release" if (raw / "release").is_dir() else raw) / FIGURES
    if not path.is_file() or not (path.parent / "figures").is_dir():
        raise DataError(f"{raw} is not the MedICaT release: no {FIGURES} with figures/ in it")
    return Work.of_parts(path, path.name, size=PART_BYTES)


def read_medicat(work: Work, reading: Reading) -> Iterator[RowGroup]:
    """Yield a document per figure with a caption."""
    (path,) = work.files
    for place, line in lines_between(path, work.start, work.stop):
        if not line.strip():
            continue
        with reading.skipped.catching():
            row = _figure(line, path, where=f"{path}: byte {place}")
            if row is None:
                reading.counts["without caption"] += 1
            else:
                yield RowGroup(row.fields["id"], (row,), group=row.fields["id"].partition("_")[0])


def _figure(line: bytes, path: Path, *, where: str) -> Row | None:
    record = json_record(line.decode("utf-8-sig", errors="surrogateescape"), where=where)
    name = plain_name(f"{record.text('pdf_hash')}_{record.text('fig_uri')}", where=where)
    caption = record.optional("s2_caption") or record.optional("s2orc_caption")
    if not any(map(str.isalnum, caption)):
        return None
    return caption_row(name, [caption], path.parent / "figures" / name, where=where)


def _plan_benchmark(raw: Path, *, name: str) -> list[Work]:
    if not raw.is_dir():
        raise DataError(f"{raw}: no such folder; give the official release of {name}")
    return [Work(f"{name} training split", ())]


def _read_benchmark(work: Work, reading: Reading, *, name: str) -> Iterator[RowGroup]:
    """Yield a document per training row.

    Questions on one image, and images with one caption (of the same report), belong together.
    """
    spec = BENCHMARKS[name]
    assert spec.read is not None  # only phantoms have no reader
    options = PrepareOptions(valid_fraction=spec.valid_fraction)
    dataset = spec.read(Release(reading.raw, spec, options, reading.skipped))
    for row in dataset.splits["train"]:
        group = row.fields["caption" if spec.task == "captioning" else "image_name"]
        yield RowGroup(row.fields["id"], (row,), group=group)


def _benchmark(name: str) -> Corpus:
    spec = BENCHMARKS[name]
    return Corpus(
        name=name,
        title=f"{spec.title} (training split)",
        kind=spec.task,
        access=spec.access,
        source=spec.source,
        licence=spec.licence,
        plan=partial(_plan_benchmark, name=name),
        read=partial(_read_benchmark, name=name),
        cleaning=("the training split only; see the benchmark's card",),
    )


CORPORA = (
    Corpus(
        name="medicat",
        title="MedICaT: figures of open-access articles with their captions",
        kind="captioning",
        access="registration",
        source="https://github.com/allenai/medicat",
        licence="per figure, that of its article; the collection is for non-commercial research",
        plan=plan_medicat,
        read=read_medicat,
        cleaning=(*CAPTION_CLEANING, "figures without a caption are left out"),
    ),
    *map(_benchmark, BENCHMARK_NAMES),
)
