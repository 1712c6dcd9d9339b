"""What the README's first screen, and other documents, tell people to type."""

import os
import re
import subprocess
import sys
from pathlib import Path

from checkout import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str, *, document: str) -> list[str]:
    """Return all code blocks of a language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [code for kind, code in _BLOCK.findall(text) if kind == language]


def block(language: str, holding: str, *, document: str = "README.md") -> str:
    """Return the first code block of a language that holds a text."""
    return next(code for code in blocks(language, document=document) if holding in code)


def ask(folder: Path) -> tuple[str, str]:
    """Run the question in Python and by shell where ``demo/`` is; return what they print."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    by_python, by_shell = (
        subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        for command in (
            [sys.executable, "-c", block("python", "biomedgpt.load(")],
            ["bash", "-euc", block("bash", "biomedgpt predict")],
        )
    )
    assert by_python.returncode == 0, by_python.stderr
    assert by_shell.returncode == 0, by_shell.stderr
    return by_python.stdout, by_shell.stdout
