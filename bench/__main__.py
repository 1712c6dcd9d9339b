"""Measure speed and memory, and print ratios.

    python -m bench --case encoder beam5-32 --size base
    python -m bench --upstream ../BiomedGPT --out bench/results/cpu.json

Each case runs in a process of its own code, the two sides alternating, after one repeat to warm up.
"x floor" is our time over the least that the machine could take for the same arithmetic (or, where
more, for reading what must be read), at the rates of matrix products and of reading memory that are
measured beside, in every round. Memory is the peak of a fresh process, and what one repeat added to
it. The cases named train are whole updates (loss, gradients, clipping, Adam); gradients is what
comes before clipping.

With --upstream the published code, given as a checkout, does the same with the same weights; "CPU"
compares processor time instead of waiting time, which tells more on a busy machine, and
"difference" is the largest one between the two sides' losses, scores or tokens. Without --upstream
the floor ratios kept in bench/results/ are shown beside.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.cases import CASES
from bench.process import Side, SideError
from bench.results import FOLDER, MIB, Line, describe_machine, load, save, table

SIZES = ("nano", "tiny", "medium", "base", "large", "xlarge")
DTYPES = ("float32", "bfloat16", "float16")


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs of the description."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=_Plain
    )
    parser.add_argument(
        "--case", nargs="+", choices=[*CASES], metavar="NAME", help=f"of {', '.join(CASES)}"
    )
    parser.add_argument(
        "--size", nargs="+", choices=SIZES, help="(default: tiny base; on a GPU tiny to xlarge)"
    )
    parser.add_argument(
        "--upstream", type=Path, metavar="DIR", help="checkout of the published code"
    )
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="(default: 2)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="(default: cpu)")
    parser.add_argument(
        "--dtype", choices=DTYPES, help="of ours (default: float32; on a GPU bfloat16)"
    )
    parser.add_argument(
        "--upstream-dtype", choices=DTYPES, help="(default: float32; on a GPU float16)"
    )
    parser.add_argument("--no-memory", action="store_true", help="measure speed only")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write (into) this JSON file")
    args = parser.parse_args(arguments)
    gpu = args.device == "cuda"
    args.case = args.case or [*CASES]
    args.size = args.size or [*(SIZES[1:] if gpu else ("tiny", "base"))]
    args.dtype = args.dtype or ("bfloat16" if gpu else "float32")
    args.upstream_dtype = args.upstream_dtype or ("float16" if gpu else "float32")
    if args.upstream is not None:
        args.upstream = args.upstream.resolve()
        if not (args.upstream / "models" / "ofa" / "ofa.py").is_file():
            parser.error(
                f"--upstream {args.upstream}: no models/ofa/ofa.py; give a checkout of OFA"
            )
    if args.repeats < 1 or args.threads < 1:
        parser.error("--repeats and --threads must be at least 1")
    return args


def main() -> int:
    """Measure, print, keep."""
    args = parse()
    versions = {name: version(name) for name in ("torch", "numpy", "pillow")}
    machine = describe_machine(
        threads=args.threads, device=args.device, dtype=args.dtype, versions=versions
    )
    lines: list[Line] = []
    work = [(case, size) for size in args.size for case in args.case if CASES[case].sized]
    work += [(case, "") for case in args.case if not CASES[case].sized]
    with ExitStack() as stack:
        ours = stack.enter_context(_ours(args))
        theirs = None if args.upstream is None else stack.enter_context(_theirs(args))
        for case, size in work:
            print(f"{case} {size}".rstrip(), end=" ... ", file=sys.stderr, flush=True)
            line = measure(case, size, ours, theirs, args)
            if not args.no_memory:
                measure_memory(line, args)
            lines.append(line)
            if args.out is not None:
                save(args.out, machine, lines)
            print(line.problem or "done", file=sys.stderr)
    kept = FOLDER / f"{args.device}.json"
    last = load(kept)[1] if kept.exists() else []
    print(table(lines, last, upstream=args.upstream is not None))
    return int(any(line.seconds is None for line in lines))


def _ours(args: argparse.Namespace) -> Side:
    return Side(None, threads=args.threads, device=args.device, dtype=args.dtype)


def _theirs(args: argparse.Namespace) -> Side:
    return Side(args.upstream, threads=args.threads, device=args.device, dtype=args.upstream_dtype)


def measure(
    case: str, size: str, ours: Side, theirs: Side | None, args: argparse.Namespace
) -> Line:
    """Alternate the two sides and return medians of times and of ratios."""
    line = Line(case, size)
    command = {"case": case, "size": size or args.size[0]}
    try:
        ours.ask("prepare", **command)
        first = ours.ask("run")["numbers"]
    except SideError as error:
        line.problem = str(error)
        return line
    if theirs is not None:
        try:
            if theirs.ask("prepare", **command).get("absent"):
                theirs = None
            else:
                line.difference = _difference(first, theirs.ask("run")["numbers"])
        except SideError as error:
            line.problem, theirs = f"upstream: {error}", None
    rounds = [_round(ours, theirs) for _ in range(args.repeats)]
    line.seconds = statistics.median(one["ours"] for one in rounds)
    floors = [one["ours"] / one["floor"] for one in rounds if one["floor"]]
    line.floor_ratio = statistics.median(floors) if floors else None
    if theirs is not None:
        line.upstream_seconds = statistics.median(one["theirs"] for one in rounds)
        line.speedup = statistics.median(one["theirs"] / one["ours"] for one in rounds)
        line.speedup_cpu = statistics.median(one["theirs_cpu"] / one["ours_cpu"] for one in rounds)
    return line


def _round(ours: Side, theirs: Side | None) -> dict[str, float]:
    rates, floor = ours.ask("rates"), ours.ask("floor")
    found = {"floor": _seconds(floor, rates)}
    for name, side in (("ours", ours), ("theirs", theirs)):
        if side is not None:
            reply = side.ask("run")
            found |= {name: reply["seconds"], f"{name}_cpu": reply["cpu"]}
    return found


def _seconds(floor: dict[str, Any], rates: dict[str, float]) -> float:
    if "seconds" in floor:
        return float(floor["seconds"])
    return sum(
        max(operations / rates["flops"], size / rates["bytes"])
        for operations, size in floor["parts"]
    )


def _difference(one: list[float], other: list[float]) -> float | None:
    if not one:
        return None
    if len(one) != len(other):
        return float("inf")
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def measure_memory(line: Line, args: argparse.Namespace) -> None:
    """Fill in memory, each side in a fresh process."""
    command = {"case": line.case, "size": line.size or args.size[0]}
    if line.seconds is not None:
        with _ours(args) as side:
            side.ask("prepare", **command)
            line.peak, line.extra = _mib(side.ask("memory"))
    if line.speedup is not None:
        with _theirs(args) as side:
            side.ask("prepare", **command)
            line.upstream_peak, line.upstream_extra = _mib(side.ask("memory"))


def _mib(memory: dict[str, int]) -> tuple[float, float]:
    return memory["peak"] / MIB, (memory["peak"] - memory["before"]) / MIB


if __name__ == "__main__":
    sys.exit(main())
