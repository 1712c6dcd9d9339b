"""From the raw files of a corpus to a prepared dataset: shards in parallel, then one merge."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

from tqdm import tqdm

from biomedgpt.corpora import merge, shards
from biomedgpt.corpora.parallel import run_on_workers
from biomedgpt.corpora.reader import MAX_WORDS, Corpus, check_links
from biomedgpt.corpora.registry import get_corpus
from biomedgpt.corpora.shards import ShardReport, ShardTask
from biomedgpt.data.prepared.card import CARD_FILE, DatasetCard, DatasetFacts
from biomedgpt.data.prepared.writer import staged_folder, write_splits
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import file_hash, remove, sole, write_text

_MERGED = "merged"
"""File with the hash of the card, once only the shards are left to be removed."""


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """Options of ``biomedgpt corpus prepare``.

    Attributes:
        workers: Dask processes on this machine; 0 reads in this process, without Dask.
        scheduler: address of a running Dask scheduler, whose workers are taken instead.
        skip_bad: leave out what cannot be used, instead of stopping at the first.
        limit: take only so many rows, in the order of the release; 0 for all.
        valid_fraction: share of the documents (patients, articles) held out as ``valid``.
        seed: of that choice.
        max_words: words of one passage, where texts are cut; None takes the default.
        overwrite: replace a prepared dataset that is there.
        keep_shards: do not remove the shards afterwards, so that a later run with more files
            (PubMed's daily updates) reads only those.
    """

    workers: int = 2
    scheduler: str | None = None
    skip_bad: bool = False
    limit: int = 0
    valid_fraction: float = 0.0
    seed: int = 1
    max_words: int | None = None
    overwrite: bool = False
    keep_shards: bool = False


@dataclass(frozen=True)
class CorpusReport:
    """What a run did.

    Attributes:
        card: of the dataset.
        shards: pieces of work.
        reused: those finished by an earlier run.
        seconds: of reading, of which only what this run read counts, and of merging.
        rows_read: rows that this run read, for the rate.
        worker_memory: largest resident size of a process that read, in bytes.
        memory: of this process.
        lost_workers: workers that died on the way.
    """

    card: DatasetCard
    shards: int
    reused: int
    rows_read: int
    seconds: tuple[float, float]
    worker_memory: int
    memory: int
    lost_workers: int


def shards_folder(out: Path) -> Path:
    """Return where the shards are kept until the dataset is whole, beside it."""
    out = out.resolve()
    return out.with_name(f"{out.name}.shards")


def prepare_corpus(name: str, *, raw: Path, out: Path, options: CorpusOptions) -> CorpusReport:
    """Prepare a corpus; ``out`` appears only when everything is in it.

    What is finished when a run ends early, for whatever reason, is taken by the next one.

    Raises:
        ConfigError: unknown corpus, options that make no sense, or ``out`` is taken.
        DataError: the raw files are missing, of another corpus, or bad.
    """
    corpus = get_corpus(name)
    max_words = _check_options(corpus, options)
    if raw.is_dir():
        check_links(raw)
    work = corpus.plan(raw)
    with (
        _kept_shards(out, keep=options.keep_shards) as folder,
        staged_folder(out, overwrite=options.overwrite) as staged,
    ):
        tasks = [
            ShardTask(
                name,
                piece,
                raw,
                folder,
                max_words,
                skip_bad=options.skip_bad,
                most_rows=options.limit,
            )
            for piece in work
        ]
        began = time.monotonic()
        reports, reused = _write_shards(tasks, options)
        tasks = tasks[: len(reports)]
        read = time.monotonic()
        selection = merge.select(
            tasks,
            reports,
            folder=folder,
            limit=options.limit,
            valid_fraction=options.valid_fraction,
            seed=options.seed,
        )
        card = _write_dataset(corpus, staged, tasks, reports, selection, options)
        merged = time.monotonic()
        if not options.keep_shards:
            write_text(folder / _MERGED, file_hash(staged / CARD_FILE))
    fresh = [report for number, report in enumerate(reports) if number not in reused]
    return CorpusReport(
        card=card,
        shards=len(tasks),
        reused=len(reused),
        rows_read=sum(report.rows for report in fresh),
        seconds=(read - began, merged - read),
        worker_memory=max((report.peak_memory for report in fresh), default=0),
        memory=shards.peak_memory(),
        lost_workers=sum(report.attempts - 1 for report in fresh),
    )


def _check_options(corpus: Corpus, options: CorpusOptions) -> int:
    """Refuse options that make no sense; return the words of a passage."""
    if options.workers < 0 or options.limit < 0:
        raise ConfigError("--workers and --limit must not be negative")
    if not 0.0 <= options.valid_fraction < 1.0:
        raise ConfigError(
            f"--valid-fraction must be at least 0 and below 1, not {options.valid_fraction}"
        )
    if options.max_words is None:
        return MAX_WORDS
    if not corpus.passages:
        raise ConfigError(f"{corpus.name} is not cut into passages: leave out --max-words")
    if options.max_words < 1:
        raise ConfigError(f"--max-words must be at least 1, not {options.max_words}")
    return options.max_words


@contextmanager
def _kept_shards(out: Path, *, keep: bool) -> Iterator[Path]:
    """Make the shards' folder, for one run at a time, and remove it when ``out`` is whole."""
    folder = shards_folder(out)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}; give another --out") from error
    with sole(folder, remedy="wait for its end, or give another --out"):
        _tidy(folder, out)
        try:
            folder.mkdir(exist_ok=True)
            yield folder
            if not keep:
                remove(folder)
        finally:
            if next(folder.glob("*.json"), None) is None:  # nothing that another run could take
                remove(folder)


def _tidy(folder: Path, out: Path) -> None:
    """Remove what a killed run has left among shards, and them if they are in ``out`` already."""
    merged, card = folder / _MERGED, out / CARD_FILE
    if merged.is_file():
        if card.is_file() and merged.read_text(encoding="utf-8") == file_hash(card):
            remove(folder)
        merged.unlink(missing_ok=True)
    for pattern in ("*.tmp", "*.attempts"):  # of workers, too, that outlived their run
        for path in folder.glob(pattern):
            remove(path)


def _write_shards(
    tasks: list[ShardTask], options: CorpusOptions
) -> tuple[list[ShardReport], set[int]]:
    """Write what is not finished; return reports in order, and which were finished before.

    With a limit, shards behind those that hold enough rows are not read.
    """
    reports: dict[int, ShardReport] = {}
    todo = []
    with tqdm(total=len(tasks), desc="reading", unit=" files", disable=None) as bar:
        for number, task in enumerate(tasks):
            report = shards.finished(task)
            if report is None:
                todo.append(number)
            else:
                reports[number] = report
                bar.update()
        reused = set(reports)
        rows = sum(report.rows for report in reports.values())
        results = _run([tasks[number] for number in todo], options) if todo else iter(())
        for position, report in results:
            reports[todo[position]] = report
            rows += report.rows
            bar.set_postfix_str(f"{rows:,} rows")
            bar.update()
            if options.limit and sum(one.rows for one in _whole(reports)) >= options.limit:
                break
    return _whole(reports), reused


def _run(tasks: list[ShardTask], options: CorpusOptions) -> Iterable[tuple[int, ShardReport]]:
    if options.scheduler is None and options.workers == 0:
        return ((number, shards.write_shard(task)) for number, task in enumerate(tasks))
    return run_on_workers(tasks, workers=options.workers, scheduler=options.scheduler)


def _whole(reports: dict[int, ShardReport]) -> list[ShardReport]:
    """Return the reports of the shards up to the first that is not finished."""
    return [reports[number] for number in takewhile(reports.__contains__, count())]


def _write_dataset(
    corpus: Corpus,
    staged: Path,
    tasks: list[ShardTask],
    reports: list[ShardReport],
    selection: merge.Selection,
    options: CorpusOptions,
) -> DatasetCard:
    """Merge the shards into split files and describe them."""
    names = {"train": merge.TRAIN}
    if options.valid_fraction:
        names["valid"] = merge.VALID
    counts = sum((Counter(report.counts) for report in reports), Counter[str]())
    skipped = sum(report.skipped for report in reports)
    for name, number in names.items():
        if not (selection.keep == number).any():
            hint = f" ({skipped:,} bad rows were skipped)" if skipped else ""
            more = "; change --valid-fraction" if len(names) > 1 else ""
            raise DataError(f"{corpus.name}: no row for the split {name}{hint}{more}")
    facts = DatasetFacts(
        name=corpus.name,
        task=corpus.kind,
        source=corpus.source,
        licence=corpus.licence,
        fields=corpus.fields,
        cleaning=(*corpus.cleaning, "of several rows with the same content the first is kept"),
    )
    card = write_splits(
        staged,
        facts,
        {name: selection.rows(tasks, number) for name, number in names.items()},
        preparation={
            "valid_fraction": options.valid_fraction,
            "seed": options.seed,
            "limit": options.limit,
            **({"max_words": tasks[0].max_words} if corpus.passages else {}),
            "shards": len(tasks),
            "documents": sum(report.documents for report in reports),
            "rows_read": sum(report.rows for report in reports),
            "replaced": selection.replaced,
            "duplicates": selection.duplicates,
            "behind_limit": selection.cut,
            "left_out": dict(sorted(counts.items())),
        },
        checked=True,
    )
    reasons = [reason for report in reports for reason in report.reasons]
    card.preparation |= {
        "skip_bad": options.skip_bad,
        "skipped": skipped,
        "skipped_rows": reasons[: 10 * shards.MOST_REASONS],
    }
    card.save(staged)
    return card
