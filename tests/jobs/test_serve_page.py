"""The page in a browser: upload, ask, read the answer, see boxes and errors."""

import io
import os
import shutil
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="needs the serve extra")
httpx = pytest.importorskip("httpx", reason="needs the serve extra")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

from page_samples import CARD, SECRET, StandIn, ask, served, write_tiny  # noqa: E402

import biomedgpt  # noqa: E402
from biomedgpt.inference import Result  # noqa: E402
from biomedgpt.serve.model_card import ModelCard  # noqa: E402
from biomedgpt.serve.page import AT_ONCE  # noqa: E402
from biomedgpt.serve.pictures import BOX_COLOUR  # noqa: E402
from biomedgpt.serve.server import MAX_FILE_SIZE  # noqa: E402

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
NARROW = {"width": 375, "height": 667}
DESKTOP = {"width": 1200, "height": 800}


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(found).exists():
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def model():
    return StandIn()


@pytest.fixture(scope="module")
def server(model):
    with served(model) as found:
        yield found


class Visit:
    """The page in a tab, and all that it said and asked for behind the scenes."""

    def __init__(self, browser, address, viewport, scheme="light"):
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(60_000)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        self.tab.goto(address)
        self.button.wait_for()

    @property
    def button(self):
        return self.tab.get_by_role("button", name="Ask", exact=True)

    def upload(self, name, data):
        self.tab.locator("input[type=file]").first.set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": data}
        )

    def drop_image(self, name="scan.png", data=None):
        self.upload(name, picture() if data is None else data)
        self.tab.get_by_text(f"{name}, ").wait_for()

    def choose(self, title):
        self.tab.get_by_label("Task", exact=True).click()
        self.tab.get_by_role("option", name=title, exact=True).click()

    def ask(self):
        self.button.click()

    def alert(self):
        found = self.tab.get_by_role("alert")
        found.wait_for()
        return found.inner_text()


@pytest.fixture
def visit(browser, server):
    visits = []

    def open_page(viewport=DESKTOP, scheme="light"):
        visits.append(Visit(browser, server[0], viewport, scheme))
        return visits[-1]

    yield open_page
    for one in visits:
        one.context.close()
        assert one.errors == []
        host = server[0].rstrip("/")
        assert [url for url in one.requests if not url.startswith((host, "data:", "blob:"))] == []


def picture(size=(64, 64), colour=(40, 80, 120), form="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form, **options)
    return file.getvalue()


def files_below(folder: Path) -> list[str]:
    """Return the files that hold something."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def test_upload_ask_and_read_the_answer(visit, server, model):
    page = visit()
    page.drop_image()
    page.tab.get_by_label("Question").fill("what is it?")
    page.ask()
    answer = page.tab.locator(".answer")
    answer.wait_for()
    assert answer.inner_text() == "a <b>nodule</b> of ${1 + 1} mm"  # as text, not as a program
    assert model.asked[-1] == ("vqa", (64, 64), (40, 80, 120), "what is it?")
    status = page.tab.get_by_role("status").filter(has=answer).inner_text()
    assert "Probability 70%, calibrated on validation data" in status
    assert "The text repeats itself" in status
    bars = page.tab.get_by_role("meter")
    assert bars.count() == 3
    assert [bars.nth(i).get_attribute("aria-label") for i in (1, 2)] == ["cyst", "none"]
    assert page.tab.get_by_role("button", name="cyst 20%").is_visible()
    # Nothing of the visitor lies about: the examples alone are files.
    assert files_below(server[1].folder) == ["image.png"] * 3
    # The second question is about the same image, and Enter asks it.
    page.tab.get_by_label("Question").fill("and where?")
    page.tab.get_by_label("Question").press("Enter")
    deadline_met(lambda: model.asked[-1][-1] == "and where?", page)


def deadline_met(condition, page):
    for _ in range(200):
        if condition():
            return
        page.tab.wait_for_timeout(50)
    raise AssertionError("not within ten seconds")


def test_a_found_box_is_drawn_on_the_image(visit):
    page = visit()
    page.choose("Find a region")
    page.drop_image()
    page.tab.get_by_label("What to find").fill("the dark part")
    page.ask()
    shown = page.tab.get_by_alt_text("The image with a box: left 16, top 24, right 48, bottom 56")
    shown.wait_for()
    pixels = np.asarray(Image.open(io.BytesIO(shown.screenshot())).convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    yellow = np.abs(pixels - BOX_COLOUR).sum(-1) < 60
    rows, columns = np.nonzero(yellow)
    found = [columns.min() / width, rows.min() / height, columns.max() / width, rows.max() / height]
    assert np.allclose(found, [0.25, 0.375, 0.75, 0.875], atol=0.02)
    assert not yellow[height * 5 // 8, width // 2]  # the box is an outline
    assert np.abs(pixels[height // 8, width // 8] - (40, 80, 120)).max() < 3


def test_an_example_can_be_asked_about_with_the_keyboard_alone(visit, model):
    page = visit()
    example = page.tab.get_by_role("button", name="Thumbnail 2 of 3")
    example.focus()
    page.tab.keyboard.press("Enter")
    page.tab.get_by_text("example: chest, x-ray, 96 x 96 pixels").wait_for()
    assert page.tab.get_by_label("Question").input_value() == "what kind of lesion is shown?"
    page.button.focus()
    page.tab.keyboard.press("Enter")
    page.tab.locator(".answer").wait_for()
    assert model.asked[-1][1] == (96, 96)
    page.tab.get_by_role("button", name="Remove the image").click()
    page.tab.locator(".answer").wait_for(state="detached")  # it was about that image
    page.ask()
    assert page.alert() == "There is no image yet; drop one, or take an example."


def test_a_box_is_given_in_pixels(visit, model):
    page = visit()
    page.choose("Describe a region")
    page.drop_image()
    assert page.tab.get_by_label("Right (pixels)").input_value() == "48"
    page.tab.get_by_label("Left (pixels)").fill("8")
    page.ask()
    page.tab.locator(".answer").wait_for()
    assert model.asked[-1] == ("region_captioning", (64, 64), (8, 16, 48, 48))
    page.tab.get_by_alt_text("The image with a box: left 8, top 16, right 48").wait_for()
    page.tab.get_by_label("Right (pixels)").fill("100")
    page.ask()
    assert page.alert() == "Box: it reaches out of the image; fix it"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("notes.txt", b"hello", "notes.txt"),
        ("scan.png", picture()[:60], "scan.png"),
        ("scan.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 40, "scan.dcm"),
        ("empty.png", b"", "empty.png"),
    ],
)
def test_a_file_that_is_no_image_is_one_line(visit, server, name, data, message):
    page = visit()
    page.upload(name, data)
    said = page.alert()
    assert message in said
    assert "\n" not in said
    assert "Traceback" not in said
    assert str(server[1].folder) not in said
    assert files_below(server[1].folder) == ["image.png"] * 3


def test_what_is_missing_is_one_line(visit, model, capfd):
    page = visit()
    page.ask()
    assert page.alert() == "There is no image yet; drop one, or take an example."
    page.drop_image()
    page.ask()
    page.tab.get_by_text("Question is empty; type something like").wait_for()
    page.tab.get_by_label("Question").fill("fail")
    page.ask()
    page.tab.get_by_text("The program failed").wait_for()
    printed = "".join(capfd.readouterr())
    assert "RuntimeError" not in page.tab.inner_text("body")
    assert SECRET not in printed + page.tab.inner_text("body")


def test_an_image_that_has_expired_is_said(visit, server, model):
    page = visit()
    page.drop_image()
    page.tab.get_by_label("Question").fill("what is it?")
    *_, session = server[1].sessions._kept  # the one used last
    server[1].sessions.keep(session, None)
    asked = len(model.asked)
    page.ask()
    assert page.alert().startswith("The image has expired")
    assert len(model.asked) == asked
    page.drop_image()
    page.ask()
    page.tab.locator(".answer").wait_for()


def test_who_waits_sees_his_place(visit, server, model, monkeypatch):
    go = Event()

    def answer_later(image, answers, source):
        go.wait(60)
        return Result(text=source)

    monkeypatch.setattr(model, "_summarization", answer_later)
    page = visit()
    page.choose("Summarize a text")
    page.tab.get_by_label("Text", exact=True).fill("mine")
    config = httpx.get(f"{server[0]}config").json()
    (number,) = (one["id"] for one in config["dependencies"] if one["api_name"] == "_ask")
    form = {"data": ["Summarize a text", None, "a text", "", "", None, None, None, None]}
    for other in range(AT_ONCE + 2):
        ask(server[0], form | {"fn_index": number, "session_hash": f"other{other}"})
    page.ask()
    page.tab.get_by_text("queue: 3/3").first.wait_for()
    go.set()
    page.tab.locator(".answer").get_by_text("mine").wait_for()


def test_limits_are_said_before_an_image_is_sent(visit, monkeypatch):
    page = visit()
    assert page.tab.get_by_text("at most 64 MB").is_visible()
    monkeypatch.setattr("biomedgpt.serve.server.MAX_WAITING", 0)
    page.upload("scan.png", picture())
    page.tab.get_by_text("too many are waiting; try again later").first.wait_for()
    page.errors.clear()  # the browser's own line about the status


def test_tasks_on_text_and_drawing(visit, model):
    page = visit()
    page.choose("Choose between options")
    page.tab.get_by_label("Question").fill("which?")
    page.tab.get_by_label("Options, one per line").fill("a\n b \n\na")
    page.ask()
    page.tab.locator(".answer").wait_for()
    assert model.asked[-1] == ("choose", "which?", ("a", "b"), "", None)
    page.choose("Does a sentence follow?")
    assert page.tab.get_by_label("Image: PNG").count() == 0
    page.tab.get_by_label("First sentence").fill("one")
    page.tab.get_by_label("Does this follow?").fill("two")
    page.ask()
    page.tab.get_by_text("one / two").wait_for()
    page.choose("Draw an image")
    page.tab.get_by_label("What to draw").fill("a square")
    page.ask()
    drawn = page.tab.get_by_alt_text("The drawn image")
    drawn.wait_for()
    pixels = np.asarray(Image.open(io.BytesIO(drawn.screenshot())).convert("RGB")).astype(int)
    assert np.abs(pixels[50, 50] - (0, 128, 255)).max() < 3


def test_a_slice_of_several_can_be_chosen(visit, model):
    page = visit()
    frames = [Image.new("L", (64, 64), shade) for shade in (0, 100, 200)]
    file = io.BytesIO()
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    page.drop_image("stack.tiff", file.getvalue())
    page.tab.get_by_label("Frame or slice").fill("2")
    page.tab.get_by_label("Question").fill("which?")  # leaving the field is enough
    page.ask()
    page.tab.locator(".answer").wait_for()
    assert model.asked[-1][2] == (200, 200, 200)
    page.tab.get_by_label("Frame or slice").fill("9")
    page.tab.get_by_label("Frame or slice").press("Enter")
    assert "no frame 9" in page.alert()


@pytest.mark.parametrize("viewport", [NARROW, DESKTOP], ids=["narrow", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_notice_and_card_are_in_sight_and_legible(visit, viewport, scheme):
    page = visit(viewport, scheme)
    notice = page.tab.get_by_text("Research only, not for clinical use.")
    for part in (notice, *(page.tab.get_by_text(value, exact=True) for _, value in CARD.facts)):
        box = part.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= viewport["height"]
        assert contrast(part) >= 4.5
    assert contrast(page.tab.locator(".facts dt").first) >= 4.5


def contrast(part) -> float:
    """Return the contrast of a text by WCAG, from what is on the screen."""
    pixels = np.asarray(Image.open(io.BytesIO(part.screenshot())).convert("RGB")) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    light = np.sort((linear @ [0.2126, 0.7152, 0.0722]).ravel())
    return (light[-1] + 0.05) / (light[0] + 0.05)


def test_a_narrow_screen_does_not_scroll_sideways(visit):
    page = visit(NARROW)
    page.choose("Find a region")
    page.drop_image(f"{'x' * 90}.png", picture((300, 100)))
    page.tab.get_by_label("What to find").fill("w" * 200)
    page.ask()
    page.tab.locator(".large").wait_for()
    for title in ("Ask about an image", "Describe a region", "Choose between options"):
        page.choose(title)
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_every_control_has_a_name(visit):
    page = visit()
    page.choose("Describe a region")
    page.drop_image()
    nameless = page.tab.evaluate(
        """() => [...document.querySelectorAll('main button, main input, main textarea')]
        .filter(e => e.checkVisibility() && !e.innerText.trim() && !e.ariaLabel && !e.title
                     && !(e.labels && [...e.labels].some(l => l.innerText.trim())))
        .map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.tab.locator("img:not([alt])").count() == 0


def test_a_file_that_is_too_large_is_refused(visit, server, tmp_path):
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_FILE_SIZE + 1)
    page = visit()
    page.tab.locator("input[type=file]").first.set_input_files(tmp_path / "large.png")
    page.tab.get_by_text("exceed the maximum allowed size of 64.0 Mb").first.wait_for()
    page.errors.clear()  # Gradio's script asks for the progress of what it never sent
    assert files_below(server[1].folder) == ["image.png"] * 3


def test_hostile_names_and_contents_are_text(visit):
    page = visit()
    name = "<img src=x onerror=alert(1)>.png"
    dialogs = []
    page.tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.upload(name, picture())
    page.tab.get_by_alt_text("The image").wait_for()
    page.upload(name, b"nothing")
    page.alert()
    assert dialogs == []


@pytest.mark.skipif(os.name != "posix", reason="needs permissions of files")
def test_the_temporary_folder_is_private(server):
    assert server[1].folder.stat().st_mode & 0o077 == 0


def test_a_real_model_answers(browser, tmp_path):
    model = biomedgpt.load(write_tiny(tmp_path / "tiny"), device="cpu")
    card = ModelCard.of(model.checkpoint)
    with served(model, card, trained="vqa", draws=False) as (address, _):
        page = Visit(browser, address, DESKTOP)
        page.tab.get_by_text("vqa score 0.716").wait_for()
        page.tab.get_by_role("button", name="Thumbnail 1 of 3").click()
        page.tab.get_by_text("example: head").wait_for()
        page.ask()
        page.tab.locator(".answer").wait_for()
        assert page.tab.locator(".answer").inner_text() in {"yes", "no"}
        page.tab.get_by_role("meter").nth(1).wait_for(state="attached")
        assert page.tab.get_by_role("meter").count() == 2
        page.tab.get_by_label("Offer tasks the model was not trained for").check()
        page.choose("Find a region")
        page.tab.get_by_label("What to find").fill("nodule")
        page.ask()
        page.tab.get_by_text("The checkpoint was trained for vqa, not for grounding").wait_for()
        page.context.close()
        assert page.errors == []
