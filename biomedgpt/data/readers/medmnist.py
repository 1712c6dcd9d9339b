"""MedMNIST: seven of its two-dimensional sets, in any of their four sizes, to rows.

Expected in the raw folder, for images of 28, 64, 128 or 224 pixels: ``<name>.npz``,
``<name>_64.npz``, ``<name>_128.npz`` or ``<name>_224.npz``, each with the arrays ``train_images``,
``train_labels``, ``val_images``, ... of unsigned bytes.

Class names, channels and checksums come from the ``medmnist`` package. What ``biomedgpt data list``
shows stands here, so that it works without the package; a test compares both.
"""

import contextlib
import hashlib
import math
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.imaging.levels import encode_png
from biomedgpt.data.raw.npz import open_array, read_array
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.data.spec import NATURE_MEDICINE, DatasetSpec, PublishedResult, RawDataset, Release
from biomedgpt.errors import ConfigError, DataError, optional_import
from biomedgpt.files import put_in_place, scratch_folder

SIZES = (28, 64, 128, 224)
SPLITS = {"train": "train", "valid": "val", "test": "test"}
_MOST_LABEL_BYTES = 1 << 26
MEDMNIST_V2 = "Yang et al., Scientific Data 10, 41 (2023)"


def read(release: Release) -> RawDataset:
    """Read one released file.

    Raises:
        ConfigError: the ``medmnist`` package is not installed.
        DataError: the file is missing or not of this dataset, or a label is bad.
    """
    raw, spec, size = release.folder, release.spec, release.options.image_size or SIZES[0]
    path = raw / _file_name(spec, size)
    if not path.is_file():
        there = [pixels for pixels in SIZES if (raw / _file_name(spec, pixels)).is_file()]
        hint = f"add --image-size {there[0]}" if there else f"get it from {spec.source}"
        raise DataError(f"{raw} lacks {path.name!r} of the {spec.name} release; {hint}")
    info = _info(spec)
    names = class_names(info)
    shape = (size, size, 3) if info["n_channels"] == 3 else (size, size)
    labels = {split: _labels(path, official, shape=shape) for split, official in SPLITS.items()}
    md5, released = _md5(path), info[_of_size("MD5", size)]
    return RawDataset(
        splits={
            split: _rows(path, official, labels[split], names=names, skipped=release.skipped)
            for split, official in SPLITS.items()
        },
        answers=tuple(names),
        cleaning=("images encoded as PNG without loss; greyscale stays greyscale",),
        preparation={
            "image_size": size,
            "md5": md5,
            "md5_matches": "yes" if md5 == released else f"no, the released file has {released}",
        },
    )


def download(release: Release) -> None:
    """Get the released file through the ``medmnist`` package, which checks its MD5.

    Raises:
        ConfigError: the package is missing, or another file of this name is there.
        DataError: the download failed.
    """
    raw, spec, size = release.folder, release.spec, release.options.image_size or SIZES[0]
    info = _info(spec)
    path = raw / _file_name(spec, size)
    url = info[_of_size("url", size)]
    if path.exists():
        if path.is_file() and _md5(path) == info[_of_size("MD5", size)]:
            return
        raise ConfigError(
            f"{path} is there and not the released file; leave out --download to use it, or "
            "remove it"
        )
    import medmnist

    raw.mkdir(parents=True, exist_ok=True)
    # The package leaves half a file when it is interrupted, and says what it does on stdout.
    with scratch_folder(raw) as folder, contextlib.redirect_stdout(sys.stderr):
        try:
            kind = vars(medmnist)[info["python_class"]]
            kind(split="test", download=True, root=str(folder), size=size)
        except Exception as error:  # the package turns every failure into a RuntimeError
            raise DataError(
                f"{url} could not be downloaded, or what came has another MD5; check the network, "
                f"or get the file by other means and put it into {raw}"
            ) from error
        put_in_place(folder / path.name, path)


def class_names(info: Mapping[str, Any]) -> list[str]:
    """Return the class names of a set, in the order of its labels, in lower case."""
    return [clean_text(info["label"][str(label)]).lower() for label in range(len(info["label"]))]


def _of_size(key: str, size: int) -> str:
    """Return how the package and the release spell ``key`` for images of ``size`` pixels."""
    return key if size == SIZES[0] else f"{key}_{size}"


def _file_name(spec: DatasetSpec, size: int) -> str:
    return f"{_of_size(spec.name, size)}.npz"


def _info(spec: DatasetSpec) -> Mapping[str, Any]:
    """Return what the ``medmnist`` package knows about a set."""
    with optional_import(f"{spec.name} needs medmnist; run: pip install medmnist"):
        import medmnist
    info: Mapping[str, Any] = medmnist.INFO[spec.name]
    return info


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _labels(path: Path, split: str, *, shape: tuple[int, ...]) -> NDArray[np.integer[Any]]:
    """Return the labels of a split, shape (N,), whose N images have the given shape."""
    name = f"{split}_labels"
    try:
        labels = read_array(path, name, most_bytes=_MOST_LABEL_BYTES)
        with open_array(path, f"{split}_images") as array:
            found, dtype = array.shape, array.dtype
    except DataError as error:
        if isinstance(error.__cause__, KeyError):  # an array that is not there
            raise DataError(f"{error}; is this a MedMNIST release?") from error
        raise
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape not in (
        (labels.size, 1),
        (labels.size,),
    ):
        raise DataError(
            f"{path}: {name} has shape {labels.shape} and type {labels.dtype}, must be whole "
            "numbers of shape (N, 1)"
        )
    if found[1:] != shape or dtype != np.uint8:
        wanted = " x ".join(map(str, shape))
        raise DataError(
            f"{path}: {split}_images has shape {found} and type {dtype}, must be N x {wanted} "
            "unsigned bytes; is this file of another dataset or size?"
        )
    if found[0] != labels.size:
        raise DataError(f"{path}: {split} has {found[0]:,} images and {labels.size:,} labels")
    return labels.reshape(-1)


def _rows(
    path: Path,
    split: str,
    labels: NDArray[np.integer[Any]],
    *,
    names: list[str],
    skipped: Skipped,
) -> Iterator[Row]:
    """Yield the rows of a split, one image in memory at a time."""
    # The largest file has 14 GB of images: one at a time.
    with open_array(path, f"{split}_images") as array:
        stream, shape = array.stream, array.shape[1:]
        for index, label in enumerate(labels.tolist()):
            where = f"{path}: {split} row {index + 1}"
            data = stream.read(math.prod(shape))
            if len(data) < math.prod(shape):
                raise DataError(f"{where}: the file ends within this image; get it again")
            with skipped.catching():
                if not 0 <= label < len(names):
                    raise DataError(f"{where}: label {label}, must be 0 to {len(names) - 1}")
                name = f"{split}{index}"  # as the medmnist package names images that it saves
                fields = {"id": name, "answer": names[label], "image_name": f"{name}.png"}
                pixels = np.frombuffer(data, np.uint8).reshape(shape)
                yield Row(fields, encode_png(pixels), where)


def _resnet18(accuracy: float) -> PublishedResult:
    """The smallest baseline of the dataset's own paper, at 28 pixels."""
    return PublishedResult("ResNet-18 (28 px)", "accuracy", accuracy, MEDMNIST_V2)


_spec = partial(
    DatasetSpec,
    task="classification",
    source="https://zenodo.org/records/10519652",
    licence="CC BY 4.0",
    read=read,
    download=download,
    image_sizes=SIZES,
)
SPECS = (
    _spec(
        name="pathmnist",
        title="PathMNIST: nine kinds of tissue in histology of colorectal cancer",
        expected={"train": 89996, "valid": 10004, "test": 7180},
        published=(_resnet18(0.907),),
    ),
    _spec(
        name="dermamnist",
        title="DermaMNIST: seven kinds of pigmented skin lesions",
        expected={"train": 7007, "valid": 1003, "test": 2005},
        published=(_resnet18(0.735),),
        licence="CC BY-NC 4.0",
    ),
    _spec(
        name="octmnist",
        title="OCTMNIST: retinal diseases in optical coherence tomography",
        expected={"train": 97477, "valid": 10832, "test": 1000},
        published=(_resnet18(0.743),),
    ),
    _spec(
        name="pneumoniamnist",
        title="PneumoniaMNIST: pneumonia in chest X-rays of children",
        expected={"train": 4708, "valid": 524, "test": 624},
        published=(_resnet18(0.854),),
    ),
    _spec(
        name="breastmnist",
        title="BreastMNIST: malignant tumours in breast ultrasound",
        expected={"train": 546, "valid": 78, "test": 156},
        published=(_resnet18(0.863),),
    ),
    _spec(
        name="bloodmnist",
        title="BloodMNIST: eight kinds of blood cells under the microscope",
        expected={"train": 11959, "valid": 1712, "test": 3421},
    ),
    _spec(
        name="organcmnist",
        title="OrganCMNIST: eleven organs in coronal CT",
        expected={"train": 12975, "valid": 2392, "test": 8216},
        published=(PublishedResult("BiomedGPT-B", "accuracy", 0.910, NATURE_MEDICINE),),
    ),
)
