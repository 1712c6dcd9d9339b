"""Images from the model's decoder: from a text, or the hidden middle of an image.

Both generate the codes of a square, n of them and then the end, restricted to image codes; the
image tokenizer makes pixels of them.
"""

import math
from dataclasses import asdict, dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from biomedgpt.data.imaging.images import preprocess
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.segments import ImageCodes
from biomedgpt.generation import ImageDecoding, generate
from biomedgpt.model import BiomedGPT
from biomedgpt.model.decoder import CODE_STRIDE
from biomedgpt.tasks.pretraining_instructions import IMAGE_GENERATION, INFILLING
from biomedgpt.vocabulary import Vocabulary
from biomedgpt.vqgan.pixels import centre
from biomedgpt.vqgan.tokenizer import ImageTokenizer


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How codes are chosen. The defaults are greedy: the most probable code at each step."""

    samples: int = 1
    """Images per text or image."""
    sampling: bool = False
    """Draw codes at random; otherwise beam search, as wide as `samples`."""
    top_k: int = 0
    top_p: float = 1.0
    temperature: float = 1.0
    seed: int = 0

    def config(self, length: int) -> GenerationConfig:
        """Return the decoding options for exactly ``length`` codes."""
        options = asdict(self)
        beam = options.pop("samples")
        return GenerationConfig(beam=beam, min_len=length, max_len=length, **options)

    def within(self, images: ImageCodes) -> ImageDecoding:
        """Return how an image within an answer is decoded."""
        return ImageDecoding(config=self.config(images.image_grid**2), num_codes=images.image_codes)


FROM_TEXT = Drawing(sampling=True, top_k=50)
"""How images of a text are drawn unless something else is asked for."""


@dataclass(frozen=True)
class Infilled:
    """Result of `infill`."""

    original: Tensor
    """(3, H, W) pixels of the image in [-1, 1], resized to a square."""
    masked: Tensor
    """The same with a grey middle, as the model saw it."""
    filled: Tensor
    """(N, 3, H, W) with the generated middle, one per sample, most probable first."""
    codes: Tensor
    """(N, n) the codes of the middle."""


def code_image_size(grid: int) -> int:
    """Return the `ModelConfig.code_image_size` that makes targets of ``grid`` x ``grid`` codes."""
    return grid * CODE_STRIDE


def grid_of(model: BiomedGPT) -> int:
    """Return the codes along one side of the squares that a model writes."""
    return model.config.code_image_size // CODE_STRIDE


def hide_middle(pixels: Tensor) -> Tensor:
    """Return (..., H, W) pixels with the centre half set to zero, which is grey."""
    hidden = pixels.clone()
    centre(hidden).zero_()
    return hidden


def generate_codes(
    model: BiomedGPT,
    vocabulary: Vocabulary,
    instruction: str,
    *,
    num_codes: int,
    drawing: Drawing,
    image: Tensor | None = None,
) -> Tensor:
    """Generate the codes of a square of ``grid`` x ``grid``, which the model is set up for.

    Args:
        model: in evaluation mode; its ``code_image_size`` fixes the grid (`code_image_size`).
        vocabulary: the one it was trained with.
        instruction: text of the source.
        num_codes: codes of the image tokenizer; no other is generated.
        drawing: how codes are chosen.
        image: (3, H, W) pixels of the source's image.

    Returns:
        (samples, grid^2) of int64, most probable first.

    Raises:
        ConfigError: the vocabulary is not the model's.
        VocabularyError: it has fewer codes than the tokenizer.
        DataError: the instruction is too long.
    """
    config = model.config
    if len(vocabulary) != config.vocab_size:
        raise ConfigError(
            f"the vocabulary has {len(vocabulary)} entries, the model {config.vocab_size}; give "
            "the vocabulary that the model was trained with"
        )
    vocabulary.require_codes(num_codes, "the image tokenizer")
    ids = [vocabulary.bos, *vocabulary.encode_text(f" {instruction}"), vocabulary.eos]
    if len(ids) > config.max_positions:
        raise DataError(
            f"the text has {len(ids)} tokens, the model {config.max_positions} positions; give a "
            "shorter one"
        )
    grid = grid_of(model)
    device = next(model.parameters()).device
    inputs: dict[str, Tensor | None] = {"src_tokens": torch.tensor([ids], device=device)}
    if image is not None:
        inputs["patch_images"] = image[None].to(device)
        inputs["patch_masks"] = torch.ones(1, dtype=torch.bool, device=device)
    first = vocabulary.codes.start
    found = generate(
        model,
        inputs,
        config=drawing.config(grid**2),
        allowed_ids=torch.arange(first, first + num_codes, device=device),
        code_targets=True,
        bos=vocabulary.bos,
        eos=vocabulary.eos,
    )
    return torch.stack([hypothesis.tokens[:-1] for hypothesis in found[0]]) - first


def generate_image(
    model: BiomedGPT,
    vocabulary: Vocabulary,
    tokenizer: ImageTokenizer,
    text: str,
    *,
    drawing: Drawing | None = None,
) -> Tensor:
    """Draw what a text describes.

    Args:
        model, vocabulary: see `generate_codes`.
        tokenizer: makes pixels of codes.
        text: the description.
        drawing: how codes are chosen; drawn from the 50 most probable by default.

    Returns:
        (samples, 3, H, W) pixels in [-1, 1], most probable first.
    """
    grid = grid_of(model)
    codes = generate_codes(
        model,
        vocabulary,
        IMAGE_GENERATION.around(text),
        num_codes=tokenizer.num_codes,
        drawing=drawing or FROM_TEXT,
    )
    return tokenizer.decode(codes, (grid, grid)).cpu()


def infill(
    model: BiomedGPT,
    vocabulary: Vocabulary,
    tokenizer: ImageTokenizer,
    image: Image.Image,
    *,
    image_size: int | None = None,
    drawing: Drawing | None = None,
) -> Infilled:
    """Hide the centre half of an image and let the model fill it in.

    Args:
        model, vocabulary: see `generate_codes`.
        tokenizer: makes pixels of codes.
        image: any RGB image; it is resized to a square.
        image_size: pixels along the side of the model's input in training; by default the size at
            which the model's codes fill the middle exactly.
        drawing: how codes are chosen; greedy by default.
    """
    grid = grid_of(model)
    size = 2 * grid * tokenizer.downsampling if image_size is None else image_size
    original = torch.from_numpy(preprocess(image, size))
    masked = hide_middle(original)
    codes = generate_codes(
        model,
        vocabulary,
        INFILLING.before,
        num_codes=tokenizer.num_codes,
        drawing=drawing or Drawing(),
        image=masked,
    )
    return Infilled(original, masked, fill(original, codes, tokenizer), codes.cpu())


def fill(original: Tensor, codes: Tensor, tokenizer: ImageTokenizer) -> Tensor:
    """Return (3, H, W) pixels with the centre half from (N, n) codes: (N, 3, H, W)."""
    filled = original.repeat(len(codes), 1, 1, 1)
    grid = math.isqrt(codes.shape[1])
    middle = tokenizer.decode(codes, (grid, grid)).cpu()
    hole = centre(filled)
    if middle.shape != hole.shape:  # the codes are of another resolution than the model's input
        middle = F.interpolate(middle, hole.shape[2:], mode="bilinear", antialias=True)
    hole.copy_(middle)
    return filled
