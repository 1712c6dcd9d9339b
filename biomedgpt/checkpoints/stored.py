"""What a checkpoint is on disk, whatever its format: weights, and all that using them takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from biomedgpt.checkpoints.description import CheckpointInfo, Description, Preprocessing
from biomedgpt.checkpoints.state_dict import check_keys, load_reference_state_dict, shapes_of
from biomedgpt.errors import CheckpointError, VocabularyError
from biomedgpt.model import BiomedGPT, ModelConfig
from biomedgpt.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model with the vocabulary and the preprocessing that belong to it."""

    model: BiomedGPT
    """In evaluation mode, float32, on the CPU."""
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    info: CheckpointInfo


@dataclass(frozen=True, kw_only=True)
class StoredCheckpoint:
    """Weights as they are stored, by the published key names; what formats are converted by."""

    weights: Mapping[str, Tensor]
    """Without derived buffers and tied copies, in the data types of the file."""
    in_memory: bool = False
    """Whether they are nobody else's, rather than mapped from a file that may be overwritten."""
    config: ModelConfig
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    info: CheckpointInfo

    @classmethod
    def of(
        cls,
        description: Description,
        weights: Mapping[str, Tensor],
        vocabulary: Vocabulary,
        *,
        in_memory: bool = False,
    ) -> Self:
        """Return weights with what was said about them."""
        return cls(weights=weights, vocabulary=vocabulary, in_memory=in_memory, **vars(description))

    @property
    def description(self) -> Description:
        """What the checkpoint says about itself."""
        return Description(config=self.config, preprocessing=self.preprocessing, info=self.info)

    def build(self, *, source: str = "checkpoint") -> Checkpoint:
        """Return the checkpoint with its model; half precision becomes float32, exactly.

        Weights in memory that are float32 are not copied: they become the model's parameters.

        Args:
            source: how to call the weights in an error.

        Raises:
            VocabularyError: the vocabulary has another number of entries than the model.
            CheckpointError: weights are missing, unexpected or of another shape.
        """
        self.check_vocabulary(source)
        model = build_model(self.config, self.weights, source=source, copy=not self.in_memory)
        return Checkpoint(
            model=model,
            vocabulary=self.vocabulary,
            preprocessing=self.preprocessing,
            info=self.info,
        )

    def check(self, *, source: str = "checkpoint") -> None:
        """Check that weights, configuration and vocabulary fit; nothing is allocated.

        Raises:
            VocabularyError: see `build`.
            CheckpointError: see `build`.
        """
        self.check_vocabulary(source)
        model = empty_model(self.config, self.weights, source)
        check_keys(model, shapes_of(self.weights), source=source)

    def check_vocabulary(self, source: str) -> None:
        """Raise a VocabularyError if the vocabulary is not as large as the model's."""
        if len(self.vocabulary) != self.config.vocab_size:
            raise VocabularyError(
                f"{source}: the model has {self.config.vocab_size:,} vocabulary entries, the "
                f"vocabulary {len(self.vocabulary):,}; give the one the weights were trained with"
            )


def build_model(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    *,
    source: str = "checkpoint",
    copy: bool = True,
) -> BiomedGPT:
    """Return a model with these weights, in evaluation mode and float32.

    Args:
        config: of the model.
        weights: by the published key names.
        source: how to call the weights in an error.
        copy: the weights, which may be mapped from a file that somebody overwrites later.

    Raises:
        CheckpointError: weights are missing, unexpected or of another shape.
    """
    model = empty_model(config, weights, source)
    widened = {
        key: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=copy)
        for key, value in weights.items()
    }
    load_reference_state_dict(model, widened, source=source, assign=True)
    model.tie_embeddings()
    return model.eval()


def empty_model(config: ModelConfig, weights: Mapping[str, Tensor], source: str) -> BiomedGPT:
    """Return a model without memory; CheckpointError if it has more layers than weights."""
    layers = sum((config.encoder_layers, config.decoder_layers, *config.resnet_blocks))
    if layers > len(weights):
        raise CheckpointError(f"{source}: {layers:,} layers, but only {len(weights):,} weights")
    with torch.device("meta"), _WithoutDraws():
        return BiomedGPT(config)


_DRAWS = (
    *(init.normal_, init.uniform_, init.kaiming_uniform_),
    *(torch.Tensor.normal_, torch.Tensor.uniform_),
)


class _WithoutDraws(TorchFunctionMode):
    """Leaves out the initial values of a model without memory.

    Drawing them imports torch's compiler, which takes a second or more and does nothing here.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func in _DRAWS:
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)
