"""One sequence-to-sequence model for biomedical vision-language tasks."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from biomedgpt.files import WEIGHTS, reading_ahead

if TYPE_CHECKING:  # torch takes seconds to import, which scoring and the command line do not need
    import torch

    from biomedgpt.inference import Predictor

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(
    source: str | Path,
    *,
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    vocabulary: str | Path | None = None,
    image_tokenizer: str | Path | None = None,
    batch_size: int | None = None,
) -> "Predictor":
    """Load a model to ask; see `biomedgpt.inference.load`."""
    with reading_ahead(Path(source) / WEIGHTS), _no_collections():
        from biomedgpt.inference import load as load_predictor

        return load_predictor(
            source,
            device=device,
            dtype=dtype,
            vocabulary=vocabulary,
            image_tokenizer=image_tokenizer,
            batch_size=batch_size,
        )


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector from looking through modules, which takes 0.2 s and finds none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
