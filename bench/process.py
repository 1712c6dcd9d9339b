"""The two sides as processes, and what is asked of them."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class SideError(Exception):
    """A side cannot do a case; the message is one line."""


class Side:
    """One process of `bench.worker`.

    Args:
        upstream: folder of the published code, or None for ours.
        threads: that compute.
        device: to compute on.
        dtype: of weights and activations.
    """

    def __init__(self, upstream: Path | None, *, threads: int, device: str, dtype: str) -> None:
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            # Threads that wait for long would slow the other side down.
            "GOMP_SPINCOUNT": "10000",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            # The plug-in's and the published code's names must not be confused with the caller's.
            "PYTHONWARNINGS": "ignore",
        }
        command = [sys.executable, "-m", "bench.worker", str(upstream or ""), device, dtype]
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def ask(self, do: str, **command: Any) -> dict[str, Any]:
        """Send a command and return the reply.

        Raises:
            SideError: it failed, or the process is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do} | command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SideError(f"the process ended: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise SideError(reply["error"])
        return reply

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1][:200] if lines else f"exit status {code}"
