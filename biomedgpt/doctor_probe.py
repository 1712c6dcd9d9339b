"""Imports packages and looks at the device, in a process of its own.

`biomedgpt.doctor` runs this file as a program, so that a package that fails to import, or takes
the interpreter down with it, neither disturbs the caller nor the packages after it. It prints one
JSON object per line.
"""

import contextlib
import importlib
import json
import sys
from typing import Any


def import_problem(module: str) -> str | None:
    """Return why ``module`` does not import, in one line, or None when it does."""
    try:
        # Some packages greet on standard output, which is for the results.
        with contextlib.redirect_stdout(sys.stderr):
            importlib.import_module(module)
    except Exception as error:  # a broken package may raise anything
        lines = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {lines[0]}"
    return None


def device() -> dict[str, Any]:
    """Return what torch can compute on."""
    import torch

    gpus = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            gpus.append(
                {
                    "name": properties.name,
                    "memory": properties.total_memory,
                    # Ampere and later; older ones emulate bfloat16, slowly.
                    "bf16": (properties.major, properties.minor) >= (8, 0),
                }
            )
    return {
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "gpus": gpus,
        "mps": torch.backends.mps.is_available(),
    }


def main() -> None:
    """Probe the modules named on the command line, then the device."""
    problems = {}
    for module in sys.argv[1:]:
        # Announced first: the last one announced is to blame if the process dies.
        print(json.dumps({"module": module}), flush=True)
        problems[module] = import_problem(module)
        print(json.dumps({"module": module, "problem": problems[module]}), flush=True)
    if problems.get("torch", "not asked for") is None:
        print(json.dumps({"device": device()}), flush=True)


if __name__ == "__main__":
    main()
