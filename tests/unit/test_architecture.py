"""Rules of DESIGN.md that code could break without any other test noticing."""

import ast
import re
from pathlib import Path

import pytest
from checkout import ROOT

SOURCES = [
    path
    for folder in ("biomedgpt", "fairseq_ext", "evaluation", "run_scripts")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def imported(path: Path) -> set[str]:
    """Return the dotted names of all modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("biomedgpt", ("fairseq", "fairseq_ext", "fairseq_cli")),
        ("biomedgpt/metrics", ("torch",)),
        ("biomedgpt/tasks", ("torch",)),
        ("biomedgpt/scoring", ("torch",)),
        ("evaluation", ("torch", "fairseq", "fairseq_ext")),
    ],
)
def test_import_direction(folder: str, forbidden: tuple[str, ...]) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            assert name.split(".")[0] not in forbidden, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_from_outside_is_executed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"eval", "exec", "os.system"}, f"line {node.lineno}: {name}"
            assert not re.fullmatch(r"(c?[pP]ickle|dill)\.loads?", name), f"line {node.lineno}"
            for keyword in node.keywords:
                value = ast.unparse(keyword.value)
                assert (keyword.arg, value) not in {
                    ("weights_only", "False"),
                    ("allow_pickle", "True"),
                    ("shell", "True"),
                }, f"line {node.lineno}: {keyword.arg}={value}"


def test_datasets_folder_does_not_shadow_the_package_of_that_name() -> None:
    assert not (ROOT / "datasets" / "__init__.py").exists()
