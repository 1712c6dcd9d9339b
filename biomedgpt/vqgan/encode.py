"""Encoding the images of prepared splits; an interrupted job goes on where it was."""

import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from biomedgpt.data.prepared.codes import (
    CodesFile,
    CodesInfo,
    codes_path,
    images_digest,
    write_codes,
)
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import remove, sole, tidy, write_json
from biomedgpt.vqgan.pixels import centre, load_pixels
from biomedgpt.vqgan.tokenizer import ImageTokenizer

_PLAN = "plan.json"
_READY = 2  # batches decoded ahead


def describe(
    tokenizer: ImageTokenizer, *, image_size: int | None = None, whole_size: int | None = None
) -> CodesInfo:
    """Return what will fix the codes.

    Args:
        tokenizer: what encodes.
        image_size: pixels along one side of the square whose centre half is encoded; the size the
            tokenizer was trained at by default.
        whole_size: the same of the square that is encoded as a whole; ``image_size`` by default,
            0 for none.

    Raises:
        ConfigError: a size that does not make whole codes.
    """
    image_size = tokenizer.image_size if image_size is None else image_size
    whole_size = image_size if whole_size is None else whole_size
    if image_size % 4:
        raise ConfigError(
            f"the centre half of {image_size} pixels has no whole border; choose a multiple of 4"
        )
    return CodesInfo(
        tokenizer=tokenizer.fingerprint,
        num_codes=tokenizer.num_codes,
        image_size=image_size,
        middle_grid=tokenizer.grid(image_size // 2),
        whole_size=whole_size,
        whole_grid=tokenizer.grid(whole_size) if whole_size else 0,
    )


def encode_split(
    split: PreparedSplit, tokenizer: ImageTokenizer, info: CodesInfo, *, batch_size: int = 32
) -> Path | None:
    """Write ``<split>.codes.h5``; return None when it is there already.

    What is encoded is kept beside the split until all is, so that the call goes on after an
    interrupt; codes made with other options, another tokenizer or of other images start anew.

    Raises:
        DataError: an image is damaged (its number is named).
        ConfigError: it cannot be written, or another process is at it.
    """
    path = codes_path(split)
    partial = split.folder / f".{split.name}.codes.partial"
    sizes = {"middle": info.middle_grid**2}
    if info.whole_size:
        sizes["whole"] = info.whole_grid**2
    if _is_whole(split, info) and not partial.exists():
        tidy(path)
        return None
    try:
        with sole(path, remedy="wait for its end"):
            if _is_whole(split, info):  # killed before this one was removed
                remove(partial)
                return None
            partial.mkdir(exist_ok=True)
            done = _resume(partial, sizes, asdict(info) | {"images": images_digest(split)})
            _encode_rest(split, tokenizer, info, partial, done, batch_size)
            arrays = {name: _read(partial / name, size) for name, size in sizes.items()}
            write_codes(split, info, arrays["middle"], arrays.get("whole"))
            remove(partial)
    except OSError as error:
        raise ConfigError(
            f"{partial}: cannot be written ({error.strerror or error}); fix that and give the "
            "command again: it goes on from there"
        ) from error
    return path


def _is_whole(split: PreparedSplit, info: CodesInfo) -> bool:
    if not codes_path(split).is_file():
        return False
    try:
        return CodesFile(split).info == info
    except DataError:
        return False  # damaged or of other images: made anew


def _resume(partial: Path, sizes: dict[str, int], plan: dict[str, object]) -> int:
    """Return how many images are encoded already; what does not belong to the plan is removed."""
    try:
        same = json.loads((partial / _PLAN).read_bytes()) == plan
    except (OSError, ValueError):
        same = False
    paths = {name: partial / name for name in sizes}
    if not same:
        for path in paths.values():
            path.write_bytes(b"")
        write_json(partial / _PLAN, plan)
        return 0
    done = min(path.stat().st_size // (4 * sizes[name]) for name, path in paths.items())
    for name, path in paths.items():
        os.truncate(path, done * 4 * sizes[name])
    return done


def _encode_rest(
    split: PreparedSplit,
    tokenizer: ImageTokenizer,
    info: CodesInfo,
    partial: Path,
    done: int,
    batch_size: int,
) -> None:
    """Append the codes of all images from ``done`` on."""
    name, total = f"encoding {split.name}", split.num_images
    with (
        (partial / "middle").open("ab") as middle,
        (partial / "whole").open("ab") as whole,
        tqdm(total=total, initial=done, desc=name, unit=" images", disable=None) as bar,
    ):
        for pixels, wholes in _batches(split, info, done, batch_size):
            middle.write(_to_bytes(tokenizer.encode(centre(pixels))))
            middle.flush()
            if info.whole_size:
                whole.write(_to_bytes(tokenizer.encode(wholes)))
                whole.flush()
            bar.update(len(pixels))


def _read(path: Path, size: int) -> NDArray[np.int32]:
    """Return the codes in a file, (images, size), mapped."""
    if not path.stat().st_size:
        return np.zeros((0, size), np.int32)
    return np.memmap(path, dtype="<i4", mode="r").reshape(-1, size)


def _to_bytes(codes: Tensor) -> bytes:
    return codes.to(torch.int32).cpu().numpy().astype("<i4").tobytes()


def _batches(
    split: PreparedSplit, info: CodesInfo, start: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the pixels of the images from ``start`` on, for the middle and for the whole."""

    def load(number: int) -> tuple[Tensor, Tensor]:
        pixels = load_pixels(split, number, info.image_size)
        if info.whole_size in (0, info.image_size):
            return pixels, pixels
        return pixels, load_pixels(split, number, info.whole_size)

    def collect(futures: list[Future[tuple[Tensor, Tensor]]]) -> tuple[Tensor, Tensor]:
        pixels, wholes = zip(*(future.result() for future in futures), strict=True)
        return torch.stack(pixels), torch.stack(wholes)

    # Threads are enough: Pillow decodes and resizes without the interpreter's lock.
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    waiting: deque[list[Future[tuple[Tensor, Tensor]]]] = deque()
    try:
        for first in range(start, split.num_images, batch_size):
            numbers = range(first, min(first + batch_size, split.num_images))
            waiting.append([pool.submit(load, number) for number in numbers])
            if len(waiting) > _READY:
                yield collect(waiting.popleft())
        while waiting:
            yield collect(waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
