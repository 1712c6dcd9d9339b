"""The page itself: what stands where, and what happens when something is pressed.

Nothing of a visitor is kept but his image, in memory, until he takes another or has been away for
`FORGET_AFTER` seconds.
"""

import logging
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedgpt.data.imaging.addresses import png_uri
from biomedgpt.data.imaging.boxes import Box
from biomedgpt.errors import BiomedGPTError, DataError, user_message
from biomedgpt.serve import words
from biomedgpt.serve.menu import CHOICES, MAX_CHARACTERS, Menu, PageQuestion, PageTask
from biomedgpt.serve.model_card import ModelCard
from biomedgpt.serve.pictures import Picture, draw_boxes, examples

if TYPE_CHECKING:  # torch takes seconds to import
    from biomedgpt.inference import Predictor, Result

MAX_WAITING = 16
"""Most questions that wait for the model; more are turned away."""
FORGET_AFTER = 1800
"""Seconds after which the image of a visitor is forgotten."""
_NO_ANSWER = "The answer will stand here."
_MAX_ALTERNATIVES = 8
_EDGES = ("Left", "Top", "Right", "Bottom")

_log = logging.getLogger(__name__)


class Page:
    """Builds the page for one model.

    Args:
        gradio: the module; it is optional, and takes seconds to import.
        model: answers the questions.
        card: what is said about it.
        menu: what it can be asked for.
        folder: of temporary files.
    """

    def __init__(
        self, gradio: Any, model: "Predictor", card: ModelCard, menu: Menu, folder: Path
    ) -> None:
        self.gr = gradio
        self.model = model
        self.card = card
        self.menu = menu
        self.folder = folder
        self.examples = examples()

    # What stands where

    def build(self) -> Any:
        """Return the page as Gradio's blocks."""
        gr = self.gr
        with gr.Blocks(title="BiomedGPT", analytics_enabled=False) as page:
            gr.HTML(words.header(self.card))
            self.image = gr.State(None, time_to_live=FORGET_AFTER)
            with gr.Row():
                with gr.Column(min_width=280):
                    self._build_question()
                with gr.Column(min_width=280):
                    self._build_answer()
            self._connect()
        page.queue(max_size=MAX_WAITING, default_concurrency_limit=1)
        return page

    def _build_question(self) -> None:
        gr, first = self.gr, self.menu.first[0]
        self.task = gr.Dropdown(
            [task.entry.title for task in self.menu.first],
            value=first.entry.title,
            label="Task",
            filterable=False,
            visible=True,
        )
        self.all_tasks = gr.Checkbox(
            label="Offer tasks the model was not trained for", visible=bool(self.menu.others)
        )
        with gr.Column(visible=first.image != "none") as self.image_group:
            self.file = gr.File(label="Image: PNG, JPEG, TIFF, DICOM or NIfTI", height=150)
            gr.HTML(words.soft("Or an example, drawn by a program and of no patient:"))
            self.gallery = gr.Gallery(
                [(one.picture.image, one.title) for one in self.examples],
                label="Examples",
                show_label=False,
                elem_id="examples",
                columns=3,
                object_fit="contain",
                allow_preview=False,
                buttons=[],
                interactive=False,
                format="png",
            )
            self.shown = gr.HTML()
            self.frame = gr.Number(
                label="Frame or slice, counted from 0", precision=0, minimum=0, visible=False
            )
            self.forget = gr.Button("Remove the image", size="sm", visible=False)
        self.texts = [
            gr.Textbox(max_length=MAX_CHARACTERS, **self._text(first, place))
            for place in range(self.menu.most_texts)
        ]
        with gr.Row(visible=first.entry.box) as self.box_row:
            self.edges = [
                gr.Number(label=f"{edge} (pixels)", precision=0, minimum=0, min_width=100)
                for edge in _EDGES
            ]
        self.button = gr.Button("Ask", variant="primary")

    def _build_answer(self) -> None:
        gr = self.gr
        self.answer = gr.HTML(words.soft(_NO_ANSWER))
        self.alternatives = gr.Label(
            label="Probability of each answer",
            show_heading=False,
            num_top_classes=_MAX_ALTERNATIVES,
            visible=False,
        )

    def _text(self, task: PageTask, place: int) -> dict[str, Any]:
        """Return what a text field looks like in a task."""
        if place >= len(task.entry.fields):
            return {"visible": False, "value": ""}
        name, one = list(task.entry.fields.items())[place]
        look = {
            "visible": True,
            "label": one.label,
            "placeholder": one.placeholder,
            "lines": one.lines,
        }
        if name in CHOICES and task.name == self.card.task:
            look["value"] = "\n".join(self.card.answers)
        return look

    # What happens

    def _connect(self) -> None:
        gr = self.gr
        result_parts = [self.answer, self.alternatives]
        image_parts = [
            *(self.image, self.shown, self.frame, self.forget, self.file, *self.edges),
            *result_parts,  # an answer must not stay beside another image
        ]
        task_parts = [self.image_group, *self.texts, self.box_row, *result_parts]

        def take_example(task: str, event: Any) -> list[Any]:
            return self._take_example(task, int(event.index))

        # Gradio gives an argument of this type what was selected.
        take_example.__annotations__["event"] = gr.SelectData

        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        # One after the other, so that a question is about the image that was taken before it.
        ordered = {"api_visibility": "private", "concurrency_id": "model", "concurrency_limit": 1}
        self.file.upload(self._receive, self.file, image_parts, **ordered)
        self.gallery.select(take_example, self.task, [*image_parts, self.texts[0]], **ordered)
        gr.on(
            [self.frame.submit, self.frame.blur],
            self._choose_frame,
            [self.image, self.frame],
            image_parts,
            **ordered,
        )
        self.forget.click(lambda: self._image_parts(None), None, image_parts, **ordered)
        self.all_tasks.change(self._offer, [self.all_tasks, self.task], self.task, **quiet)
        self.task.change(self._choose_task, self.task, task_parts, **quiet)
        gr.on(
            [self.button.click, *(text.submit for text in self.texts)],
            self._ask,
            [self.task, self.image, *self.texts, *self.edges],
            result_parts,
            scroll_to_output=True,
            **ordered,
        )

    def _receive(self, path: str | None) -> list[Any]:
        """Take an uploaded file into memory and delete it."""
        if path is None:
            return self._image_parts(None)
        file = Path(path).resolve()
        try:
            if not file.is_relative_to(self.folder.resolve()):
                raise DataError("The file was not uploaded here; drop it again.")
            try:
                data = file.read_bytes()
            finally:
                _delete(file)
            picture = Picture.read(file.name, data, folder=self.folder)
        except Exception as error:
            return self._image_parts(None, error=_line(error))
        return self._image_parts(picture)

    def _take_example(self, title: str, number: int) -> list[Any]:
        one = self.examples[number]
        parts = self._image_parts(one.picture, box=one.box)
        asks = {"question": one.question, "instruction": one.question, "phrase": one.phrase}
        first = next(iter(self.menu.find(title).entry.fields), "")
        return [*parts, self.gr.update(value=asks[first]) if first in asks else self.gr.skip()]

    def _choose_frame(self, picture: Picture | None, frame: float | None) -> list[Any]:
        if picture is None or frame is None or frame == picture.frame:
            return [self.gr.skip() for _ in self._image_parts(None)]
        try:
            return self._image_parts(picture.at(int(frame), folder=self.folder))
        except Exception as error:
            return self._image_parts(picture, error=_line(error))

    def _image_parts(
        self, picture: Picture | None, *, error: str = "", box: Sequence[float] | None = None
    ) -> list[Any]:
        """Return what all parts that have to do with the image show, in the order of `_connect`."""
        update = self.gr.update
        if picture is None:
            hidden = update(value=None, visible=False)
            edges = [update(value=None)] * len(_EDGES)
            parts = [None, words.error(error), hidden, update(visible=False), None, *edges]
            return [*parts, *self._results()]
        width, height = picture.image.size
        caption = f"{picture.name}, {width} x {height} pixels"
        shown = words.picture(png_uri(draw_boxes(picture.image, ())), "The image", caption)
        around = box or (width / 4, height / 4, width * 3 / 4, height * 3 / 4)
        return [
            picture,
            words.error(error) + shown,
            update(value=picture.frame, visible=picture.frames),
            update(visible=True),
            None,
            *(update(value=round(edge)) for edge in around),
            *self._results(),
        ]

    def _offer(self, everything: bool, title: str) -> Any:
        offered = self.menu.first + (self.menu.others if everything else ())
        titles = [task.entry.title for task in offered]
        return self.gr.update(choices=titles, value=title if title in titles else titles[0])

    def _choose_task(self, title: str) -> list[Any]:
        task = self.menu.find(title)
        update = self.gr.update
        return [
            update(visible=task.image != "none"),
            *(update(**self._text(task, place)) for place in range(len(self.texts))),
            update(visible=task.entry.box),
            *self._results(),
        ]

    def _ask(self, title: str, picture: Picture | None, *texts_and_edges: Any) -> list[Any]:
        """Put the question to the model."""
        texts = texts_and_edges[: -len(_EDGES)]
        edges: Any = texts_and_edges[-len(_EDGES) :]
        try:
            task = self.menu.find(title)
            box: Box | None = None if None in edges else edges
            asked = PageQuestion(
                image=None if picture is None or task.image == "none" else picture.image,
                texts={
                    name: text or "" for name, text in zip(task.entry.fields, texts, strict=False)
                },
                box=box,
            )
            task.check(asked)
            found = task.ask(self.model, asked)
        except Exception as error:
            return self._results(error=_line(error))
        result = found[0] if isinstance(found, list) else found
        boxes = result.boxes
        if task.entry.box and box is not None:
            boxes = (*boxes, box)
        return self._results(result, picture=asked.image, boxes=boxes)

    def _results(
        self,
        result: "Result | None" = None,
        *,
        error: str = "",
        picture: Any = None,
        boxes: Sequence[Box] = (),
    ) -> list[Any]:
        """Return what all parts of the answer show, in the order of `_connect`."""
        update = self.gr.update
        if result is None:
            said = words.error(error) or words.soft(_NO_ANSWER)
            return [said, update(value=None, visible=False)]
        drawn, text = "", result.text
        if result.image is not None:
            address = png_uri(draw_boxes(result.image, ()))
            drawn = words.picture(address, "The drawn image", large=True)
        elif boxes and picture is not None:
            where = "; ".join(map(words.box, boxes))
            text = "" if result.boxes else text  # it says the same in brackets
            address = png_uri(draw_boxes(picture, boxes))
            drawn = words.picture(address, f"The image with a box: {where}", where, large=True)
        said = words.answer(text, _confidence(result), map(_sentence, result.warnings))
        bars = _bars(result)
        return [said + drawn, update(value=bars or None, visible=bool(bars))]


def _bars(result: "Result") -> dict[str, float]:
    """Return answers with their probabilities, where there are several."""
    if not result.alternatives:
        return {}
    bars = {} if result.probability is None else {result.text: result.probability}
    for one in result.alternatives:
        bars.setdefault(one.text, one.probability)
    return bars


def _confidence(result: "Result") -> str:
    if result.probability is None or result.boxes:  # that of four exact corners tells little
        return ""
    kind = "calibrated on validation data" if result.calibrated else "not calibrated"
    share = "below 1%" if result.probability < 0.01 else f"{result.probability:.0%}"
    return f"Probability {share}, {kind}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _line(error: Exception) -> str:
    """Return the line that says what went wrong.

    Of a bug, the log says where it is. Its message may hold what the visitor gave, and is left out.
    """
    message = user_message(error)
    if message is None:
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.error("a question failed with %s\n%s", type(error).__name__, where)
        return "The program failed, which is a mistake of its own; its log says where."
    return _sentence(message) if isinstance(error, BiomedGPTError) else "The file cannot be read."


def _delete(file: Path) -> None:
    """Delete an uploaded file, and its folder unless another file came into it."""
    file.unlink(missing_ok=True)
    with suppress(OSError):
        file.parent.rmdir()
