"""What a case costs at least: operations and bytes, in parts that follow each other."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from biomedgpt.flops import Flops, Workload, count_flops
from biomedgpt.model import ModelConfig

Parts = list[tuple[float, float]]
"""(operations, bytes) of each part; a part takes the longer of the two."""


def forward(
    config: ModelConfig, options: Mapping[str, int], *, target: int, projected: int
) -> Flops:
    """Return the operations of a forward pass by part of the model."""
    side = options["image"]
    work = Workload(
        batch=options["batch"],
        source=options["source"],
        target=target,
        image=(side, side),
        projected=projected,
    )
    return count_flops(config, work)


def training(config: ModelConfig, options: Mapping[str, int], *, target: int, kept: int) -> Parts:
    """Forward and backward pass; ``kept`` positions of each row have a target."""
    flops = forward(config, options, target=target, projected=options["batch"] * kept)
    return [(flops.training, 0.0)]


def update(parameters: Iterable[Tensor]) -> Parts:
    """Adam reads weights, two moments and gradients, these twice for their norm; writes three."""
    entries = sum(parameter.numel() for parameter in parameters)
    return [(0.0, 8 * 4.0 * entries)]


def encoding(config: ModelConfig, options: Mapping[str, int]) -> Parts:
    """Everything before the decoder."""
    flops = forward(config, options, target=1, projected=0)
    return [(flops.stem + flops.resnet + flops.encoder, 0.0)]


def decoding(
    config: ModelConfig, options: Mapping[str, int], *, steps: int, rows: int, ids: int
) -> Parts:
    """Encoder, keys and values of the source, then ``steps`` steps of ``rows`` rows.

    A step reads the weights of the decoder and of the projection to ``ids`` entries, once, and the
    keys and values so far.
    """
    dim, layers, batch = config.embed_dim, config.decoder_layers, options["batch"]
    length = options["source"] + (options["image"] // 16) ** 2
    cross = (layers * batch * 4 * length * dim**2, 0.0)
    weights = layers * (6 * dim**2 + 2 * dim * config.ffn_dim) + ids * dim
    total: Parts = [*encoding(config, options), cross]
    for step in range(1, steps + 1):
        cache = 2 * layers * dim * (batch * length + rows * step)
        operations = 2 * rows * weights + 4 * rows * layers * dim * (length + step)
        total.append((operations, 4.0 * (weights + cache)))
    return total


def scoring(config: ModelConfig, options: Mapping[str, int], *, nodes: int, edges: int) -> Parts:
    """Encoder, then the nodes of a trie through the decoder, and a product for every edge."""
    batch, dim = options["batch"], config.embed_dim
    flops = forward(config, options, target=nodes, projected=0)
    return [
        *encoding(config, options),
        (flops.decoder + 2 * batch * edges * dim, 0.0),
    ]


def counted(function: Callable[[], Any]) -> Parts:
    """Count the operations of a call with torch's own counter."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        function()
    return [(float(counter.get_total_flops()), 0.0)]
