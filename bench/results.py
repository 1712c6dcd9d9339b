"""Measured numbers: kept as JSON, shown as a table."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"
MIB = 2**20


@dataclass
class Line:
    """One case at one size. Times are medians in seconds, memory is in MiB."""

    case: str
    size: str = ""
    """Empty where it does not depend on the size."""
    seconds: float | None = None
    floor_ratio: float | None = None
    """Our time over the floor."""
    peak: float | None = None
    """Of a process that does nothing else."""
    extra: float | None = None
    """What a repeat adds to what was held before."""
    upstream_seconds: float | None = None
    speedup: float | None = None
    """Their time over ours."""
    speedup_cpu: float | None = None
    """Their processor time over ours."""
    upstream_peak: float | None = None
    upstream_extra: float | None = None
    difference: float | None = None
    """Largest difference between the two sides' results."""
    problem: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Case and size."""
        return self.case, self.size


def save(path: Path, machine: dict[str, Any], lines: Sequence[Line]) -> None:
    """Write results; lines of a file that is there and were not measured now are kept."""
    kept = {line.key: line for line in load(path)[1]} if path.exists() else {}
    kept |= {line.key: line for line in lines}
    content = {"machine": machine, "lines": [_rounded(line) for line in kept.values()]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> tuple[dict[str, Any], list[Line]]:
    """Read results."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = {field.name for field in fields(Line)}
    lines = [Line(**{k: v for k, v in line.items() if k in names}) for line in content["lines"]]
    return content["machine"], lines


def _rounded(line: Line) -> dict[str, Any]:
    values = {name: value for name, value in asdict(line).items() if value not in (None, "")}
    return {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in values.items()
    }


def describe_machine(
    *, threads: int, device: str, dtype: str, versions: dict[str, str]
) -> dict[str, Any]:
    """Return what ratios may depend on, and nothing that names the machine."""
    return {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": threads,
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "device": device,
        "dtype": dtype,
        **versions,
    }


def table(lines: Sequence[Line], last: Sequence[Line], *, upstream: bool) -> str:
    """Return the lines as a table of ratios."""
    before = {line.key: line for line in last}
    head = ["case", "size", "seconds", "x floor", "peak MiB", "+MiB"]
    head += (
        ["speed-up", "CPU", "peak ratio", "+ ratio", "difference"]
        if upstream
        else ["x floor, kept"]
    )
    rows = [head]
    for line in lines:
        row = [
            *(line.case, line.size, _number(line.seconds, 3), _number(line.floor_ratio, 2)),
            *(_number(line.peak, 0), _number(line.extra, 0)),
        ]
        if upstream:
            row += [
                _number(line.speedup, 2),
                _number(line.speedup_cpu, 2),
                _number(_ratio(line.peak, line.upstream_peak), 2),
                _number(_ratio(line.extra, line.upstream_extra), 2),
                "" if line.difference is None else f"{line.difference:.0e}",
            ]
        else:
            known = before.get(line.key)
            row.append("" if known is None else _number(known.floor_ratio, 2))
        rows.append([*row, line.problem])
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=False))
            ]
            + row[len(head) :]
        ).rstrip()
        for row in rows
    )


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
