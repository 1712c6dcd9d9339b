"""What documents show as Python is there to be imported, and runs where it needs no files."""

import ast
import importlib

import pytest
from checkout import ROOT
from readme_blocks import block, blocks

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "datasets/*/README.md", "checkpoints/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_documents_import_is_there(document: str) -> None:
    for code in blocks("python", document=document):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def test_the_model_of_the_readme_generates(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block("python", "preset("), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("torch.Size([")
