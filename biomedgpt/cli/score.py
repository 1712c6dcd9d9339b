"""What the scoring scripts in ``evaluation/`` share. Needs no torch."""

from collections.abc import Sequence

from biomedgpt.cli import option
from biomedgpt.cli.entry import Parser, run_command
from biomedgpt.errors import ConfigError
from biomedgpt.files import write_json
from biomedgpt.scoring.evaluation import evaluate_files, evaluate_folds
from biomedgpt.scoring.score_file import Score
from biomedgpt.scoring.table import format_report
from biomedgpt.tasks import get_group


def main(group: str, argv: Sequence[str] | None = None) -> int:
    """Score the files named on the command line; return the exit status."""
    return run_command(lambda: _run(group, argv))


def _run(group: str, argv: Sequence[str] | None) -> None:
    kind = get_group(group)
    measures = ", ".join(measure.label for measure in kind.measures)
    parser = Parser(
        description=f"Score predictions of {kind.title}: {measures}; with intervals and baselines."
    )
    what = "prediction file (JSON lines); several are the folds of one cross-validation"
    option.path(parser, "predictions", "PREDICTIONS", what, nargs="+")
    what = "predictions of the same model with the images blanked, as many"
    option.path(parser, "--blank", "BLANK", what, nargs="+", default=[])
    option.path(parser, "--data", "DIR", "prepared dataset whose ids and hash the files must match")
    option.path(parser, "--json", "FILE", "also write the score to this file")
    args = parser.parse_args(argv)
    if args.blank and len(args.blank) != len(args.predictions):
        raise ConfigError(
            f"--blank names {len(args.blank)} files for {len(args.predictions)} of predictions; "
            "give as many"
        )
    result: Score
    if len(args.predictions) == 1:
        blank = args.blank[0] if args.blank else None
        result = evaluate_files(group, args.predictions[0], blank=blank, data=args.data)
    else:
        result = evaluate_folds(group, args.predictions, blanks=args.blank, data=args.data)
    if args.json is not None:
        write_json(args.json, result.to_dict())
    print(format_report(result))
