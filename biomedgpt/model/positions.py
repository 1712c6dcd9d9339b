"""Relative positions of tokens and image patches, as bucket numbers.

A bucket number selects a row of a learned table of one bias per head (T5 style; OFA, arXiv
2202.03052, section 3.1). The reference keeps the bucket matrices as buffers of up to 25 MB and
saves them; here they are computed for the positions at hand.

Legend: S tokens, P patches.
"""

import math

import torch
from torch import Tensor

MAX_RELATIVE_POSITION = 1024
"""Distance at which the logarithmic buckets end: the reference's longest sequence."""


def token_buckets(length: int, bucket_size: int, *, device: torch.device) -> Tensor:
    """Return the buckets of all pairs of token positions, (S, S) of int64.

    Distances up to half of `bucket_size` have a bucket each; larger ones share buckets that grow
    logarithmically up to `MAX_RELATIVE_POSITION`.
    """
    # A function of the distance only: compute it once per distance, then index the pairs.
    distance = torch.arange(-(length - 1), length)  # (2S - 1)
    mid = bucket_size // 2
    near = distance.abs().clamp(min=mid - 1)
    # float32 and this order of operations: a bucket border may not move by rounding.
    far = torch.log(near / mid) / math.log((MAX_RELATIVE_POSITION - 1) / mid) * (mid - 1)
    far = (torch.ceil(far) + mid).int().clamp(max=bucket_size - 1)
    bucket = torch.where(near.le(mid), distance, far * distance.sign()) + bucket_size - 1
    position = torch.arange(length)
    pairs = position[:, None] - position[None, :] + length - 1  # (S, S)
    return bucket[pairs].to(device)


def image_buckets(positions: Tensor, bucket_size: int) -> Tensor:
    """Return the buckets of all pairs of image positions.

    Args:
        positions: (..., P) position numbers: ``1 + row * bucket_size + column``, or 0 for the
            beginning-of-sequence token in front of image codes.
        bucket_size: positions along one side of the largest image.

    Returns:
        (..., P, P) of int64 in ``[0, (2 * bucket_size - 1) ** 2 + 3)``.
    """
    side = 2 * bucket_size - 1
    first = positions.eq(0)
    row = (positions - 1).div(bucket_size, rounding_mode="floor")
    column = (positions - 1).remainder(bucket_size)
    bucket = (row[..., :, None] - row[..., None, :] + bucket_size - 1) * side + (
        column[..., :, None] - column[..., None, :] + bucket_size - 1
    )  # (..., P, P)
    bucket = bucket.masked_fill(first[..., :, None], side * side)
    bucket = bucket.masked_fill(first[..., None, :], side * side + 1)
    return bucket.masked_fill(first[..., :, None] & first[..., None, :], side * side + 2)


def num_image_buckets(bucket_size: int) -> int:
    """Return the number of different values of `image_buckets`."""
    return (2 * bucket_size - 1) ** 2 + 3


def patch_positions(height: int, width: int, bucket_size: int, *, device: torch.device) -> Tensor:
    """Return the position numbers of a grid of patches in row-major order, (height * width)."""
    rows = torch.arange(height, device=device)[:, None]
    columns = torch.arange(width, device=device)[None, :]
    return (rows * bucket_size + columns + 1).flatten()


def code_positions(length: int, window: int, bucket_size: int, *, device: torch.device) -> Tensor:
    """Return the position numbers of a target made of image codes, (length).

    Position 0 is the beginning of the sequence; the codes of a ``window`` x ``window`` image
    follow in row-major order; anything longer shares the number 1024, as in the reference.
    """
    positions = torch.full((length,), 1024, device=device)
    grid = patch_positions(window, window, bucket_size, device=device)[: max(length - 1, 0)]
    positions[:1] = 0
    positions[1 : 1 + len(grid)] = grid
    return positions
