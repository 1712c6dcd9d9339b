"""`biomedgpt data import`, `import-tsv` and `export-tsv`: tables in and out."""

import argparse
from pathlib import Path
from typing import Any, get_args

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import print_card
from biomedgpt.data.own import AnswerIs, OwnOptions, import_table, parse_columns, parse_tables
from biomedgpt.data.prepared.card import DatasetCard
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import staged_folder
from biomedgpt.data.raw.tables import UTF8
from biomedgpt.data.tsv import export_tsv, import_tsv
from biomedgpt.errors import ConfigError
from biomedgpt.files import tidy
from biomedgpt.tasks import TASKS


def add_import_parsers(commands: Any) -> None:
    """Add the commands."""
    _add_table_parser(commands)
    importing = commands.add_parser(
        "import-tsv",
        help="from tables of the published code",
        description="Make a prepared dataset of tables without a header, with the columns "
        "question id, image id, question, answers (confidence|!+answer joined by &&), objects, "
        "image (base64), separated by tabs.",
        epilog="example: biomedgpt data import-tsv --task vqa --split train=train.tsv "
        "--split test=test.tsv --out DIR",
    )
    what = "table of one split; repeat for each"
    option.text(importing, "--split", "NAME=FILE", what, action="append", required=True)
    option.choice(importing, "--task", ["vqa"], "task of the rows", required=True)
    _add_origin_options(importing)
    option.dataset_output(importing)
    importing.set_defaults(func=run_import_tsv)

    exporting = commands.add_parser(
        "export-tsv",
        help="to tables of the published code",
        description="Write one table per split, which `biomedgpt data import-tsv` reads back.",
    )
    option.path(exporting, "folder", "DIR", "prepared dataset")
    option.path(exporting, "--out", "DIR", "folder for <split>.tsv", required=True)
    option.flag(exporting, "--overwrite", "replace files there")
    exporting.set_defaults(func=run_export)


def _add_table_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "import",
        help="your own table, for any task",
        description="Make a prepared dataset of your own CSV, TSV, JSON Lines or Parquet table. "
        "Columns may have any names: --columns says which field each one holds; a field whose "
        "column has the same name needs no mention, and FIELD= leaves it unused. Every error "
        "names file and row, and lists the fields of the task and the columns of the table "
        "where they do not fit.",
        epilog="example: biomedgpt data import --task vqa --table list.csv --images scans "
        "--columns question=Frage answer=Antwort image=Datei --valid-fraction 0.1 "
        "--test-fraction 0.2 --out DIR",
    )
    what = "the table (.csv, .tsv, .jsonl, .parquet); or one for each split, as train=FILE"
    option.text(parser, "--table", "[SPLIT=]FILE", what, action="append", required=True)
    option.choice(parser, "--task", TASKS, "task of the rows", required=True)
    what = "columns of fields, split, patient and group among them; options=A,B,C,D for several"
    option.columns(parser, what)
    what = (
        "folder that the image column's names are relative to (default: the column holds "
        "the images themselves, in base64); pictures, DICOM or NIfTI, of which a column for "
        "frame may choose a frame or slice, from 0"
    )
    option.path(parser, "--images", "DIR", what)
    for split in ("valid", "test"):
        what = f"share of the rows to draw for {split}, by whole groups, patients or images"
        option.number(parser, f"--{split}-fraction", "F", what, default=0.0)
    option.seed(parser, "these draws")
    what = "of the text, such as cp1252 (default: utf-8)"
    parser.add_argument("--encoding", default=UTF8, help=what)
    what = "all classes, where the answer is a class (default: the training answers)"
    option.text(parser, "--answers", "A,B,C", what)
    what = "what names the right one of several options (default: letter)"
    option.choice(parser, "--answer-is", get_args(AnswerIs), what)
    _add_origin_options(parser)
    option.dataset_output(parser)
    parser.set_defaults(func=run_import)


def _add_origin_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="name of the dataset (default: name of --out)")
    parser.add_argument("--source", default="imported table", help="for the card")
    parser.add_argument("--licence", default="not stated", help="for the card")


def run_import(args: argparse.Namespace) -> None:
    """Import one's own table and print how it was read and what the dataset holds."""
    options = option.call(
        OwnOptions,
        args,
        name=args.name or args.out.resolve().name,
        answers=None if args.answers is None else tuple(args.answers.split(",")),
    )
    tables, columns = parse_tables(args.table), parse_columns(args.columns)
    card = option.call(import_table, args, tables=tables, columns=columns, options=options)
    _print_reading(card)
    print_card(card, args.out)


def _print_reading(card: DatasetCard) -> None:
    """Say what was taken for granted about the tables."""
    for split, table in card.preparation["tables"].items():
        fields = card.preparation["columns"][split].items()
        print(f"{split}: {table}")
        mapping = (f"{field} from {' + '.join(columns)}" for field, columns in fields)
        print(f"  {', '.join(mapping)}")
    print(f"splits: {card.preparation['splits']}")


def run_import_tsv(args: argparse.Namespace) -> None:
    """Import tables and print what the dataset holds."""
    files: dict[str, Path] = {}
    for item in args.split:
        split, equals, path = item.partition("=")
        if not (split and equals and path) or split in files:
            raise ConfigError(f"--split {item}: give each split once, as NAME=FILE")
        files[split] = Path(path)
    card = option.call(import_tsv, args, files=files, name=args.name or args.out.resolve().name)
    print_card(card, args.out)


def run_export(args: argparse.Namespace) -> None:
    """Write one table per split."""
    dataset = PreparedDataset(args.folder)
    paths = {name: args.out / f"{name}.tsv" for name in dataset.splits}
    taken = [str(path) for path in paths.values() if path.exists()]
    if taken and not args.overwrite:
        tidy(args.out)
        raise ConfigError(f"{', '.join(taken)} exist; add --overwrite or give another folder")
    known = {path.name for path in paths.values()}
    held = {path.name for path in args.out.iterdir()} if args.out.is_dir() else set()
    if others := sorted(held - known):
        raise ConfigError(f"{args.out} holds other files ({others[0]}); give another folder")
    marker = min(held, default="")
    with staged_folder(args.out, overwrite=args.overwrite, marker=marker) as staged:
        rows = {
            name: export_tsv(dataset.split(name), staged / path.name)
            for name, path in paths.items()
        }
    for name, path in paths.items():
        print(f"{path}: {rows[name]:,} rows")
