"""Codes in files to pictures."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import torch
from tqdm import tqdm

from biomedgpt.data.prepared.codes import CodesFile
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import atomic_path
from biomedgpt.vqgan.pixels import to_image
from biomedgpt.vqgan.tokenizer import ImageTokenizer

_SUFFIX = ".codes.h5"
_NAME = re.compile(r"[\w.-]{1,120}")


@dataclass(frozen=True)
class CodeRow:
    """The codes of one image, and what its file is to be called."""

    name: str
    codes: list[int]
    grid: tuple[int, int]
    where: str


def decode_file(
    path: Path,
    tokenizer: ImageTokenizer,
    out: Path,
    *,
    part: str = "whole",
    limit: int | None = None,
    batch_size: int = 16,
) -> int:
    """Write one PNG file per sequence of codes; return how many.

    Args:
        path: JSON lines with ``codes`` (numbers), perhaps ``id`` (the file's name) and ``grid``
            ([rows, columns]; a square by default), or a file ``<split>.codes.h5``.
        tokenizer: decodes.
        out: folder, made if missing.
        part: ``whole`` or ``middle``, which codes of a ``.codes.h5``.
        limit: decode the first so many only.
        batch_size: images decoded at once.

    Raises:
        DataError: a line or file that cannot be used; codes of another tokenizer.
        ConfigError: ``out`` cannot be written.
    """
    is_split = path.name.endswith(_SUFFIX)
    rows = _of_split(path, tokenizer, part) if is_split else _of_lines(path)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {out}: {error.strerror}; give another --out") from error
    seen: set[str] = set()
    with tqdm(desc="decoding", unit=" images", disable=None) as bar:
        for batch in _batches(islice(rows, limit), batch_size):
            for row in batch:
                if row.name in seen:
                    raise DataError(f"{row.where}: id {row.name} was there before; make ids unique")
                seen.add(row.name)
                if wrong := [code for code in row.codes if not 0 <= code < tokenizer.num_codes]:
                    raise DataError(
                        f"{row.where}: code {wrong[0]} is out of range "
                        f"0..{tokenizer.num_codes - 1}; give the tokenizer that made the codes"
                    )
            pixels = tokenizer.decode(torch.tensor([row.codes for row in batch]), batch[0].grid)
            for row, image in zip(batch, pixels, strict=True):
                with atomic_path(out / f"{row.name}.png") as temporary:
                    to_image(image).save(temporary, "PNG")
            bar.update(len(batch))
    return len(seen)


def _batches(rows: Iterable[CodeRow], size: int) -> Iterator[list[CodeRow]]:
    """Yield runs of rows with the same grid."""
    for _, run in groupby(rows, key=lambda row: row.grid):
        while batch := list(islice(run, size)):
            yield batch


def _of_split(path: Path, tokenizer: ImageTokenizer, part: str) -> Iterator[CodeRow]:
    split = PreparedDataset(path.parent).split(path.name.removesuffix(_SUFFIX))
    file = CodesFile(split)
    if file.info.tokenizer != tokenizer.fingerprint:
        raise DataError(
            f"{path}: codes of another image tokenizer ({file.info.tokenizer[:16]}, not "
            f"{tokenizer.fingerprint[:16]}); give the one that made them, or encode again"
        )
    side = file.info.whole_grid if part == "whole" else file.info.middle_grid
    read = file.whole if part == "whole" else file.middle
    return (
        CodeRow(f"{split.name}-{n:06d}-{part}", read(n), (side, side), f"{path}: image {n + 1}")
        for n in range(len(file))
    )


def _of_lines(path: Path) -> Iterator[CodeRow]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _parse(line, f"{path}: line {number}", number)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file of JSON lines, and no {_SUFFIX}") from error


def _parse(line: str, where: str, number: int) -> CodeRow:
    try:
        content = json.loads(line)
        codes = content["codes"]
        name = str(content.get("id", f"image-{number:06d}"))
        grid = content.get("grid") or [math.isqrt(len(codes))] * 2
        whole = all(type(value) is int for value in [*codes, *grid]) and len(grid) == 2
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f'{where}: not like {{"id": "name", "codes": [1, 2, 3, 4]}}; fix the line'
        ) from error
    if not whole or not codes or min(grid) < 1 or grid[0] * grid[1] != len(codes):
        raise DataError(
            f"{where}: {len(codes)} codes do not make a grid of {grid}; give whole numbers, and a "
            '"grid" of [rows, columns] if it is no square'
        )
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise DataError(f"{where}: id {name!r} cannot name a file; use letters, digits, - and _")
    return CodeRow(name, codes, (grid[0], grid[1]), where)
