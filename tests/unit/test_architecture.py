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


FLOORS = (
    ("errors", "optimizer", "doctor_probe"),
    ("locks",),
    (
        "files",
        "devices",
        "decoding",
        "metrics",
        "model",
        "tokenizers",
        "data.imaging",
        "data.rows",
    ),
    ("stamps", "vocabulary", "tasks", "flops"),
    ("generation", "memory", "data.prepared", "data.spec"),
    ("scoring", "loss", "plan", "data.raw", "data.phantoms"),
    ("examples", "data.own", "data.tsv", "data.cleaning"),
    ("pretraining", "data.readers"),
    ("data.registry",),
    ("checkpoints", "corpora", "report", "doctor", "data.prepare"),
    ("parity", "vqgan", "data.phantom_releases"),
    ("inference", "recipes"),
    ("serve", "suites"),
    ("cli",),
)
"""Rooms of `biomedgpt`, from the ground up; see the map in DESIGN.md."""


def room_of(module: str) -> str:
    """Return the room that a module of `biomedgpt` is in: a package, or a part of `data`."""
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[0] == "data" else 1])


def modules() -> dict[str, Path]:
    """Return the files of all modules below `biomedgpt` by their dotted names."""
    found = {}
    for path in sorted((ROOT / "biomedgpt").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name not in ("biomedgpt", "biomedgpt.data"):
            found[name] = path
    return found


def test_rooms_import_from_lower_floors_only() -> None:
    floors = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    known = modules()
    assert {room_of(name) for name in known} == floors.keys()
    for name, path in known.items():
        for other in imported(path):
            if other.startswith("biomedgpt.") and room_of(other) != room_of(name):
                assert floors[room_of(other)] < floors[room_of(name)], f"{name} imports {other}"


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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_put_in_place_by_one_module(path: Path) -> None:
    """`str.replace` has two arguments, `dataclasses.replace` and `ModelConfig.replace` keywords."""
    if path == ROOT / "biomedgpt" / "files.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = ast.unparse(node.func)
            assert name not in {"os.replace", "os.rename", "os.renames", "shutil.move"}, name
            if node.func.attr in {"replace", "rename"} and len(node.args) == 1:
                assert node.keywords, f"line {node.lineno}: {name}; see biomedgpt/files.py"


def test_the_name_of_a_class_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_datasets_folder_does_not_shadow_the_package_of_that_name() -> None:
    assert not (ROOT / "datasets" / "__init__.py").exists()
