"""Files of safetensors. They have no checksum: what describes them records their hash."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from biomedgpt.errors import CheckpointError
from biomedgpt.files import Content

_ERRNO = re.compile(r"os error (\d+)")
_TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}


def read_safetensors(path: Path, content: Content | None = None, *, fix: str) -> dict[str, Tensor]:
    """Return the tensors of a file, mapped from it.

    Args:
        path: of the file.
        content: what was read of it; tensors are then in that memory.
        fix: what to do about a damaged file, for the message.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        return safetensors.torch.load_file(path) if content is None else _tensors_in(content, path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; {fix}") from None
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        raise CheckpointError(f"{path}: damaged ({reason}); {fix}") from error


def write_safetensors(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors.

    Raises:
        OSError: it cannot be written; the library's own error for that is of another kind.
    """
    contiguous = {key: value.contiguous() for key, value in weights.items()}
    try:
        safetensors.torch.save_file(contiguous, path, metadata={"format": "pt"})
    except SafetensorError as error:
        if (found := _ERRNO.search(str(error))) is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


def _tensors_in(content: Content, path: Path) -> dict[str, Tensor]:
    found = {}
    with safetensors.safe_open(path, framework="pt") as file:
        # Tensors follow each other without gaps, which the library has checked.
        start = 8 + int.from_bytes(content.data[:8], "little")
        for name in file.offset_keys():
            part = file.get_slice(name)
            shape, dtype = part.get_shape(), _TYPES.get(part.get_dtype())
            if dtype is None:
                raise ValueError(f"{name} is of type {part.get_dtype()}")
            count = math.prod(shape)
            if count:
                flat = torch.frombuffer(content.data, dtype=dtype, count=count, offset=start)
                found[name] = flat.view(shape)
            else:
                found[name] = torch.empty(shape, dtype=dtype)
            start += count * dtype.itemsize
    return found
