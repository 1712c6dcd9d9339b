"""`biomedgpt predict`: one question, or many from a table or a folder."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import print_limited, print_warnings
from biomedgpt.cli.entry import resumable
from biomedgpt.data.own import AnswerIs, parse_columns
from biomedgpt.data.raw.tables import UTF8
from biomedgpt.errors import ConfigError
from biomedgpt.tasks import askable
from biomedgpt.tasks.skills import IMAGE_GENERATION

if TYPE_CHECKING:  # torch takes seconds to import, which `biomedgpt --help` should not
    from biomedgpt.inference import Predictor

_SHOWN = 20


def load_model(args: argparse.Namespace, image_tokenizer: Path | None = None) -> "Predictor":
    """Load the model that the options of `option.checkpoint` or `option.model` name."""
    import biomedgpt

    return option.call(
        biomedgpt.load, args, source=args.checkpoint, image_tokenizer=image_tokenizer
    )


def add_parser(subparsers: Any) -> None:
    """Add ``predict``."""
    parser = subparsers.add_parser(
        "predict",
        help="answer questions: one, or many from a table or folder",
        description="Ask a model. One question: --image and --text; its answer is printed. Many: "
        "--input with a table (CSV, TSV, JSON Lines, Parquet) or a folder of images, and --out; a "
        "call that was interrupted goes on when it is given again.",
        epilog='examples: biomedgpt predict --checkpoint C --task vqa --image x.png --text "is '
        'there a fracture?"; biomedgpt predict --checkpoint C --task captioning --input images/ '
        "--out captions.jsonl; biomedgpt predict --checkpoint C --task classification --image "
        "x.png --answers normal,pneumonia --json",
    )
    option.model(parser)
    tasks = list(askable())
    what = f"{', '.join(tasks)} (default: the model's)"
    option.choice(parser, "--task", tasks, what, metavar="TASK")
    option.path(parser, "--image", "FILE", "image, also DICOM or NIfTI")
    option.integer(parser, "--frame", "N", "which frame or slice of the image, from 0")
    what = "the question, text, phrase or description; of --input, the same for all"
    parser.add_argument("--text", help=what)
    what = "further fields of the task (sentence2, context, object, box=X0,Y0,X1,Y1, ...)"
    option.text(parser, "--field", "NAME=TEXT", what, action="append", default=[])
    option.text(parser, "--options", "A,B,C", "options of a question")
    option.text(parser, "--answers", "A,B,C", "candidate answers or classes (default: the model's)")
    option.flag(parser, "--json", "print answer, alternatives, box and warnings as JSON")
    many = parser.add_argument_group("many inputs")
    option.path(many, "--input", "PATH", "table, or folder of images")
    option.path(many, "--out", "FILE", "predictions (JSON lines); of one image, the image")
    option.path(many, "--images", "DIR", "folder of the images a table names")
    option.columns(many, "which column holds which field, where names differ")
    many.add_argument("--encoding", default=UTF8, help="of the table's text (default: utf-8)")
    what = "what names the right one of several options in the table (default: letter)"
    option.choice(many, "--answer-is", get_args(AnswerIs), what, default="letter")
    option.skip_bad(many)
    option.flag(many, "--overwrite", "replace --out")
    option.image_tokenizer(parser, "for image_generation")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> None:
    """Answer one question, or all of a table or folder."""
    from biomedgpt.checkpoints.description import AVERAGED

    _check(args)
    fields = _fields(args.field)
    model = load_model(args, args.image_tokenizer if args.task == IMAGE_GENERATION else None)
    for note in model.checkpoint.info.notes:
        if note != AVERAGED:  # as it should be
            print(f"note: {note}", file=sys.stderr)
    task = args.task or model.checkpoint.info.task
    if task is None:
        raise ConfigError("the checkpoint was trained for no single task; say what to do, --task")
    if task == IMAGE_GENERATION:
        _draw(model, args)
        return
    if args.text is not None:
        if not askable()[task].source:
            raise ConfigError(f"{task} reads an image only; leave --text out")
        name = askable()[task].source[0]
        if name in fields:
            raise ConfigError(f"--text and --field {name}=... are the same; give one")
        fields[name] = args.text
    answer = _answer_one if args.input is None else _answer_many
    answer(model, task, fields, args)


def _check(args: argparse.Namespace) -> None:
    """Raise a ConfigError for options that do not belong together, before anything is loaded."""
    if args.input is None:
        given = {
            "--images": args.images is not None,
            "--columns": bool(args.columns),
            "--skip-bad": args.skip_bad,
            "--overwrite": args.overwrite,
            "--out": args.out is not None and args.task != IMAGE_GENERATION,
        }
        what = "needs --input, a table or a folder"
    else:
        given = {
            "--image": args.image is not None,
            "--frame": args.frame is not None,
            "--options": args.options is not None,
            "--json": args.json,
        }
        what = "is for one question; leave it or --input out"
        if args.out is None:
            raise ConfigError("--input needs --out, the file for the predictions")
        if args.task == IMAGE_GENERATION:
            raise ConfigError(
                "image_generation draws one image; give --text and --out, not --input"
            )
        if not args.input.exists():
            raise ConfigError(f"{args.input}: no such file or folder")
    for name, present in given.items():
        if present:
            raise ConfigError(f"{name} {what}")
    if args.task == IMAGE_GENERATION and (args.text is None or args.out is None):
        raise ConfigError("image_generation needs --text and --out, the image to write (.png)")


def _fields(items: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--field {item}: give NAME=TEXT, as in context=...")
        fields[name.strip()] = text
    return fields


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _answer_one(
    model: "Predictor", task: str, fields: dict[str, str], args: argparse.Namespace
) -> None:
    known = askable()[task]
    if unknown := [name for name in fields if name not in known.all]:
        raise ConfigError(f"--field {unknown[0]}=...: {task} has the fields {', '.join(known.all)}")
    row: dict[str, Any] = dict(fields)
    if args.options is not None:
        if not known.has_options:
            raise ConfigError(f"{task} has no options; give --answers to choose from")
        row["options"] = _names(args.options)
    if args.image is not None:
        row |= {"image": args.image, "frame": args.frame}
    query = model.query_builder.query(task, row, answers=_names(args.answers))
    (result,) = model.engine.run([query])
    if args.json:
        print(json.dumps(result.to_dict(), ensure_ascii=False))
    elif result.probability is None:
        print(result.text)
    else:
        kind = "calibrated probability" if result.calibrated else "probability"
        print(f"{result.text} ({kind} {result.probability:.3f})")
    print_warnings(result.warnings)


def _answer_many(
    model: "Predictor", task: str, fields: dict[str, str], args: argparse.Namespace
) -> None:
    from biomedgpt.inference.prediction_file import answer_file
    from biomedgpt.inference.question_table import open_inputs

    columns = parse_columns(args.columns)
    inputs = option.call(
        open_inputs, args, path=args.input, task=task, shared=fields, columns=columns
    )
    if inputs.left_out:
        print(f"{inputs.left_out:,} other files in {args.input} are no images", file=sys.stderr)
    answers = _names(args.answers)
    with resumable():
        summary = option.call(answer_file, args, predictor=model, inputs=inputs, answers=answers)
    before = f", {summary.before:,} of them by an earlier call" if summary.before else ""
    print(f"{args.out}: {summary.written:,} predictions{before}")
    if summary.odd:
        print_warnings([f"{summary.odd:,} of them have warnings; see the key"])
    print_limited("skipped", summary.skipped, most=_SHOWN, file=sys.stderr)


def _draw(model: "Predictor", args: argparse.Namespace) -> None:
    from biomedgpt.files import atomic_path

    result = model.generate_image(args.text)
    assert not isinstance(result, list)
    assert result.image is not None
    with atomic_path(args.out) as temporary:
        result.image.save(temporary, "PNG")
    print(args.out)
    print_warnings(result.warnings)
