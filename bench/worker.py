"""A process that measures one side: commands in, one line of JSON each out.

Commands: ``{"do": "prepare", "case": ..., "size": ...}``, or ``kind``, ``options`` and ``config``
instead of a case's name; then any number of ``{"do": "run"}``, ``{"do": "floor"}``,
``{"do": "memory"}``; ``{"do": "rates"}`` at any time.
"""

import gc
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import torch

from bench.cases import CASES
from bench.ours import Floor, Ours

_SQUARE = 1024
_READ = 1 << 26  # float32 entries: 256 MiB, more than any cache


class Worker:
    """Holds one side with one case at a time.

    Args:
        upstream: folder of a checkout of the published code, or None to measure ours.
        device: to compute on.
        dtype: of weights and activations.
    """

    def __init__(self, upstream: Path | None, device: str, dtype: str) -> None:
        self.upstream = upstream
        self.device = torch.device(device)
        self.dtype = getattr(torch, dtype)
        self.side: Any = None
        self.run: Callable[[], list[float]] | None = None
        self.floor: Floor = []

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says."""
        match command["do"]:
            case "rates":
                return self._rates()
            case "prepare":
                if "case" in command:
                    case = CASES[command["case"]]
                    return self._prepare(case.kind, case.options, command["size"], {})
                kind, options = command["kind"], command["options"]
                return self._prepare(kind, options, command["size"], command["config"])
            case "run":
                assert self.run is not None
                return self._timed(self.run)
            case "floor":
                if callable(self.floor):
                    return {"seconds": self.floor()}
                return {"parts": self.floor}
            case "memory":
                return self._memory()
        raise ValueError(f"unknown command {command['do']!r}")

    def _prepare(
        self, kind: str, options: Mapping[str, Any], size: str, config: Mapping[str, Any]
    ) -> dict[str, Any]:
        if self.side is None or self.side.size != size:
            self.close()
            self.side = self._build(size, config)
        self.run = None
        gc.collect()
        if not hasattr(self.side, kind):
            return {"absent": True}
        self.run, self.floor = getattr(self.side, kind)(options)
        return {}

    def _build(self, size: str, config: Mapping[str, Any]) -> Any:
        if self.upstream is None:
            return Ours(size, self.device, self.dtype, **config)
        from bench.upstream import Upstream

        return Upstream(size, self.device, self.dtype, folder=self.upstream)

    def _timed(self, function: Callable[[], list[float]]) -> dict[str, Any]:
        self._wait()
        start, before = time.perf_counter(), _cpu_seconds()
        numbers = function()
        self._wait()
        seconds, cpu = time.perf_counter() - start, _cpu_seconds() - before
        return {"seconds": seconds, "cpu": cpu, "numbers": numbers}

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _memory(self) -> dict[str, Any]:
        """Run once, and return the process's peak and what was held before, in bytes."""
        assert self.run is not None
        if self.device.type == "cuda":
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            self.run()
            return {"before": before, "peak": torch.cuda.max_memory_allocated()}
        # Linux starts its peak anew, so that what preparing took does not count.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.run()
        return {"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}

    def _rates(self) -> dict[str, Any]:
        """Measure what matrix products and reading memory achieve here and now."""
        a = torch.randn(_SQUARE, _SQUARE, device=self.device, dtype=self.dtype)
        values = torch.ones(_READ, device=self.device)

        def multiply() -> list[float]:
            for _ in range(8):
                a @ a
            return []

        def read() -> list[float]:
            values.sum()
            return []

        multiply(), read()
        products = min(self._timed(multiply)["seconds"] for _ in range(3))
        reading = min(self._timed(read)["seconds"] for _ in range(3))
        return {"flops": 8 * 2 * _SQUARE**3 / products, "bytes": 4 * _READ / reading}

    def close(self) -> None:
        """Remove what the side wrote."""
        if self.side is not None:
            self.side.close()
            self.side = None
            gc.collect()


def _cpu_seconds() -> float:
    """Return processor seconds of this process and of children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main(upstream: str, device: str, dtype: str) -> None:
    """Answer commands until there are no more."""
    replies = _private_stdout()
    worker = Worker(Path(upstream) if upstream else None, device, dtype)
    try:
        for line in sys.stdin:
            try:
                reply = worker.answer(json.loads(line))
            except Exception as error:  # whatever published code raises is a line of the table
                traceback.print_exc()
                # The last line: what comes from a process of its own begins with its traceback.
                reason = (str(error).strip().splitlines() or [""])[-1][:200]
                reply = {"error": f"{type(error).__name__}: {reason}"}
            print(json.dumps(reply), file=replies, flush=True)
    finally:
        worker.close()


def _private_stdout() -> TextIO:
    """Keep the real standard output for replies; whatever else is printed goes to the log."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


if __name__ == "__main__":
    main(*sys.argv[1:])
