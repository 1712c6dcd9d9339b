"""Position tables of a checkpoint for longer texts, larger grids and other image sizes.

Three things can be asked for; everything else about weights stays strict:

* A longer table of token positions: known positions keep their rows; new ones are drawn from a
  normal distribution with a deviation of C^-0.5, as the reference draws rows it adds.
* A larger grid of image patches: a position is a row and a column, and keeps its embedding. The
  reference appends random rows to the flat table, which gives known embeddings to other patches
  when the side changes; here new positions and new offsets between patches take those of the
  nearest known ones.
* Another image size: the square of positions the model was trained at is interpolated bilinearly to
  the size it will be used at, as the reference does in every forward pass
  (``interpolate_position``), but once, so that the new positions can be trained and patches
  sampled. Tables of relative positions are left as they are, as there.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from biomedgpt.checkpoints.state_dict import IMAGE_BUFFERS, without_derived
from biomedgpt.errors import ConfigError
from biomedgpt.model.config import PATCH_STRIDE, ModelConfig

_SEED = 1  # every process of a run must draw the same rows


def fit_positions(
    state_dict: Mapping[str, Tensor], config: ModelConfig, *, source: str = "checkpoint"
) -> dict[str, Tensor]:
    """Return weights whose position tables are as large as the model's.

    Tables that are as large already, or larger, are passed on as they are: the strict loading that
    follows refuses what does not fit.

    Args:
        state_dict: weights with the published key names.
        config: the model they are for.
        source: how to call the weights in an error.

    Raises:
        CheckpointError: the weights belong to another scheme of positions.
    """
    fitted = dict(state_dict)
    for part in ("encoder", "decoder"):
        key = f"{part}.embed_positions.weight"
        if key in fitted:
            fitted[key] = extend_tokens(fitted[key], config.max_positions + 2)
    table = fitted.get("encoder.embed_image_positions.weight")
    if table is None:
        return fitted
    known, side = math.isqrt(len(table) - 1), config.image_bucket_size
    if known**2 != len(table) - 1 or known >= side:
        return fitted
    smaller = config.replace(image_bucket_size=known)
    fitted = without_derived(fitted, smaller, source=source, keys=IMAGE_BUFFERS)
    for key, value in fitted.items():
        if key.endswith(".embed_image_positions.weight"):
            fitted[key] = grow_grid(value, known, side)
        elif ".image_rel_pos_table_list." in key:
            fitted[key] = grow_offsets(value, known, side)
    return fitted


def extend_tokens(table: Tensor, rows: int) -> Tensor:
    """Return the table (N, C) with ``rows`` rows: the known ones, and random ones after them."""
    missing = rows - len(table)
    if missing <= 0:
        return table
    dim = table.shape[1]
    generator = torch.Generator().manual_seed(_SEED)
    added = torch.randn(missing, dim, generator=generator) * dim**-0.5
    return torch.cat([table, added.to(table)])


def grow_grid(table: Tensor, known: int, side: int) -> Tensor:
    """Return the table of a larger grid.

    Args:
        table: (1 + known^2, C): the beginning of the sequence, then patches row by row.
        known: patches along one side of the grid.
        side: of the larger grid.

    Returns:
        (1 + side^2, C).
    """
    nearest = torch.arange(side).clamp(max=known - 1)
    grid = table[1:].unflatten(0, (known, known))
    return torch.cat([table[:1], grid[nearest][:, nearest].flatten(0, 1)])


def grow_offsets(table: Tensor, known: int, side: int) -> Tensor:
    """Return the table of offsets between the patches of a larger grid.

    Args:
        table: ((2 known - 1)^2 + 3, H): offsets row by row, then those from and to the beginning of
            the sequence.
        known: patches along one side of the grid.
        side: of the larger grid.

    Returns:
        ((2 side - 1)^2 + 3, H).
    """
    width = 2 * known - 1
    nearest = torch.arange(-(side - 1), side).clamp(-(known - 1), known - 1) + known - 1
    grid = table[: width**2].unflatten(0, (width, width))
    return torch.cat([grid[nearest][:, nearest].flatten(0, 1), table[width**2 :]])


def resize_image_positions(
    state_dict: Mapping[str, Tensor], config: ModelConfig, *, trained: int, wanted: int
) -> dict[str, Tensor]:
    """Return weights whose patch positions are interpolated to another image size.

    Args:
        state_dict: weights; their tables are as large as the model's (see `fit_positions`).
        config: the model they are for.
        trained: pixels along one side of the images they were trained with.
        wanted: pixels along one side of the images to come.

    Raises:
        ConfigError: a size is smaller than a patch or larger than the grid of positions.
    """
    side = config.image_bucket_size
    for size in (trained, wanted):
        if not PATCH_STRIDE <= size <= side * PATCH_STRIDE:
            raise ConfigError(
                f"image sizes to interpolate between must be {PATCH_STRIDE} to "
                f"{side * PATCH_STRIDE} pixels, got {size}; raise --image-bucket-size for larger"
            )
    resized = dict(state_dict)
    key = "encoder.embed_image_positions.weight"
    table = resized[key]
    old, new = -(-trained // PATCH_STRIDE), -(-wanted // PATCH_STRIDE)
    if old == new:
        return resized
    grid = table[1:].unflatten(0, (side, side)).clone()  # (side, side, C)
    square = grid[:old, :old].permute(2, 0, 1)[None].float()  # (1, C, old, old)
    square = F.interpolate(square, size=(new, new), mode="bilinear")
    grid[:new, :new] = square[0].permute(1, 2, 0).to(grid)
    resized[key] = torch.cat([table[:1], grid.flatten(0, 1)])
    return resized
