"""What an import brings along, seen by a fresh interpreter."""

import os
import subprocess
import sys
from pathlib import Path

from checkout import ROOT
from checkpoint_samples import small_checkpoint, write_run_file
from inference_samples import write_checkpoint


def test_everything_imports_without_fairseq() -> None:
    """All of `biomedgpt` is usable where fairseq is not installed."""
    code = """
import importlib, pkgutil, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'fairseq', 'fairseq_cli', 'fairseq_ext'}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import biomedgpt
for module in pkgutil.walk_packages(biomedgpt.__path__, 'biomedgpt.'):
    importlib.import_module(module.name)
print('ok')
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr


def test_importing_the_package_is_light() -> None:
    code = "import sys, biomedgpt; print(any(m in sys.modules for m in ('torch', 'fairseq')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_import_brings_neither_torch_nor_anything_slow():
    code = (
        "import sys, biomedgpt, biomedgpt.metrics; "
        "print([m for m in ('torch', 'sklearn', 'h5py', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_leaves_out_what_only_scores_training_or_compiling_need(tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    code = (
        f"import sys, biomedgpt; biomedgpt.load({str(folder)!r}, device='cpu'); "
        "print([m for m in ('sklearn', 'scipy', 'pandas', 'matplotlib', 'fairseq', 'gradio', "
        "'sympy', 'torch._dynamo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sizes_of_models_are_known_without_torch():
    code = (
        "import sys; from biomedgpt.model import PRESETS, preset; "
        "print(preset('base') == PRESETS['base'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True False"


def test_data_commands_start_without_torch():
    code = "import sys, biomedgpt.cli.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_listing_datasets_needs_neither_package_of_formats():
    code = "import sys, biomedgpt.data.registry as r; r.get_spec('pathmnist'); "
    code += "print([m for m in ('medmnist', 'pydicom', 'pyarrow', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_metrics_do_not_import_torch():
    code = (
        "import sys, biomedgpt.scoring.table, biomedgpt.cli.score; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_module_loads_neither_torch_nor_the_extra() -> None:
    code = (
        "import sys, biomedgpt.metrics.captioning\n"
        "assert not {'torch', 'pycocoevalcap'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_metrics_loads_neither_torch_nor_the_extra() -> None:
    code = (
        "import sys, biomedgpt.metrics.summarization, biomedgpt.metrics.classification\n"
        "assert not {'torch', 'rouge_score', 'pycocoevalcap'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_works_without_torch_and_fairseq(tmp_path):
    for name in ("torch", "fairseq", "torchvision", "torchaudio", "taming", "gradio", "matplotlib"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('blocked\\nsecond line')\n")
    done = subprocess.run(
        [sys.executable, "-m", "biomedgpt.cli.main", "doctor"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stdout.splitlines() if " torch " in line]
    assert "does not import: ImportError: blocked" in lines[0]
    assert "second line" not in done.stdout
    assert "The core cannot run yet." in done.stdout


def test_a_file_that_describes_itself_needs_no_datasets(tmp_path: Path) -> None:
    """Reading them takes as long to import as a small model to answer."""
    stored = small_checkpoint(name="a model", task="vqa", answers=("yes", "no"))
    write_run_file(stored, tmp_path / "checkpoint_best.pt")
    code = (
        "import sys; from biomedgpt.checkpoints.checkpoint import load_checkpoint; "
        "print(load_checkpoint(sys.argv[1]).info.task, 'h5py' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["vqa", "False"]
