"""Hostile files through the real command: one line, nothing executed, memory bounded.

All commands run one after the other in one process, whose peak of memory is looked at in the end.
Hostile checkpoints are in the tests of checkpoints.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_samples import encoded, vqa_row, write_sample
from hostile_files import (
    IMAGES,
    Command,
    escaping_names,
    large_png,
    npy,
    npy_header,
    npz,
    png_with_text,
    zeros,
)
from older_data import rehash
from raw_releases.all import build
from raw_releases.medmnist import arrays

from biomedgpt.data.imaging.raster import image_size
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.codes import CodesFile, CodesInfo, codes_path, write_codes
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import SplitWriter
from biomedgpt.errors import DataError

pytest.importorskip("pydicom")
pytest.importorskip("nibabel")

MOST_MEMORY = 1_500_000_000
"""Bytes; the longest line that a table may have takes most of it, 0.9 to 1.2 GB as it is read."""
MOST_FOR_IMAGES = 800_000_000
"""Bytes; what is inflated of one DICOM file takes most of it."""

DRIVER = """
import contextlib, io, json, pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 35, 1 << 35))  # not to bring the machine down
from biomedgpt.cli.main import main
ended = []
for command in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(command)
        except BaseException as error:
            status = repr(error)
    ended.append((status, out.getvalue(), err.getvalue()))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak *= 1 if sys.platform == "darwin" else 1024
status = pathlib.Path("/proc/self/status")
if status.is_file():  # the other number counts the process that this one was started by
    peak = int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps([ended, peak]))
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int | str
    out: str
    err: str


def run_all(commands: dict[str, list]) -> tuple[dict[str, Ended], int]:
    """Run commands in one process; return how each ended, and the peak of memory in bytes."""
    words = [[str(word) for word in command] for command in commands.values()]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    ended, peak = json.loads(done.stdout)
    return {name: Ended(*one) for name, one in zip(commands, ended, strict=True)}, peak


def check_refused(ended: Ended, message: str) -> None:
    """One line about it, and the status of an error."""
    lines = [line for line in ended.err.splitlines() if not line.startswith("warning: ")]
    assert ended.status == 1, ended
    assert len(lines) == 1, ended
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert "Traceback" not in ended.err


def importing(folder: Path, name: str, out: Path) -> list:
    """The command that imports a table of one row that shows an image."""
    table = folder / f"{name}.csv"
    table.write_text(f"id,image,answer,split\n1,{name},yes,train\n2,good.png,no,test\n")
    command = ["data", "import", "--task", "classification", "--table", table]
    return [*command, "--images", folder, "--answers", "yes,no", "--no-vocabulary", "--out", out]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """How the import of each hostile image ended, the peak, and the folder."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "good.png").write_bytes(encoded())
    commands = {}
    for name, (make, _) in IMAGES.items():
        (folder / name).write_bytes(make())
        commands[name] = importing(folder, name, folder / f"out-{name}")
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to("/etc/hostname")
    (folder / "device.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "link.png", "device.png", "../good.png", "/etc/hostname"):
        stand_in = name.replace("/", "_")
        command = importing(folder, stand_in, folder / "out-special")
        table = folder / f"{stand_in}.csv"
        table.write_text(table.read_text().replace(f"1,{stand_in}", f"1,{name}"))
        commands[name] = command
    ended, peak = run_all(commands)
    return ended, peak, folder


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_refused(images, name):
    ended, _, folder = images
    check_refused(ended[name], IMAGES[name][1])
    assert f"csv: row 1: {name}: " in ended[name].err
    assert not (folder / f"out-{name}").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipe.png", "no such file in"),
        ("link.png", "a link that leads out of"),
        ("device.png", "a link that leads out of"),
        ("../good.png", "must be a path within"),
        ("/etc/hostname", "must be a path within"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused(images, name, message):
    check_refused(images[0][name], message)


def test_memory_is_bounded_with_images(images):
    _, peak, folder = images
    assert peak < MOST_FOR_IMAGES
    assert not list(folder.rglob("canary*"))


def test_a_bad_image_can_be_left_out(images, tmp_path):
    folder = images[2]
    (tmp_path / "rows.csv").write_text(
        "id,image,answer,split\n1,report.dcm,yes,train\n2,good.png,no,train\n3,good.png,no,test\n"
    )
    command = importing(folder, "report.dcm", tmp_path / "out")
    command[command.index("--table") + 1] = tmp_path / "rows.csv"
    ended, _ = run_all({"import": [*command, "--skip-bad"]})
    assert ended["import"].status == 0, ended
    assert "Doe" not in str(ended)
    assert PreparedDataset(tmp_path / "out").card.preparation["skipped"] == 1


ARRAYS = {
    "pickle": ("train_labels", "it holds pickled objects; refused"),
    "pickled images": ("test_images", "it holds pickled objects; refused"),
    "endless labels": ("train_labels", "it claims 8,000,000,000,000 bytes"),
    "endless images": ("train_images", "it claims 784,000,000,000,000 bytes"),
    "bomb": ("train_labels", "70,000,000 bytes, at most 67,108,864 are expected"),
    "negative": ("train_labels", "cannot be read"),
    "no array": ("train_labels", "cannot be read"),
}


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """How the preparation of hostile releases ended, the peak, and the folder."""
    folder = tmp_path_factory.mktemp("releases")
    canary = folder / "canary"
    pickled = np.array([[Command(canary)]] * 12, dtype=object)
    contents = {
        "pickle": npy(pickled),
        "pickled images": npy(pickled),
        "endless labels": npy_header((10**12, 1), "<i8") + bytes(100),
        "endless images": npy_header((10**12, 28, 28)) + bytes(100),
        "bomb": npy_header((70_000_000, 1)) + bytes(70_000_000),
        "negative": npy_header((-5, 1)) + bytes(100),
        "no array": b"cos\nmkdir\n(S'canary'\ntR.",
    }
    name = "pneumoniamnist"
    commands = {}
    for case, (array, _) in ARRAYS.items():
        raw = folder / case
        raw.mkdir()
        (raw / f"{name}.npz").write_bytes(npz({array: contents[case]}, arrays(name)))
        commands[case] = ["data", "prepare", name, "--raw", raw, "--out", folder / f"out-{case}"]

    raw = build("trec-2022", folder / "trec")
    good = next(raw.glob("*.zip"))
    with zipfile.ZipFile(good, "a") as archive:
        for member in escaping_names(folder):
            archive.writestr(zipfile.ZipInfo(member), "<clinical_study/>")
        link = zipfile.ZipInfo("link/NCT00000099.xml")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    commands["zip slip"] = ["data", "prepare", "trec-2022", "--raw", raw, "--out", folder / "o1"]
    raw = build("trec-2022", folder / "trec-bomb")
    bomb_archive(raw)
    commands["zip bomb"] = ["data", "prepare", "trec-2022", "--raw", raw, "--out", folder / "o2"]
    raw = build("meqsum", folder / "meqsum")
    workbook = next(raw.glob("*.xlsx"))
    with zipfile.ZipFile(workbook, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(5):
            archive.writestr(f"xl/media/{number}.bin", bytes(60 << 20))
    commands["workbook"] = ["data", "prepare", "meqsum", "--raw", raw, "--out", folder / "o3"]
    raw = build("mimic-iii-mortality", folder / "mimic")
    notes = next(raw.rglob("NOTEEVENTS.csv*"))
    notes.unlink()
    notes.with_name("NOTEEVENTS.csv.gz").write_bytes(zeros(1 << 28, wbits=31))
    commands["endless line"] = [
        *("data", "prepare", "mimic-iii-mortality", "--raw", raw, "--out", folder / "o4")
    ]
    ended, peak = run_all(commands)
    return ended, peak, folder


def bomb_archive(raw: Path) -> None:
    """Replace the record of a trial in an archive by one of 100 MB."""
    path = raw / "ClinicalTrials.2021-04-27.part1.zip"
    with zipfile.ZipFile(path) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, bytes(10**8) if name.endswith("NCT00000001.xml") else content)


@pytest.mark.parametrize("case", ARRAYS)
def test_hostile_archives_of_arrays_are_refused(releases, case):
    array, message = ARRAYS[case]
    check_refused(releases[0][case], message)
    assert f"{case}/pneumoniamnist.npz: array '{array}'" in releases[0][case].err


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("zip bomb", "a record of 100,000,000 bytes; refused"),
        ("workbook", "it unfolds to 31"),
        ("endless line", "NOTEEVENTS.csv.gz: cannot be read as a table (a line of more than"),
    ],
)
def test_other_bombs_are_refused(releases, case, message):
    check_refused(releases[0][case], message)


def test_nothing_of_an_archive_gets_out_of_it(releases):
    ended, peak, folder = releases
    assert ended["zip slip"].status in (0, 1)
    assert "Traceback" not in ended["zip slip"].err
    assert not [path for parent in (folder, folder.parent) for path in parent.rglob("canary*")]
    assert not list(folder.rglob("NCT00000099.xml"))
    assert peak < MOST_MEMORY


def test_a_bundle_of_articles_with_an_endless_header(tmp_path):
    from biomedgpt.corpora.pmc import CORPUS
    from biomedgpt.corpora.reader import Reading

    header = tarfile.TarInfo("a.xml")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32
    block = header.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "oa_comm.tar.gz").write_bytes(zeros(1 << 26, header=block, wbits=31))
    reading = Reading(tmp_path)
    with pytest.raises(DataError, match="a header of 4,294,967,296 bytes; refused"):
        list(CORPUS.read(CORPUS.plan(tmp_path)[0], reading))


def test_golden_numbers_that_are_pickled_or_endless(tmp_path):
    from biomedgpt.parity import load_golden

    (tmp_path / "a.json").write_text("{}")
    for array in (npy(np.array([Command(tmp_path / "canary")])), npy_header((10**13,), "<i8")):
        (tmp_path / "a.npz").write_bytes(npz({"x": array}, {"x": np.zeros(1)}))
        with pytest.raises(DataError, match=r"a\.npz: damaged"):
            load_golden(tmp_path / "a")
    assert not (tmp_path / "canary").exists()


def external_link(file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.ExternalLink("other.h5", name)


def link_of_a_group(file: h5py.File, name: str) -> None:
    group = name.partition("/")[0]
    del file[group]
    file[group] = h5py.ExternalLink("other.h5", group)


def soft_link(file: h5py.File, name: str) -> None:
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, name: str) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    size = int(np.prod(shape)) * dtype.itemsize
    del file[name]
    file.create_dataset(name, shape, dtype, external=[("/etc/hostname", 0, size)])


def virtual_data(file: h5py.File, name: str) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape, dtype)
    layout[:] = h5py.VirtualSource("other.h5", name, shape, dtype)
    del file[name]
    file.create_virtual_dataset(name, layout)


def packed(file: h5py.File, name: str) -> None:
    """Zeros that unfold to terabytes."""
    dtype, ndim = file[name].dtype, file[name].ndim
    del file[name]
    file.create_dataset(
        name,
        (10**12,) + (1,) * (ndim - 1),
        dtype,
        chunks=(10**6,) + (1,) * (ndim - 1),
        compression="gzip",
    )


def endless(file: h5py.File, name: str) -> None:
    """Terabytes that were never written."""
    dtype, ndim = file[name].dtype, file[name].ndim
    del file[name]
    file.create_dataset(name, (10**12,) + (1,) * (ndim - 1), dtype)


HDF5 = {
    "external link": (external_link, "is a link to elsewhere; refused"),
    "soft link": (soft_link, "is a link to elsewhere; refused"),
    "external storage": (external_storage, "keeps its data in other files; refused"),
    "virtual data": (virtual_data, "keeps its data in other files; refused"),
    "packed": (packed, "is stored in chunks"),
    "endless": (endless, "has no data"),
}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """How the check of hostile prepared datasets ended, and the peak."""
    folder = tmp_path_factory.mktemp("splits")
    commands = {}
    changes = HDF5 | {"link of a group": (link_of_a_group, "images is a link to elsewhere")}
    for case, (change, _) in changes.items():
        write_sample(folder / case)
        shutil.copy(folder / case / "test.h5", folder / case / "other.h5")
        with h5py.File(folder / case / "train.h5", "r+") as file:
            change(file, "images/data")
        rehash(folder / case)
        commands[case] = ["data", "check", folder / case]
    write_sample(folder / "images")
    fields = DatasetFacts(name="sample", task="vqa", source="", licence="").fields
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biomedgpt.data.prepared.writer.image_size", lambda data: (1, 1))
        path = folder / "images" / "train.h5"
        with SplitWriter(path, task="vqa", fields=fields, check_images=False) as writer:
            for number, image in enumerate((large_png(), png_with_text(), encoded(), encoded())):
                writer.add(vqa_row(number, image=image))
    rehash(folder / "images")
    commands["images"] = ["data", "check", folder / "images"]
    return run_all(commands)


@pytest.mark.parametrize("case", [*HDF5, "link of a group"])
def test_hostile_splits_are_problems(splits, case):
    message = dict(HDF5, **{"link of a group": (None, "images is a link to elsewhere")})[case][1]
    ended = splits[0][case]
    assert ended.status == 1
    assert [line for line in (ended.out + ended.err).splitlines() if message in line], ended
    assert "Traceback" not in ended.err


def test_hostile_images_of_a_split_are_problems(splits):
    ended, peak = splits
    assert ended["images"].status == 1
    assert "more than 100,000,000 pixels" in ended["images"].out + ended["images"].err
    assert peak < MOST_FOR_IMAGES


@pytest.mark.parametrize("case", HDF5)
def test_hostile_codes_are_refused(tmp_path, case):
    change, message = HDF5[case]
    write_sample(tmp_path / "sample")
    split = PreparedDataset(tmp_path / "sample").split("train")
    info = CodesInfo(tokenizer="ab" * 32, num_codes=16, image_size=32, middle_grid=2)
    write_codes(split, info, np.zeros((split.num_images, 4), np.int32))
    shutil.copy(codes_path(split), tmp_path / "sample" / "other.h5")
    with h5py.File(codes_path(split), "r+") as file:
        change(file, "middle")
    with pytest.raises(DataError, match=message) as caught:
        CodesFile(split)
    assert "\n" not in str(caught.value)


def test_the_size_of_a_hostile_image_is_an_error():
    for data in (large_png(), png_with_text()):
        with pytest.raises(DataError, match=r"^damaged image"):
            image_size(data)
