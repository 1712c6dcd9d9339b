"""Answers of text and generated images, as documents to look at."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
from PIL import Image

from biomedgpt.data.imaging.addresses import png, png_uri
from biomedgpt.errors import ConfigError
from biomedgpt.examples.segments import Part
from biomedgpt.files import write_text
from biomedgpt.tasks.dialogue import IMAGE_MARK
from biomedgpt.vqgan.pixels import to_image
from biomedgpt.vqgan.tokenizer import ImageTokenizer

MARKDOWN = "document.md"
"""File of the text in a folder; its images lie beside it."""
HTML_SUFFIXES = (".html", ".htm")
CAPTION = "generated image, not an examination"
_LEAST_SHOWN = 256
"""Pixels along one side below which HTML shows images larger."""

_SPECIAL = re.compile(r"([\\`*_\[\]#|~])")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ max-width: 40rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif;
  color: #1a1a1a; background: #fff }}
h1 {{ font-size: 1.2rem }}
figure {{ margin: 1rem 0 }}
img {{ max-width: 100%; image-rendering: auto }}
figcaption {{ font-size: .85rem; color: #555 }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


@dataclass(frozen=True, kw_only=True)
class Document:
    """An answer of texts and images in their order.

    Attributes:
        instruction: what was asked.
        parts: texts and images.
        warnings: what is odd about the answer, one sentence each.
    """

    instruction: str
    parts: tuple[str | Image.Image, ...]
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """The text, with a mark where there is an image."""
        return " ".join(part if isinstance(part, str) else IMAGE_MARK for part in self.parts)

    @property
    def images(self) -> list[Image.Image]:
        """The images."""
        return [part for part in self.parts if not isinstance(part, str)]

    def alt_text(self, number: int) -> str:
        """Return what stands for an image (counted from 1) where it cannot be seen."""
        return f"Image {number} of {len(self.images)}, generated for: {self.instruction}"

    def markdown(self, names: Sequence[str]) -> str:
        """Return it as Markdown.

        Args:
            names: files of the images.
        """
        blocks = [f"# {_escape(self.instruction)}"]
        numbers = count(1)
        for part in self.parts:
            if isinstance(part, str):
                blocks.append(_escape(part))
                continue
            number = next(numbers)
            blocks.append(f"![{_escape(self.alt_text(number))}]({names[number - 1]})")
            blocks.append(f"*{CAPTION.capitalize()}*")
        return "\n\n".join(blocks) + "\n"

    def html(self) -> str:
        """Return it as one page that holds its images."""
        blocks = []
        numbers = count(1)
        for part in self.parts:
            if isinstance(part, str):
                blocks.append(f"<p>{html.escape(part)}</p>")
                continue
            width = part.width * -(-_LEAST_SHOWN // part.width)  # a whole number of times
            blocks.append(
                f'<figure><img src="{png_uri(part)}" width="{width}" '
                f'alt="{html.escape(self.alt_text(next(numbers)))}">'
                f"<figcaption>{CAPTION.capitalize()}</figcaption></figure>"
            )
        return _PAGE.format(title=html.escape(self.instruction), body="\n".join(blocks))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write it, complete or not at all; return the file to open.

        Args:
            path: a file that ends in .html, or a folder for Markdown with its images beside it.
            overwrite: replace such a document.

        Raises:
            ConfigError: something else is there, or it cannot be written.
        """
        path = Path(path)
        check_output(path, overwrite=overwrite)
        if path.suffix.lower() in HTML_SUFFIXES:
            write_text(path, self.html())
            return path
        # Here, since it takes a while to import all that datasets are written with.
        from biomedgpt.data.prepared.writer import staged_folder

        with staged_folder(path, overwrite=overwrite, marker=MARKDOWN) as staged:
            names = [f"image-{number}.png" for number in range(1, len(self.images) + 1)]
            for name, image in zip(names, self.images, strict=True):
                (staged / name).write_bytes(png(image))
            (staged / MARKDOWN).write_text(self.markdown(names), encoding="utf-8")
        return path / MARKDOWN


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise a ConfigError where a document cannot be written for its name, or something is there.

    What a folder holds is looked at when it is written.
    """
    if path.suffix.lower() in HTML_SUFFIXES:
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} is there already; add --overwrite or give another name")
    elif path.suffix:
        raise ConfigError(
            f"{path}: give a name that ends in .html, or a folder (without such an ending)"
        )


def draw_parts(
    parts: Sequence[Part], tokenizer: ImageTokenizer, *, grid: int
) -> tuple[str | Image.Image, ...]:
    """Return the parts of an answer with images in place of their codes."""
    device = next(tokenizer.network.parameters()).device

    def draw(codes: Sequence[int]) -> Image.Image:
        return to_image(tokenizer.decode(torch.tensor([codes], device=device), (grid, grid))[0])

    return tuple(part if isinstance(part, str) else draw(part) for part in parts)


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
