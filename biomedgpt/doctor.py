"""What is installed, what it runs on, and what a recipe still lacks.

Nothing here needs torch or fairseq: their absence is one of the findings.
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.text_vocabulary import VOCABULARY_FOLDER
from biomedgpt.data.registry import DATASETS
from biomedgpt.errors import BiomedGPTError, ConfigError, DataError, did_you_mean
from biomedgpt.tasks import TASKS, Task, get_task
from biomedgpt.tasks.registry import VARIABLE as OWN_TASKS
from biomedgpt.vocabulary import BPE_VARIABLE, Vocabulary

OWN_DATA = "own-"
"""How recipes for one's own data begin; the kind of task follows."""
LOW_DISK = 10e9  # bytes: the environment alone takes half of it
PROBE_SECONDS = 120

Group = Literal["core", "train", "machine", "optional", "recipe"]
Status = Literal["ok", "note", "missing", "broken"]


@dataclass(frozen=True)
class Check:
    """One finding; ``remedy`` is the command that supplies what is missing or fixes it."""

    group: Group
    name: str
    status: Status
    detail: str
    remedy: str = ""

    @property
    def failed(self) -> bool:
        """Whether this keeps something from running."""
        return self.status in ("missing", "broken")


@dataclass(frozen=True)
class Package:
    """A distribution, the module that shows whether it works, and how to get it."""

    name: str
    module: str
    group: Group = "optional"
    purpose: str = ""
    pin: str = ""
    """``==VERSION`` where only that one will do."""

    @property
    def remedy(self) -> str:
        """Command that installs it."""
        base = f"{_BASES[self.name]} " if self.name in _BASES else ""
        return f"pip install {base}{self.name}{self.pin}"

    @property
    def fix(self) -> str:
        """Command that replaces an installation that does not import."""
        if self.pin or self.name in _BASES:
            return self.remedy
        partner = f"{_PARTNERS[self.name]} " if self.name in _PARTNERS else ""
        return f"pip install --force-reinstall {partner}{self.name}"


_MODULES = {
    "pillow": "PIL.Image",
    "scikit-learn": "sklearn",
    "ve-fairseq": "fairseq",
    "rouge-score": "rouge_score.rouge_scorer",
    "pycocoevalcap": "pycocoevalcap.cider.cider",
    "taming-transformers-rom1504": "taming.modules.vqvae.quantize",
    "pyarrow": "pyarrow.parquet",
    "pylibjpeg-openjpeg": "openjpeg",
}
"""What to import, where that is not the distribution's name."""
_PURPOSES = {
    "scikit-learn": "weighted F1 of VQA",
    "matplotlib": "plots of reports",
    "rouge-score": "summarization scores",
    "pycocoevalcap": "caption scores",
    "taming-transformers-rom1504": "image codes",
    "medmnist": "MedMNIST",
    "pyarrow": "Parquet tables",
    "openpyxl": "Excel tables",
    "distributed": "corpora on many workers",
    "pydicom": "DICOM images",
    "pylibjpeg-openjpeg": "DICOM in JPEG 2000",
    "nibabel": "NIfTI volumes",
    "gradio": "demo page",
}
"""Of packages that a feature needs; those without are not looked at."""
_BASES = {"taming-transformers-rom1504": "einops", "pylibjpeg-openjpeg": "pylibjpeg"}
"""What a package needs and does not ask for."""
_PARTNERS = {"torchvision": "torch"}
"""What must come from the same build."""
_PLUGINS = {"pylibjpeg[openjpeg]": "pylibjpeg-openjpeg"}
"""Distributions that an extra of another one stands for."""
_REQUIREMENT = re.compile(r"""([\w.-]+(?:\[\w+\])?)([^;]*)(?:;.*\bextra == ["'](\w+)["'])?""")
# ve-fairseq installs it, nothing here needs it, but libraries that look for it fail with it.
TORCHAUDIO = Package("torchaudio", "torchaudio", purpose="speech tasks of fairseq, not ours")


def packages() -> list[Package]:
    """Return what biomedgpt requires, as its installation says: core, training, and features."""
    try:
        requirements = importlib.metadata.requires("biomedgpt") or []
    except importlib.metadata.PackageNotFoundError:
        return [Package("biomedgpt", "biomedgpt", "core")]
    found = []
    for text in requirements:
        name, version, extra = _REQUIREMENT.match(text).groups()  # type: ignore[union-attr]
        name = _PLUGINS.get(name, name.partition("[")[0])
        group: Group = "core" if extra is None else "train" if extra == "train" else "optional"
        if group != "optional" or name in _PURPOSES:
            pin = version if version.startswith("==") else ""
            found.append(
                Package(name, _MODULES.get(name, name), group, _PURPOSES.get(name, ""), pin)
            )
    return found


@dataclass(frozen=True)
class Probe:
    """What importing showed: a problem (or None) per module, and the device if torch works."""

    problems: Mapping[str, str | None]
    device: Mapping[str, Any] | None


def diagnose(
    *, recipe: str | None = None, data: Path | None = None, vocabulary: Path | None = None
) -> list[Check]:
    """Return all findings.

    Args:
        recipe: dataset whose recipe is to run, as in ``vqa_rad``; ``own_vqa`` and so on for data
            of one's own.
        data: its prepared dataset.
        vocabulary: folder of a vocabulary; ``$BIOMEDGPT_BPE_DIR`` by default.

    Raises:
        ConfigError: no such recipe.
    """
    name = None if recipe is None else recipe_name(recipe)
    wanted = packages()
    installed = [p for p in (*wanted, TORCHAUDIO) if installed_version(p.name) is not None]
    probe = run_probe([package.module for package in installed])
    checks = [check_python(sys.version_info[:2])]
    checks += [check_package(package, probe) for package in wanted]
    checks += check_combinations(probe)
    checks += check_device(probe)
    checks += check_own_tasks()
    checks += [check_java(), check_disk(Path.cwd())]
    if vocabulary is None and os.environ.get(BPE_VARIABLE):
        vocabulary = Path(os.environ[BPE_VARIABLE])
    checks.append(check_vocabulary(vocabulary))
    if name is not None:
        checks += check_recipe(name, data=data, vocabulary=vocabulary)
    return checks


def is_ready(checks: Sequence[Check], *, recipe: bool) -> bool:
    """Say whether the core (and with ``recipe`` also training and its data) has no failure."""
    needed = {"core", "train", "recipe"} if recipe else {"core"}
    return not any(check.failed for check in checks if check.group in needed)


def recipe_name(recipe: str) -> str:
    """Return the name of a recipe as `check_recipe` takes it.

    Raises:
        ConfigError: there is no such recipe; names the nearest.
    """
    known = [*DATASETS, *(OWN_DATA + group for group in task_groups())]
    names = {name.replace("-", "_"): name for name in known}
    if recipe.replace("-", "_") not in names:
        hint = did_you_mean(recipe.replace("-", "_"), names)
        raise ConfigError(f"unknown recipe {recipe!r}; {hint}see `biomedgpt data list`")
    return names[recipe.replace("-", "_")]


def task_groups() -> list[str]:
    """Return the kinds of tasks, each with a recipe for one's own data."""
    return list(dict.fromkeys(recipe_group(task) for task in TASKS.values()))


def recipe_group(task: Task | type[Task]) -> str:
    """Return the kind of task whose recipes train it."""
    return task.recipes or task.group


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution, None without one."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_probe(modules: Sequence[str]) -> Probe:
    """Import ``modules`` in another process (see `biomedgpt.doctor_probe`)."""
    command = [sys.executable, "-m", "biomedgpt.doctor_probe", *modules]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, check=False)
        output, end = done.stdout, f"ended the interpreter (exit status {done.returncode})"
    except subprocess.TimeoutExpired as expired:
        output, end = expired.stdout or b"", f"not imported within {PROBE_SECONDS} s"
    return parse_probe(output.decode(errors="replace"), end=end)


def parse_probe(output: str, *, end: str) -> Probe:
    """Read the probe's lines; a module announced without a result gets ``end`` as its problem."""
    problems: dict[str, str | None] = {}
    device = None
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "device" in found:
            device = found["device"]
        else:
            problems[found["module"]] = found.get("problem", end)
    return Probe(problems=problems, device=device)


def check_python(version: tuple[int, ...]) -> Check:
    """Check that this is a Python the packages have wheels for."""
    detail = platform.python_version()
    if (3, 11) <= version < (3, 13):
        return Check("core", "Python", "ok", detail)
    return Check(
        "core", "Python", "broken", f"{detail}; 3.11 or 3.12 is needed", "python3.11 -m venv .venv"
    )


def check_package(package: Package, probe: Probe) -> Check:
    """Check that a package is installed and imports."""
    purpose = f" ({package.purpose})" if package.purpose else ""
    version = installed_version(package.name)
    if version is None:
        return Check(
            package.group, package.name, "missing", f"not installed{purpose}", package.remedy
        )
    problem = probe.problems.get(package.module, "not tried, as an earlier import failed hard")
    if problem is None:
        return Check(package.group, package.name, "ok", f"{version}{purpose}")
    remedy = package.fix
    absent = re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", problem)
    if absent and not package.module.startswith(absent[1]):
        # Some packages do not declare all they import.
        remedy = f"pip install {absent[1].partition('.')[0]}"
    return Check(
        package.group, package.name, "broken", f"{version} does not import: {problem}", remedy
    )


def check_combinations(probe: Probe) -> list[Check]:
    """Look for combinations of packages that are known not to work together."""
    found: list[tuple[Group, str, str, str]] = []
    official = installed_version("fairseq")
    if official is not None:
        detail = (
            f"{official} is installed: 0.12.2 does not import on Python 3.11 or later, and it "
            "overwrites ve-fairseq"
        )
        remedy = "pip uninstall -y fairseq ve-fairseq && pip install ve-fairseq==0.12.3"
        found.append(("train", "fairseq", detail, remedy))
    torch, vision = installed_version("torch"), installed_version("torchvision")
    pinned = _pinned_torch("torchvision")
    if torch is not None and pinned is not None and torch.partition("+")[0] != pinned:
        detail = f"torchvision {vision} is built for torch {pinned}, but {torch} is installed"
        remedy = "pip install --upgrade torch torchvision"
        found.append(("train", "torchvision with torch", detail, remedy))
    audio = installed_version(TORCHAUDIO.name)
    problem = probe.problems.get(TORCHAUDIO.module)
    if audio is not None and problem is not None:
        detail = (
            f"torchaudio {audio} does not import beside torch {torch} ({problem}); libraries "
            "that look for it fail too, and nothing here needs it"
        )
        remedy = "pip uninstall -y torchaudio"
        found.append(("optional", "torchaudio with torch", detail, remedy))
    return [Check(group, name, "broken", detail, fix) for group, name, detail, fix in found]


def check_device(probe: Probe) -> list[Check]:
    """Describe what torch can compute on."""
    cores = f"{os.cpu_count()} cores, {platform.machine()}"
    if probe.device is None:
        return [Check("machine", "CPU", "ok", cores)]
    checks = [Check("machine", "CPU", "ok", f"{cores}, torch uses {probe.device['threads']}")]
    for index, gpu in enumerate(probe.device["gpus"]):
        bf16 = "bfloat16" if gpu["bf16"] else "no bfloat16: use --fp16"
        memory = f"{gpu['memory'] / 2**30:.0f} GiB"
        checks.append(Check("machine", f"GPU {index}", "ok", f"{gpu['name']}, {memory}, {bf16}"))
    if probe.device["mps"]:
        checks.append(Check("machine", "MPS", "ok", "Apple GPU; fairseq trains on the CPU"))
    if not probe.device["gpus"] and shutil.which("nvidia-smi"):
        built = probe.device["cuda"] or "the CPU only"
        checks.append(
            Check(
                "machine",
                "GPU",
                "broken",
                f"an NVIDIA driver is here but torch, built for {built}, sees no GPU",
                "nvidia-smi  # shows the newest CUDA version the driver runs; torch must fit it",
            )
        )
    elif not probe.device["gpus"] and not probe.device["mps"]:
        checks.append(Check("machine", "GPU", "note", "none; training runs on the CPU"))
    return checks


def check_java() -> Check:
    """Look for Java, which METEOR runs on."""
    java = shutil.which("java")
    remedy = "sudo apt-get install default-jre-headless"
    if java is None:
        return Check("optional", "Java", "missing", "not found (METEOR of captions)", remedy)
    done = subprocess.run(
        [java, "-version"], capture_output=True, text=True, errors="replace", check=False
    )
    lines = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode != 0 or not lines:
        return Check("optional", "Java", "broken", f"{java} does not run", remedy)
    return Check("optional", "Java", "ok", lines[0])


def check_disk(folder: Path) -> Check:
    """Say how much space is left where the command was started."""
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.0f} GB free in {folder}"
    if free < LOW_DISK:
        return Check("machine", "disk", "note", detail + "; checkpoints may not fit")
    return Check("machine", "disk", "ok", detail)


def check_vocabulary(folder: Path | None) -> Check:
    """Check the text vocabulary of the released checkpoints, or one's own."""
    detail = "encoder.json, vocab.bpe and dict.txt of the released checkpoints not given"
    remedy = f"export {BPE_VARIABLE}=DIR"
    if folder is None:
        return Check("optional", "BPE vocabulary", "missing", detail, remedy)
    return _check_loading("optional", "BPE vocabulary", folder, remedy)


def _check_loading(group: Group, name: str, folder: Path, remedy: str) -> Check:
    try:
        entries = len(Vocabulary.load(folder))
    except BiomedGPTError as error:
        return Check(group, name, "broken", str(error), remedy)
    return Check(group, name, "ok", f"{entries:,} entries in {folder}")


def check_own_tasks() -> list[Check]:
    """Check the files that register tasks of one's own, where there are any."""
    files = os.environ.get(OWN_TASKS)
    if not files:
        return []
    try:
        own = [name for name in TASKS if not TASKS[name].is_built_in()]
    except BiomedGPTError as error:
        return [Check("core", OWN_TASKS, "broken", str(error), f"export {OWN_TASKS}=FILE")]
    return [Check("core", OWN_TASKS, "ok", f"{', '.join(own) or 'no tasks'} of {files}")]


def check_recipe(name: str, *, data: Path | None, vocabulary: Path | None) -> list[Check]:
    """Check the data and the vocabulary a recipe starts from.

    Args:
        name: name of a dataset, or ``own-<kind of task>`` for one's own data.
        data: prepared dataset.
        vocabulary: folder of a vocabulary, where the dataset brings none.
    """
    prepare = prepare_command(name)
    if data is None:
        source = DATASETS[name].source if name in DATASETS else "your own table"
        detail = f"no prepared dataset given: name it with --data, or make it (from {source})"
        return [Check("recipe", "data", "missing", detail, prepare)]
    try:
        dataset = PreparedDataset(data)
        for split in dataset.splits:
            dataset.split(split)
        _check_purpose(dataset, name)
        lacking = {"train", "test"} - set(dataset.splits)
        if lacking and not dataset.folds:
            raise DataError(f"{data} has no split {' and '.join(sorted(lacking))}")
    except DataError as error:
        return [Check("recipe", "data", "broken", str(error), prepare)]
    counts = ", ".join(f"{count} {split}" for split, count in dataset.card.counts.items())
    checks = [Check("recipe", "data", "ok", f"{dataset.card.name} in {data}: {counts}")]
    own, again = data / VOCABULARY_FOLDER, f"{prepare} --overwrite"
    if own.is_dir():
        checks.append(_check_loading("recipe", "vocabulary", own, again))
    elif vocabulary is not None:
        given = f"export {BPE_VARIABLE}=DIR"
        checks.append(_check_loading("recipe", "vocabulary", vocabulary, given))
    else:
        detail = f"neither {own} nor ${BPE_VARIABLE} is there"
        checks.append(Check("recipe", "vocabulary", "missing", detail, again))
    return checks


def prepare_command(recipe: str, *, out: str = "DIR") -> str:
    """Return the command that makes the dataset of a recipe in the folder ``out``."""
    spec = DATASETS.get(recipe)
    if spec is not None:
        raw = "" if spec.access == "generated" else "--raw RAW_DIR "
        return f"biomedgpt data prepare {spec.name} {raw}--out {out}"
    return f"biomedgpt data import --table TABLE --task TASK --columns ... --out {out}"


def _check_purpose(dataset: PreparedDataset, recipe: str) -> None:
    """Raise a DataError unless the dataset is the one a recipe is for."""
    card = dataset.card
    if not recipe.startswith(OWN_DATA):
        if card.name != recipe:
            raise DataError(f"{dataset.folder} is {card.name}, the recipe is for {recipe}")
        return
    group = recipe_group(get_task(card.task))
    if group != recipe.removeprefix(OWN_DATA):
        raise DataError(
            f"{dataset.folder} is for {group} (task {card.task}), the recipe is for "
            f"{recipe.removeprefix(OWN_DATA)}"
        )


def _pinned_torch(name: str) -> str | None:
    """Return the exact torch version that a distribution says it was built for."""
    if installed_version(name) is None:
        return None
    for requirement in importlib.metadata.requires(name) or []:
        found = re.match(r"torch\s*\(?==\s*([\d.]+)", requirement)
        if found:
            return found[1]
    return None
