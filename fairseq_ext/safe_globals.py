"""The classes that checkpoints may hold beside tensors.

torch loads with ``weights_only=True``: nothing is executed, and only listed classes are made.
fairseq checkpoints hold options (argparse and omegaconf containers) and numpy numbers. The list
is what such files contain and no more: containers and scalars that run no code when created.
"""

import argparse
import collections
import logging
import os
import typing
from typing import Any

import numpy as np
import omegaconf
import torch
from fairseq.dataclass import constants

logger = logging.getLogger(__name__)

_NUMPY = [
    np.dtype,
    *(type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")),
]
_OMEGACONF = [
    omegaconf.DictConfig,
    omegaconf.ListConfig,
    omegaconf.base.ContainerMetadata,
    omegaconf.base.Metadata,
    omegaconf.nodes.AnyNode,
    omegaconf.nodes.BooleanNode,
    omegaconf.nodes.EnumNode,
    omegaconf.nodes.FloatNode,
    omegaconf.nodes.IntegerNode,
    omegaconf.nodes.StringNode,
]
_FAIRSEQ = [
    value
    for value in vars(constants).values()
    if isinstance(value, type) and issubclass(value, constants.StrEnum)
]


def allowed() -> list[Any]:
    """Return the allow-list, in the form `torch.serialization.add_safe_globals` takes."""
    scalar = np.float64(0).__reduce__()[0]
    return [
        argparse.Namespace,
        collections.defaultdict,
        dict,
        list,
        int,
        float,
        str,
        bool,
        typing.Any,
        *_OMEGACONF,
        *_FAIRSEQ,
        *_NUMPY,
        scalar,
        # The name numpy 1 wrote into files.
        (scalar, "numpy.core.multiarray.scalar"),
    ]


def register() -> None:
    """Allow these classes, and make sure that the check itself is on."""
    if os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None) is not None:
        logger.warning(
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is ignored: checkpoints are always loaded safely"
        )
    torch.serialization.add_safe_globals(allowed())
