"""`biomedgpt evaluate`: a model on benchmarks it was not trained for."""

import argparse
from typing import Any

from biomedgpt.cli import option
from biomedgpt.cli.data_shared import print_warnings, table
from biomedgpt.cli.entry import resumable
from biomedgpt.cli.predict import load_model
from biomedgpt.errors import ConfigError
from biomedgpt.files import write_json

SUITES = ("zero-shot", "probe")
PROBES = ("blank", "noise", "shuffled", "paraphrase", "options")
"""The names of `biomedgpt.suites.probe.PROBES`."""
MOST_SKIPPED = 20


def add_parser(subparsers: Any) -> None:
    """Add ``evaluate``."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model on benchmarks without training on them, or probe it",
        description="Ask a model the questions of prepared benchmarks. Suite zero-shot: in free "
        "text, without their training data or answer lists; accuracy and alignment (is the answer "
        "of the kind that was asked for?), by modality, organ and kind of question. Suite probe: "
        "does it look at the image (blank, noise, other images), are both questions of a pair "
        "right, does it answer the same when asked in other words? A model that was trained to "
        "choose among answers is probed with these. A call that was interrupted goes on when it "
        "is given again.",
        epilog="example: biomedgpt evaluate --checkpoint C --suite zero-shot --data prepared/slake "
        "prepared/probmed --out results",
    )
    option.model(parser)
    option.choice(parser, "--suite", SUITES, "what is done", required=True)
    what = "prepared benchmarks, such as those of `biomedgpt data list --kind evaluation`"
    option.path(parser, "--data", "DIR", what, nargs="+", required=True)
    option.path(parser, "--out", "DIR", "folder of results", required=True)
    parser.add_argument("--split", default="test", help="whose questions are asked (default: test)")
    option.integer(parser, "--limit", "N", "most questions per benchmark, drawn at random")
    what = f"some of {', '.join(PROBES)} (default: all)"
    option.choice(parser, "--probes", PROBES, what, nargs="+", metavar="PROBE")
    option.seed(parser, "--limit, noise and shuffling", default=0)
    option.skip_bad(parser)
    option.flag(parser, "--overwrite", "begin anew in --out")
    parser.set_defaults(func=run)


@resumable()
def run(args: argparse.Namespace) -> None:
    """Evaluate, write JSON and a page, print tables."""
    # Imported here: torch takes seconds to import, which `biomedgpt --help` should not.
    from biomedgpt.data.rows import Skipped
    from biomedgpt.suites import probe, suite_report, zero_shot
    from biomedgpt.suites.answering import FreeAnswerer, UsualAnswerer, chooses
    from biomedgpt.suites.questions import Benchmark

    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit must be at least 1, got {args.limit}")
    if args.probes and args.suite != "probe":
        raise ConfigError("--probes is for --suite probe; leave it out")
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"cannot write {args.out}: it is a file; give the name of a folder")
    benchmarks = [option.call(Benchmark.open, args, folder=folder) for folder in args.data]
    zero_shot.check_names(benchmarks)
    facts = {} if args.limit is None else {"limit": args.limit, "limit_seed": args.seed}
    skipped = Skipped(allowed=args.skip_bad)
    model = load_model(args)
    ask = {"facts": facts, "skipped": skipped, "overwrite": args.overwrite}
    if args.suite == "zero-shot":
        scored = zero_shot.run_zero_shot(FreeAnswerer(model), benchmarks, args.out, **ask)
        result, shown = zero_shot.to_dict(scored), zero_shot.tables(scored)
        notes = [
            f"{one.name}: the checkpoint was trained to choose among its answers; what it says "
            "when asked freely may be anything"
            for one in benchmarks
            if chooses(model.checkpoint.info, one.task.name)
        ]
        report = suite_report.write_zero_shot(args.out, scored)
        path = args.out / zero_shot.RESULT
    else:
        ask |= {"probes": args.probes or PROBES, "seed": args.seed}
        probed = probe.run_probe(UsualAnswerer(model), benchmarks, args.out, **ask)
        result, shown = probe.to_dict(probed), probe.tables(probed)
        notes = [
            f"{one.benchmark.name}: {text}" for one in probed for text in (one.verdict, *one.notes)
        ]
        report = suite_report.write_probe(args.out, probed)
        path = args.out / probe.RESULT
    write_json(path, result | {"skipped": skipped.reasons}, allow_nan=False)
    for title, columns, rows in shown:
        print(f"\n{title}")
        print(table(columns, rows))
    for note in notes:
        print(note)
    print_warnings(f"left out: {reason}" for reason in skipped.reasons[:MOST_SKIPPED])
    if len(skipped.reasons) > MOST_SKIPPED:
        print_warnings([f"{len(skipped.reasons)} left out, see {path}"])
    print(f"\n{path}\n{report}")
