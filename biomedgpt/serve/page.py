"""The page itself: what stands where, and what happens when something is pressed.

Nothing of a visitor is kept but his image, in memory, until he takes another, closes the page or is
away for long; see `sessions`. What one visitor does is done in its order; what several do is done
side by side, and what they ask at nearly the same time the model answers together.
"""

import logging
import math
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread

from biomedgpt.data.imaging.addresses import png_uri
from biomedgpt.data.imaging.boxes import Box
from biomedgpt.errors import BiomedGPTError, DataError, user_message
from biomedgpt.serve import words
from biomedgpt.serve.menu import CHOICES, MAX_CHARACTERS, Menu, PageQuestion, PageTask
from biomedgpt.serve.model_card import ModelCard
from biomedgpt.serve.pictures import Picture, draw_boxes, examples, shown_uri
from biomedgpt.serve.server import MAX_FILE_SIZE, MAX_WAITING, read_upload
from biomedgpt.serve.sessions import Sessions

if TYPE_CHECKING:  # torch takes seconds to import
    from biomedgpt.inference import Predictor, Result

AT_ONCE = 16
"""Questions and images that are worked on; the others wait and are shown their place."""
_EXPIRED = (
    "The image has expired: it is forgotten after a while without a question, or when very many "
    "are kept; drop it again."
)
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
        self.sessions = Sessions()
        self._threads = CapacityLimiter(AT_ONCE)

    # What stands where

    def build(self) -> Any:
        """Return the page as Gradio's blocks."""
        gr = self.gr
        with gr.Blocks(title="BiomedGPT", analytics_enabled=False) as page:
            gr.HTML(words.header(self.card))
            # Whether an image is shown: so much of it is the browser's, the rest `sessions` has.
            self.taken = gr.Checkbox(visible=False)
            with gr.Row():
                with gr.Column(min_width=280):
                    self._build_question()
                with gr.Column(min_width=280):
                    self._build_answer()
            self._connect(page)
        page.queue(max_size=MAX_WAITING, default_concurrency_limit=AT_ONCE)
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
            most = f"at most {MAX_FILE_SIZE // 2**20} MB"
            self.file = gr.File(label=f"Image: PNG, JPEG, TIFF, DICOM or NIfTI, {most}", height=150)
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

    def _connect(self, page: Any) -> None:
        gr = self.gr
        result_parts = [self.answer, self.alternatives]
        image_parts = [
            *(self.taken, self.shown, self.frame, self.forget, self.file, *self.edges),
            *result_parts,  # an answer must not stay beside another image
        ]
        task_parts = [self.image_group, *self.texts, self.box_row, *result_parts]

        def in_turn(work: Callable[..., list[Any]]) -> Any:
            """Return the function that Gradio calls: after what the session asked for before."""

            async def act(request: Any, *given: Any) -> list[Any]:
                async with self.sessions.turn(request.session_hash):
                    return await to_thread.run_sync(
                        work, request.session_hash, *given, limiter=self._threads
                    )

            act.__annotations__["request"] = gr.Request
            act.__name__ = work.__name__
            return act

        async def take_example(task: str, event: Any, request: Any) -> list[Any]:
            return await in_turn(self._take_example)(request, task, event.index)

        def leave(request: Any) -> None:
            self.sessions.keep(request.session_hash, None)

        # Gradio gives an argument of these types what was selected, and who asks.
        take_example.__annotations__.update(event=gr.SelectData, request=gr.Request)
        leave.__annotations__["request"] = gr.Request

        # Without Gradio's preprocessing, which would look up in a state of its own what was
        # offered, leave an empty file for each upload, and hand over in another order.
        common = {"api_visibility": "private", "preprocess": False}
        quiet = common | {"show_progress": "hidden"}
        ordered = common | {"concurrency_id": "model", "concurrency_limit": AT_ONCE}
        self.file.upload(in_turn(self._receive), self.file, image_parts, **ordered)
        self.gallery.select(take_example, self.task, [*image_parts, self.texts[0]], **ordered)
        gr.on(
            [self.frame.submit, self.frame.blur],
            in_turn(self._choose_frame),
            [self.taken, self.frame],
            image_parts,
            **ordered,
        )
        self.forget.click(in_turn(self._forget), None, image_parts, **ordered)
        self.all_tasks.change(self._offer, [self.all_tasks, self.task], self.task, **quiet)
        self.task.change(self._choose_task, self.task, task_parts, **quiet)
        gr.on(
            [self.button.click, *(text.submit for text in self.texts)],
            in_turn(self._ask),
            [self.task, self.taken, *self.texts, *self.edges],
            result_parts,
            scroll_to_output=True,
            **ordered,
        )
        page.unload(leave)

    def _receive(self, session: str, file: Any) -> list[Any]:
        """Take an uploaded file into memory and delete it."""
        self.sessions.keep(session, None)
        if file is None:
            return self._image_parts(None)
        try:
            name, data = read_upload(file, self.folder)
            picture = Picture.read(name, data, folder=self.folder)
        except Exception as error:
            return self._image_parts(None, error=_line(error))
        return self._take(session, picture)

    def _take(self, session: str, picture: Picture | None, **options: Any) -> list[Any]:
        self.sessions.keep(session, picture)
        return self._image_parts(picture, **options)

    def _forget(self, session: str) -> list[Any]:
        return self._take(session, None)

    def _take_example(self, session: str, title: str, number: int) -> list[Any]:
        one = self.examples[int(number)]
        parts = self._take(session, one.picture, box=one.box)
        asks = {"question": one.question, "instruction": one.question, "phrase": one.phrase}
        first = next(iter(self.menu.find(title).entry.fields), "")
        return [*parts, self.gr.update(value=asks[first]) if first in asks else self.gr.skip()]

    def _choose_frame(self, session: str, taken: bool, frame: float | None) -> list[Any]:
        picture = self.sessions.find(session)
        if picture is None and taken:
            return self._image_parts(None, error=_EXPIRED)
        if picture is None or frame is None or frame == picture.frame:
            return [self.gr.skip() for _ in self._image_parts(None)]
        try:
            return self._take(session, picture.at(int(frame), folder=self.folder))
        except Exception as error:
            return self._image_parts(picture, error=_line(error))

    def _image_parts(
        self, picture: Picture | None, *, error: str = "", box: Sequence[float] | None = None
    ) -> list[Any]:
        """Return what all parts that have to do with the image show, in the order of `_connect`."""
        update = self.gr.update
        if picture is None:
            hidden = update(value=None, visible=False)
            parts = [False, words.error(error), hidden, update(visible=False), None]
            return [*parts, *[None] * len(_EDGES), *self._results()]
        width, height = picture.image.size
        caption = f"{picture.name}, {width} x {height} pixels"
        shown = words.picture(shown_uri(picture.image), "The image", caption)
        around = box or (width / 4, height / 4, width * 3 / 4, height * 3 / 4)
        return [
            True,
            words.error(error) + shown,
            update(value=picture.frame, visible=picture.frames),
            update(visible=True),
            None,
            *map(round, around),
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

    def _ask(self, session: str, title: str, taken: bool, *texts_and_edges: Any) -> list[Any]:
        """Put the question to the model."""
        texts = texts_and_edges[: -len(_EDGES)]
        edges: Any = texts_and_edges[-len(_EDGES) :]
        try:
            _check_form(texts, edges)
            task = self.menu.find(title)
            picture = None if task.image == "none" else self.sessions.find(session)
            if picture is None and taken and task.image != "none":
                raise DataError(_EXPIRED)
            box: Box | None = None if None in edges else edges
            asked = PageQuestion(
                image=None if picture is None else picture.image,
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
            drawn = words.picture(
                shown_uri(picture, boxes), f"The image with a box: {where}", where, large=True
            )
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


def _check_form(texts: Sequence[Any], edges: Sequence[Any]) -> None:
    """Raise a DataError where fields hold what the page puts into none."""
    if not all(text is None or isinstance(text, str) for text in texts) or not all(
        edge is None or (isinstance(edge, int | float) and math.isfinite(edge)) for edge in edges
    ):
        raise DataError("A field holds neither text nor a number; load the page again.")
