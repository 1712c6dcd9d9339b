import importlib.metadata
import json

import pytest

from biomedgpt import doctor
from biomedgpt.cli.main import main
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.doctor import Check, Package, Probe, parse_probe
from biomedgpt.vocabulary import BPE_VARIABLE

PACKAGES = doctor.packages()
HEALTHY = Probe(
    problems={package.module: None for package in PACKAGES},
    device={"threads": 2, "cuda": None, "gpus": [], "mps": False},
)


@pytest.fixture
def healthy(monkeypatch):
    """Pretend that everything is installed and imports."""
    versions = {package.name: "1" for package in PACKAGES}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    monkeypatch.setattr(doctor, "_pinned_torch", lambda name: None)
    monkeypatch.setattr(doctor, "run_probe", lambda modules: HEALTHY)
    monkeypatch.setattr(doctor, "check_java", lambda: Check("optional", "Java", "ok", "one"))
    monkeypatch.delenv(BPE_VARIABLE, raising=False)


@pytest.fixture
def prepared(tmp_path):
    """Return a prepared dataset that calls itself vqa-rad."""

    def rows():
        yield Row(
            fields=dict.fromkeys(DatasetFacts.fields, "x")
            | {"references": '[{"answer": "x", "confidence": 1.0}]'},
            image=None,
        )

    facts = DatasetFacts(name="vqa-rad", task="vqa", source="here", licence="CC0")
    write_dataset(tmp_path / "data", facts, {"train": rows(), "test": rows()})
    return tmp_path / "data"


def findings(capsys, *arguments):
    """Run the command with --json; return exit status and findings by name."""
    status = main(["doctor", "--json", *map(str, arguments)])
    result = json.loads(capsys.readouterr().out)
    assert result["ready"] == (status == 0)
    return status, {check["name"]: check for check in result["checks"]}


def test_packages_are_those_of_the_project(monkeypatch):
    found = {package.name: package for package in PACKAGES}
    assert (found["numpy"].group, found["torchvision"].group) == ("core", "train")
    assert found["ve-fairseq"].remedy == found["ve-fairseq"].fix == "pip install ve-fairseq==0.12.3"
    assert found["pillow"].module == "PIL.Image"
    taming = "pip install einops taming-transformers-rom1504==0.0.6"
    assert found["taming-transformers-rom1504"].remedy == taming
    assert found["pylibjpeg-openjpeg"].remedy == "pip install pylibjpeg pylibjpeg-openjpeg"
    assert not {"ruff", "pytest", "einops", "pylibjpeg"} & found.keys()

    wanted = ["torch>=2.6", 'new[fast]>=1,<2; python_version > "3" and extra == "train"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: wanted)
    assert doctor.packages() == [Package("torch", "torch", "core"), Package("new", "new", "train")]


def test_a_checkout_that_is_not_installed_is_told(monkeypatch):
    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.requires", nothing)
    assert [package.remedy for package in doctor.packages()] == ["pip install biomedgpt"]


def test_healthy_core_is_ready(healthy, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "The core can run." in out
    assert "training runs on the CPU" in out


def test_recipe_without_data_names_the_command(healthy, capsys):
    status, found = findings(capsys, "--recipe", "vqa_rad")
    assert status == 1
    assert found["data"]["status"] == "missing"
    assert found["data"]["remedy"] == "biomedgpt data prepare vqa-rad --raw RAW_DIR --out DIR"


def test_recipe_without_vocabulary_is_not_ready(healthy, prepared, capsys):
    status, found = findings(capsys, "--recipe", "vqa_rad", "--data", prepared)
    assert status == 1
    assert found["data"]["status"] == "ok"
    assert found["vocabulary"]["status"] == "missing"


def test_recipe_with_data_and_vocabulary_is_ready(healthy, prepared, gpt2_bpe, monkeypatch, capsys):
    monkeypatch.setenv(BPE_VARIABLE, str(gpt2_bpe))
    status, found = findings(capsys, "--recipe", "vqa-rad", "--data", prepared)
    assert status == 0
    assert "59,457" in found["vocabulary"]["detail"]
    assert found["BPE vocabulary"]["status"] == "ok"


def test_data_of_another_dataset_is_told(healthy, prepared, capsys):
    status, found = findings(capsys, "--recipe", "phantoms", "--data", prepared)
    assert status == 1
    assert "is vqa-rad, the recipe is for phantoms" in found["data"]["detail"]
    assert "--raw" not in found["data"]["remedy"]


def test_folder_that_is_not_prepared_is_told(healthy, tmp_path, capsys):
    status, found = findings(capsys, "--recipe", "vqa_rad", "--data", tmp_path)
    assert status == 1
    assert "not a prepared dataset" in found["data"]["detail"]


def test_damaged_vocabulary_is_told(healthy, tmp_path, capsys):
    (tmp_path / "dict.txt").write_text("damaged")
    status, found = findings(capsys, "--vocabulary", tmp_path)
    assert status == 0  # the core does not need it
    assert found["BPE vocabulary"]["status"] == "broken"


def test_unknown_recipe_is_refused(healthy, capsys):
    assert main(["doctor", "--recipe", "vqa_rat"]) == 1
    assert "did you mean vqa_rad?" in capsys.readouterr().err


def test_missing_packages_keep_training_but_not_the_core_from_running(
    healthy, prepared, monkeypatch, capsys
):
    absent = ("ve-fairseq", "fairseq", "gradio")
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name in absent else "1")
    status, found = findings(capsys)
    assert status == 0
    assert found["ve-fairseq"]["remedy"] == "pip install ve-fairseq==0.12.3"
    assert found["gradio"]["status"] == "missing"
    status, _ = findings(capsys, "--recipe", "vqa_rad", "--data", prepared)
    assert status == 1


def test_official_fairseq_is_recognised(monkeypatch):
    monkeypatch.setattr(doctor, "installed_version", {"fairseq": "0.12.2"}.get)
    (check,) = doctor.check_combinations(HEALTHY)
    assert check.failed
    assert check.group == "train"
    assert "ve-fairseq==0.12.3" in check.remedy


def test_torchvision_for_another_torch_is_recognised(monkeypatch):
    versions = {"torch": "2.15.0+cpu", "torchvision": "0.26.0"}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    monkeypatch.setattr(doctor, "_pinned_torch", lambda name: "2.11.0")
    (check,) = doctor.check_combinations(HEALTHY)
    assert "built for torch 2.11.0, but 2.15.0+cpu" in check.detail
    monkeypatch.setattr(doctor, "_pinned_torch", lambda name: "2.15.0")
    assert doctor.check_combinations(HEALTHY) == []


def test_torchaudio_that_does_not_import_is_to_be_removed(monkeypatch):
    versions = {"torch": "2.15.0", "torchaudio": "2.11.0"}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    problem = "RuntimeError: Detected that PyTorch and TorchAudio were compiled with different CUDA"
    (check,) = doctor.check_combinations(Probe(problems={"torchaudio": problem}, device=None))
    assert check.remedy == "pip uninstall -y torchaudio"
    assert "different CUDA" in check.detail


def test_undeclared_dependency_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "installed_version", lambda name: "0.0.6")
    problem = "ModuleNotFoundError: No module named 'einops'"
    check = doctor.check_package(
        Package("taming", "taming.modules"),
        Probe(problems={"taming.modules": problem}, device=None),
    )
    assert (check.status, check.remedy) == ("broken", "pip install einops")


def test_torchvision_of_another_build_is_replaced_with_torch(monkeypatch):
    monkeypatch.setattr(doctor, "installed_version", lambda name: "0.26.0")
    problem = "RuntimeError: operator torchvision::nms does not exist"
    package = next(package for package in PACKAGES if package.name == "torchvision")
    check = doctor.check_package(package, Probe(problems={"torchvision": problem}, device=None))
    assert check.remedy == "pip install --force-reinstall torch torchvision"


def test_gpu_is_described():
    gpu = {"name": "Card", "memory": 24 * 2**30, "bf16": False}
    device = {"threads": 4, "cuda": "13.0", "gpus": [gpu], "mps": False}
    check = doctor.check_device(Probe(problems={}, device=device))[1]
    assert check == Check("machine", "GPU 0", "ok", "Card, 24 GiB, no bfloat16: use --fp16")


@pytest.mark.parametrize(("version", "status"), [((3, 11), "ok"), ((3, 13), "broken")])
def test_python_version(version, status):
    assert doctor.check_python(version).status == status


def test_missing_java_is_told(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.check_java().status == "missing"


def test_an_import_that_kills_the_interpreter_is_blamed():
    output = '{"module": "a"}\nnoise\n{"module": "a", "problem": null}\n{"module": "b"}\n'
    probe = parse_probe(output, end="ended the interpreter (exit status -11)")
    assert probe.problems == {"a": None, "b": "ended the interpreter (exit status -11)"}
    check = doctor.check_package(Package("numpy", "c", "core"), probe)
    assert "not tried" in check.detail
