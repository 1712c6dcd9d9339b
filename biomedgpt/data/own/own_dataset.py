"""One's own tables as a prepared dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from biomedgpt.data.own.columns import SPLITTING, resolve_columns
from biomedgpt.data.own.own_rows import AnswerIs, Classes, RowMaker
from biomedgpt.data.own.splits import ALL, ORDER, Tables, check_fractions, draw_splits, split_of
from biomedgpt.data.prepared.card import DatasetCard, DatasetFacts
from biomedgpt.data.prepared.text_vocabulary import write_vocabulary
from biomedgpt.data.prepared.writer import staged_folder, write_splits
from biomedgpt.data.raw.table_files import TableFile, open_file
from biomedgpt.data.raw.tables import UTF8, Record
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.tasks import Task, TaskFields, get_task
from biomedgpt.tasks.answer_options import LETTERS

_WAYS = (
    "say which rows are for training and which for test, in one way: a column (--columns "
    "split=COLUMN), a table for each (--table train=FILE --table test=FILE), or shares to draw "
    "(--valid-fraction F --test-fraction F)"
)


@dataclass(frozen=True, kw_only=True)
class OwnOptions:
    """Options of ``biomedgpt data import``.

    Attributes:
        name: name of the dataset.
        source: where it comes from, for the card.
        licence: licence of the data, for the card.
        images: folder of the images that the table names; None where it holds them.
        encoding: of the tables' text.
        answers: all classes of a closed task; None takes those of the training rows.
        answer_is: what names the right one of several options; None is its letter.
        valid_fraction: share of the rows to draw for validation.
        test_fraction: share of the rows to draw for test.
        seed: of these draws.
        skip_bad: leave bad rows out and list them, instead of stopping at the first.
        overwrite: replace a prepared dataset that is there.
        vocabulary: also train a text vocabulary, if there is a training split.
    """

    name: str
    source: str = "own table"
    licence: str = "not stated"
    images: Path | None = None
    encoding: str = UTF8
    answers: tuple[str, ...] | None = None
    answer_is: AnswerIs | None = None
    valid_fraction: float = 0.0
    test_fraction: float = 0.0
    seed: int = 1
    skip_bad: bool = False
    overwrite: bool = False
    vocabulary: bool = True


@dataclass(frozen=True)
class _Source:
    """A table, how its rows are made, and which of them belong to which split."""

    file: TableFile
    maker: RowMaker
    assignment: Sequence[str] | None = None
    """Split of each record; None where all are of one split."""

    def records(self, skipped: Skipped) -> Iterator[Record]:
        """Yield the records with the columns in use."""
        return self.file.records(self.maker.needed, skipped)

    def rows(self, split: str, skipped: Skipped) -> Iterator[Row]:
        """Yield the rows of one split."""
        # What cannot be read at all was noted when the rows were assigned.
        unreadable = skipped if self.assignment is None else Skipped(allowed=True)
        number = -1
        for number, record in enumerate(self.records(unreadable)):
            if self.assignment is not None and self.assignment[number] != split:
                continue
            with skipped.catching():
                yield self.maker.row(record, split)
        if number < 0 and not unreadable.reasons:
            raise DataError(f"{self.file.path}: no rows below the header")


def import_table(
    tables: Tables,
    out: Path,
    *,
    task: str,
    columns: Mapping[str, Sequence[str]],
    options: OwnOptions,
) -> DatasetCard:
    """Make a prepared dataset of one's own table, or of a table per split.

    Args:
        tables: see `biomedgpt.data.own.splits`.
        out: output folder.
        task: name of the task.
        columns: columns by field, where they have other names.
        options: everything else.

    Raises:
        ConfigError: columns, splits or options that do not fit each other, or ``out`` is taken.
        DataError: a table cannot be read, or a row is bad; names file and row.
    """
    definition = get_task(task)
    fields = definition.fields
    _check_options(task, fields, options)
    files = {split: open_file(path, encoding=options.encoding) for split, path in tables.items()}
    found = {
        split: resolve_columns(columns, file.columns, name=task, task=fields, where=str(file.path))
        for split, file in files.items()
    }
    used = {name for mapping in found.values() for name in mapping}
    _check_splits(tables, used, options)
    if "options" in used and not all("options" in mapping for mapping in found.values()):
        raise ConfigError("some tables have a column for options and some have none")
    classes = _classes(definition, used, options)
    extras = (name for name in SPLITTING if name in used and name != "split")
    row_fields = tuple(dict.fromkeys((*fields.stored, *extras)))
    sources = {
        split: _Source(
            file,
            RowMaker(
                name=task,
                task=fields,
                columns=found[split],
                fields=row_fields,
                classes=classes,
                images=options.images,
                answer_is=options.answer_is or "letter",
            ),
        )
        for split, file in files.items()
    }
    skipped = Skipped(allowed=options.skip_bad)
    preparation: dict[str, Any] = {
        "tables": {split or "all": file.describe() for split, file in files.items()},
        "columns": {
            split or "all": {name: list(names) for name, names in mapping.items()}
            for split, mapping in found.items()
        },
        "splits": "a table for each",
    }
    with staged_folder(out, overwrite=options.overwrite) as staged:
        if ALL in sources:
            sources, preparation["splits"] = _assign(sources[ALL], options, skipped)
        if fields.closed and not classes.fixed and "train" not in sources:
            raise ConfigError(
                "there are no training rows to take the classes from; name them with --answers"
            )
        answers = tuple(classes.names) if classes.fixed else None
        if "options" in used:
            answers = _letters(sources)
        card = write_splits(
            staged,
            DatasetFacts(
                name=options.name,
                task=task,
                source=options.source,
                licence=options.licence,
                fields=row_fields,
                answers=answers,
                cleaning=_cleaning(definition, used),
            ),
            {split: source.rows(split, skipped) for split, source in sources.items()},
            skipped=skipped,
            preparation=preparation,
        )
        if options.vocabulary:
            write_vocabulary(staged)
    return card


def _check_options(task: str, fields: TaskFields, options: OwnOptions) -> None:
    """Refuse options that mean nothing for this task."""
    if options.images is not None:
        if not fields.image:
            raise ConfigError(f"{task} shows no images: leave out --images")
        if not options.images.is_dir():
            raise ConfigError(f"--images {options.images}: no such folder")
    if options.answers is not None and not fields.closed:
        raise ConfigError(f"{task} has no fixed classes: leave out --answers")
    if options.answer_is is not None and not fields.has_options:
        raise ConfigError(f"{task} has no options: leave out --answer-is")
    if options.answer_is not in (None, *get_args(AnswerIs)):
        raise ConfigError(f"--answer-is must be one of {', '.join(get_args(AnswerIs))}")
    check_fractions(options.valid_fraction, options.test_fraction)


def _check_splits(tables: Tables, used: set[str], options: OwnOptions) -> None:
    """Refuse tables whose split is told in no way, or in more than one."""
    ways = {
        "a column for split": "split" in used,
        "a table for each split": ALL not in tables,
        "fractions": bool(options.valid_fraction or options.test_fraction),
    }
    given = [way for way, there in ways.items() if there]
    if not given:
        raise ConfigError(_WAYS)
    if len(given) > 1:
        unused = "; --columns split= leaves a column of that name unused" if "split" in used else ""
        raise ConfigError(f"there are {' and '.join(given)}: {_WAYS}{unused}")


def _classes(task: Task, used: set[str], options: OwnOptions) -> Classes:
    """Return the classes that are fixed from the start."""
    if "options" in used:
        if options.answers is not None:
            raise ConfigError("the letters of the options are the classes: leave out --answers")
        return Classes(fixed=True)
    if options.answer_is is not None:
        raise ConfigError(
            "--answer-is needs options: name their columns with --columns options=A,B"
        )
    if options.answers is None:
        return Classes()
    names = [task.read_answer(clean_text(answer)) for answer in options.answers]
    if len(set(names)) < max(2, len(names)) or "" in names:
        raise ConfigError(
            f"--answers {','.join(options.answers)}: give at least two classes, each once"
        )
    return Classes(dict.fromkeys(names), fixed=True)


def _assign(
    source: _Source, options: OwnOptions, skipped: Skipped
) -> tuple[dict[str, _Source], str]:
    """Return the only table once for each split, and how the splits came about."""
    maker = source.maker
    by_column = "split" in maker.columns
    names: dict[str, str] = {}  # of splits, as the table has them
    keys: list[str] = []  # split or group of each record, "" of a bad one
    name = source.file.path.name
    for record in tqdm(source.records(skipped), desc=name, unit=" rows", disable=None):
        key = ""
        with skipped.catching():
            if by_column:
                text = record.text(maker.columns["split"][0])
                key = names[text] = split_of(text, where=record.where)
            else:
                key = maker.group(record)
        keys.append(key)
    if not any(keys):
        problem = f" ({len(skipped.reasons):,} skipped; {skipped.reasons[0]})" if keys else ""
        raise DataError(f"{source.file.path}: no usable row{problem}")
    if by_column:
        listed = ", ".join(
            text if text == split else f"{text} as {split}" for text, split in names.items()
        )
        how = f"column {maker.columns['split'][0]!r} ({listed})"
        assignment = keys
    else:
        good = [key for key in keys if key]
        valid, test, seed = options.valid_fraction, options.test_fraction, options.seed
        drawn = iter(draw_splits(good, valid=valid, test=test, seed=seed, by=maker.grouping))
        assignment = [next(drawn) if key else "" for key in keys]
        how = (
            f"drawn by {maker.grouping} ({len(set(good)):,} different), seed {seed}, "
            f"valid {valid}, test {test}"
        )
    return {
        split: replace(source, assignment=assignment) for split in ORDER if split in assignment
    }, how


def _letters(sources: Mapping[str, _Source]) -> tuple[str, ...]:
    """Return the letters of as many options as any question has."""
    most = 0
    bad = Skipped(allowed=True)  # which is noted when rows are made
    for source in {source.file.path: source for source in sources.values()}.values():
        for record in source.records(bad):
            with bad.catching():
                most = max(most, len(source.maker.options(record)))
    return tuple(LETTERS[:most])


def _cleaning(task: Task, used: set[str]) -> tuple[str, ...]:
    """Say what is done to the text."""
    sentences = ["white space collapsed to one space and stripped"]
    if "options" in used:
        sentences.append("answers as the letter of the right option")
    else:
        sentences += task.cleaning
    if "answer_type" in task.fields.all and "answer_type" not in used:
        sentences.append("answer_type is CLOSED where the answer is yes or no, else OPEN")
    if "id" not in used:
        sentences.append("id is the number of the row")
    if task.fields.image:
        sentences.append("of DICOM and NIfTI images only the pixels, as shown in 8 bits, as PNG")
    return tuple(sentences)
