"""How time and memory grow with lengths, images, beams, candidates and rows.

    python -m bench.curves
    python -m bench.curves --curve beams candidates --size base --out curves.json --plot curves.png

Every curve has an order that it may grow with at most (1: in proportion, 2: with the square), known
from how the work is made up. The order that was measured is the slope of the last two points on
logarithmic axes: at the first ones, what does not grow is most of the cost. Time is the median of
repeats, memory what a fresh process needs in addition for one repeat. The exit status is 1 where an
order is exceeded by more than the noise of such a measurement.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.process import Side, SideError
from bench.results import MIB, describe_machine

SLACK = 0.3
"""Of an order. Two points that are a factor of two apart, each 10 % off, give 0.3 too much."""
LEAST_MIB = 8.0
"""Memory below it is noise of the allocator."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One thing that grows.

    Attributes:
        name: on the command line.
        kind: method of `bench.ours.Ours` that prepares it.
        axis: option that grows.
        values: it takes.
        options: that stay.
        config: fields of the model's configuration that are not those of the size.
        time: greatest order of the time.
        memory: greatest order of the memory.
        why: it may be this order.
    """

    name: str
    kind: str
    axis: str
    values: tuple[int, ...]
    options: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    time: float
    memory: float
    why: str


_LENGTHS = (64, 128, 256, 512, 1024)
CURVES = {
    curve.name: curve
    for curve in (
        Curve(
            name="source",
            kind="encoder",
            axis="source",
            values=_LENGTHS,
            options={"batch": 1, "image": 224},
            config={"max_positions": 1026},
            time=2,
            memory=2,
            why="linear maps grow with the length, attention and its biases with the square",
        ),
        Curve(
            name="target",
            kind="train",
            axis="target",
            values=_LENGTHS,
            options={"batch": 1, "image": 224, "source": 32, "update": 0},
            config={"max_positions": 1026},
            time=2,
            memory=2,
            why="logits and linear maps grow with the length, self-attention with the square",
        ),
        Curve(
            name="image",
            kind="encoder",
            axis="image",
            values=(224, 320, 448, 576, 768),
            options={"batch": 1, "source": 32},
            config={"image_bucket_size": 48},
            time=4,
            memory=4,
            why="patches grow with the square of the side, attention with the square of these",
        ),
        Curve(
            name="beams",
            kind="generate",
            axis="beam",
            values=(1, 2, 4, 8, 16),
            options={"batch": 1, "image": 224, "source": 32, "length": 32},
            time=1,
            memory=1,
            why="a row of the decoder for each beam; the encoder is run once",
        ),
        Curve(
            name="candidates",
            kind="all_candidates",
            axis="candidates",
            values=(10, 100, 1000, 10000),
            options={"batch": 1, "image": 224, "source": 16},
            time=1,
            memory=1,
            why="a position for each node of the trie; chunks bound what is held at once",
        ),
        Curve(
            name="open",
            kind="open_rows",
            axis="rows",
            values=(1000, 10_000, 100_000, 1_000_000, 10_000_000),
            options={},
            time=1,
            memory=1,
            why="offsets are looked through once, in blocks of the mapped file",
        ),
        Curve(
            name="index",
            kind="index_rows",
            axis="rows",
            values=(1000, 10_000, 100_000),
            options={},
            time=1,
            memory=1,
            why="each row is encoded once to learn its length; two numbers are kept of it",
        ),
    )
}


@dataclass(kw_only=True)
class Point:
    """What one value cost."""

    value: int
    seconds: float
    mib: float


def measure(curve: Curve, size: str, *, repeats: int, threads: int) -> list[Point]:
    """Return the points of a curve; each value has a process of its own.

    Raises:
        SideError: a value could not be measured.
    """
    points = []
    for value in curve.values:
        print(f"{curve.name} {value}", end=" ... ", file=sys.stderr, flush=True)
        with Side(None, threads=threads, device="cpu", dtype="float32") as side:
            side.ask(
                "prepare",
                kind=curve.kind,
                options={**curve.options, curve.axis: value},
                size=size,
                config=dict(curve.config),
            )
            memory = side.ask("memory")
            seconds = statistics.median(side.ask("run")["seconds"] for _ in range(repeats))
        mib = (memory["peak"] - memory["before"]) / MIB
        points.append(Point(value=value, seconds=seconds, mib=mib))
        print(f"{seconds:.3f} s, {mib:.0f} MiB", file=sys.stderr)
    return points


def order(points: Sequence[Point], what: str, *, least: float = 0.0) -> float:
    """Return the order that the last two points grow with."""
    before, last = points[-2:]
    one, other = (max(getattr(point, what), least) for point in (before, last))
    return math.log(other / one) / math.log(last.value / before.value)


def verdict(curve: Curve, points: Sequence[Point]) -> dict[str, Any]:
    """Return what was measured beside what was expected."""
    time, memory = order(points, "seconds"), order(points, "mib", least=LEAST_MIB)
    return {
        "points": [asdict(point) for point in points],
        "time": {"order": round(time, 2), "at_most": curve.time},
        "memory": {"order": round(memory, 2), "at_most": curve.memory},
        "met": time <= curve.time + SLACK and memory <= curve.memory + SLACK,
        "why": curve.why,
    }


def draw(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw all curves on logarithmic axes, the permitted order dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import EngFormatter, NullLocator

    columns = min(4, len(found))
    rows = 2 * math.ceil(len(found) / columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(3.2 * columns, 2.6 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_visible(False)
    for number, (name, result) in enumerate(found.items()):
        row, column = 2 * (number // columns), number % columns
        values = [point["value"] for point in result["points"]]
        for below, (key, what, unit) in enumerate(
            (("seconds", "time", "s"), ("mib", "memory", "MiB"))
        ):
            axis = axes[row + below][column]
            axis.set_visible(True)
            least = LEAST_MIB if key == "mib" else 0.0
            heights = [max(point[key], least) for point in result["points"]]
            most = result[what]["at_most"]
            allowed = [heights[-1] * (value / values[-1]) ** most for value in values]
            axis.loglog(values, heights, "o-", label=f"order {result[what]['order']:.2f}")
            axis.loglog(values, allowed, "--", color="grey", label=f"order {most:g}")
            axis.set_title(f"{name}: {what} ({unit})", fontsize=10)
            axis.set_ylim(bottom=min(heights) / 2)
            axis.set_xticks(values)
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.legend(fontsize=8)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the curves as text."""
    lines = []
    for name, result in found.items():
        said = "as expected" if result["met"] else "MORE THAN EXPECTED"
        time, memory = result["time"], result["memory"]
        lines.append(
            f"{name}: time of order {time['order']:.2f} (at most {time['at_most']:g}), memory "
            f"{memory['order']:.2f} (at most {memory['at_most']:g}): {said}; {result['why']}"
        )
        lines += [
            f"  {point['value']:>10,}  {point['seconds']:>9.4f} s  {point['mib']:>7.0f} MiB"
            for point in result["points"]
        ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, keep, draw."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.curves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--curve", nargs="+", choices=[*CURVES], metavar="NAME", help=f"of {', '.join(CURVES)}"
    )
    parser.add_argument("--size", default="tiny", help="of the model (default: tiny)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="(default: 2)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write this JSON file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw this picture")
    args = parser.parse_args(arguments)
    found: dict[str, dict[str, Any]] = {}
    failed = False
    for name in args.curve or CURVES:
        curve = CURVES[name]
        try:
            points = measure(curve, args.size, repeats=args.repeats, threads=args.threads)
        except SideError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failed = True
            continue
        found[name] = verdict(curve, points)
    print(table(found))
    if args.out is not None:
        machine = describe_machine(
            threads=args.threads, device="cpu", dtype="float32", versions={"size": args.size}
        )
        content = json.dumps({"machine": machine, "curves": found}, indent=1)
        args.out.write_text(content + "\n", encoding="utf-8")
    if args.plot is not None and found:
        draw(found, args.plot)
    return int(failed or not all(result["met"] for result in found.values()))


if __name__ == "__main__":
    sys.exit(main())
