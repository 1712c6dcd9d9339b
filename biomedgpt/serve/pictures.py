"""Pictures of the page: what was uploaded, boxes on it, and the examples."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw

from biomedgpt.data.imaging.addresses import jpeg_uri
from biomedgpt.data.imaging.boxes import Box
from biomedgpt.data.imaging.images import open_image
from biomedgpt.data.phantoms.phantom import generate
from biomedgpt.errors import DataError

SHOWN_SIZE = 512
"""Longer side of a picture on the page, in pixels."""
BOX_COLOUR = (255, 214, 0)
"""Of boxes; its dark outline keeps it legible on white."""
_UNSAFE = re.compile(r"[^\w .()+-]")
"""What a name of a file may not hold when it is written."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image that somebody gave, kept in memory only.

    Attributes:
        name: of the file.
        data: the file, where it has several frames.
        image: one frame of it, as the model is given it.
        frames: whether there are several.
        frame: which one was chosen, None for the one shown first.
    """

    name: str
    image: Image.Image
    data: bytes = b""
    frames: bool = False
    frame: int | None = None

    @classmethod
    def read(cls, name: str, data: bytes, *, folder: Path) -> "Picture":
        """Decode a file.

        Args:
            name: of the file.
            data: its content.
            folder: where it may lie while it is decoded: formats are told apart by names, too.

        Raises:
            DataError: it is no image that can be read; the message names it.
        """
        image = _decode(name, data, None, folder)
        try:
            _decode(name, data, 1, folder)
        except DataError:
            return cls(name=name, image=image)
        return cls(name=name, data=data, image=image, frames=True)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self.data) + self.image.width * self.image.height * len(self.image.getbands())

    def at(self, frame: int, *, folder: Path) -> "Picture":
        """Return another frame of the same file; DataError when there is no such one."""
        return replace(self, frame=frame, image=_decode(self.name, self.data, frame, folder))


def _decode(name: str, data: bytes, frame: int | None, folder: Path) -> Image.Image:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / (_UNSAFE.sub("_", name)[-100:].lstrip(".") or "image")
        path.write_bytes(data)
        return open_image(path, where="image", frame=frame)


@dataclass(frozen=True)
class Example:
    """A phantom to try, with something to ask about it."""

    title: str
    picture: Picture
    question: str
    phrase: str
    box: Box


def examples() -> list[Example]:
    """Draw the examples: radiology-like images by our own code, see `biomedgpt.data.phantoms`."""
    found = []
    for index in (6, 34, 11):  # a head, a chest and an abdomen with something to find
        phantom = generate("examples", index, seed=0)
        lesion = phantom.lesions[0]
        image = Image.fromarray(phantom.image).convert("RGB")
        title = f"{phantom.view}, {phantom.modality}"
        asks = [one.text for one in phantom.questions if one.answer == phantom.label]
        found.append(
            Example(
                title=phantom.view,
                picture=Picture(name=f"example: {title}", image=image),
                question=[*asks, phantom.questions[0].text][0],
                phrase=f"{lesion.kind} in the {lesion.height} {lesion.side} part",
                box=lesion.box,
            )
        )
    return found


def shown_uri(image: Image.Image, boxes: Sequence[Box] = ()) -> str:
    """Return an image with boxes as the page shows it; colours keep their full resolution."""
    return jpeg_uri(draw_boxes(image, boxes), quality=95, subsampling=0)


def draw_boxes(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Return a copy of the size that the page shows, with boxes drawn on it.

    Args:
        image: RGB.
        boxes: (x0, y0, x1, y1) in its pixels.
    """
    scale = SHOWN_SIZE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    shown = image.resize(size, Image.Resampling.BICUBIC)
    pencil = ImageDraw.Draw(shown)
    for x0, y0, x1, y1 in boxes:
        left, right = sorted((x0 * scale, x1 * scale))
        top, bottom = sorted((y0 * scale, y1 * scale))
        pencil.rectangle((left - 3, top - 3, right + 3, bottom + 3), outline="black", width=5)
        pencil.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=BOX_COLOUR, width=3)
    return shown
