"""Many visitors of the page at once; `bench/page_load.py` measures the same for minutes."""

import asyncio
import random
import re
from threading import Event

import pytest

httpx = pytest.importorskip("httpx", reason="needs the serve extra")
pytest.importorskip("gradio", reason="needs the serve extra")

from page_samples import StandIn, served, write_tiny  # noqa: E402

import biomedgpt  # noqa: E402
from bench.page_load import Site, Visitor, answers_alone, draw_pictures, load  # noqa: E402
from biomedgpt.serve.model_card import ModelCard  # noqa: E402
from biomedgpt.serve.page import AT_ONCE  # noqa: E402

CLIENTS = 24
"""More than are worked on at once, and more than Gradio would keep the state of."""


def files_below(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    model = biomedgpt.load(write_tiny(tmp_path_factory.mktemp("model") / "tiny"), device="cpu")
    card = ModelCard.of(model.checkpoint)
    with model.shared(), served(model, card, trained="vqa", draws=False) as (address, page):
        yield Site(address), page


@pytest.mark.parametrize("count", [1, 5], ids=["same picture", "different pictures"])
def test_nobody_loses_an_image_or_is_turned_away(site, count):
    asked = draw_pictures(count)
    expected = asyncio.run(answers_alone(site[0], asked))
    done = asyncio.run(load(site[0], asked, expected, clients=CLIENTS, requests=2))
    assert done.lost == {}
    assert len(done.seconds) == 2 * CLIENTS
    # Neither uploads nor what Gradio makes beside them: the examples alone are files.
    assert files_below(site[1].folder) == ["image.png"] * 3


class Patient(StandIn):
    """Answers questions about images by their colour, once it may."""

    def __init__(self):
        super().__init__()
        self.go = Event()

    def _vqa(self, image, answers, question):
        self.go.wait(60)
        return super()._vqa(image, answers, question)


@pytest.fixture
def patient():
    model = Patient()
    with served(model) as (address, page):
        yield model, Site(address), page
        model.go.set()


@pytest.mark.parametrize("seed", range(3))
def test_a_question_is_about_the_image_that_was_taken_before_it(patient, seed):
    """Visitors who take images and ask without waiting for what the page shows."""
    model, site, page = patient
    draw = random.Random(seed)
    visits = {
        f"visitor{number}": [draw.choice([0, 1, 2, None, "ask", "ask"]) for _ in range(8)] + ["ask"]
        for number in range(CLIENTS)
    }
    numbers = {
        one["api_name"]: one["id"]
        for one in httpx.get(f"{site.api.removesuffix('gradio_api/')}config").json()["dependencies"]
    }
    for number, one in enumerate(page.examples):  # told apart by a corner
        one.picture.image.putpixel((0, 0), (number, 0, 0))
    expected = []

    async def visit(client, session, actions):
        current, sent = None, set()
        for place, action in enumerate(actions):
            form = {"session_hash": session}
            if action == "ask":
                question = f"{session} {place}"
                fields = [question, *[""] * (site.fields - 1)]
                form |= {"fn_index": site.ask, "data": ["Ask about an image", current is not None]}
                form["data"] += [*fields, *[None] * 4]
                if current is not None:
                    expected.append((question, current))
            elif action is None:
                form |= {"fn_index": numbers["_forget"], "data": []}
                current = None
            else:
                event = {"index": action, "value": None, "selected": True}
                form |= {"fn_index": numbers["take_example"], "data": ["Ask about an image"]}
                form["event_data"] = event
                current = action
            sent.add((await client.post(f"{site.api}queue/join", json=form)).json()["event_id"])
        model.go.set()  # from here on, most of all this waits in the queue
        address = f"{site.api}queue/data?session_hash={session}"
        async with client.stream("GET", address) as stream:
            async for line in stream.aiter_lines():
                if "process_completed" in line:
                    sent -= set(re.findall(r'"event_id":"(\w+)"', line))
        assert not sent

    async def visit_all():
        async with httpx.AsyncClient(timeout=60) as client:
            await asyncio.gather(*(visit(client, *one) for one in visits.items()))

    asyncio.run(visit_all())
    found = [(question, pixel[0]) for _, _, pixel, question in model.asked]
    assert sorted(found) == sorted(expected)


def test_an_image_is_forgotten_when_its_visitor_leaves(patient):
    model, site, page = patient
    model.go.set()
    ((picture, _),) = draw_pictures(1)

    async def visit():
        async with httpx.AsyncClient(timeout=60) as client:
            visitor = Visitor(site, client)
            async with client.stream("GET", f"{site.api}heartbeat/{visitor.session}"):
                await visitor.question(picture, "what?")
                assert len(page.sessions) == 1
            while len(page.sessions):
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(visit(), 60))
    assert files_below(page.folder) == ["image.png"] * 3


def test_who_waits_is_told_his_place(patient):
    model, site, _ = patient
    ((picture, _),) = draw_pictures(1)

    async def visit():
        async with httpx.AsyncClient(timeout=60) as client:
            visitors = [Visitor(site, client) for _ in range(AT_ONCE + 3)]
            await asyncio.gather(*(one.take(picture) for one in visitors))
            asking = [asyncio.create_task(one.ask("what?")) for one in visitors]
            # More than are worked on at once wait, each at a place.
            while sorted(one.place for one in visitors if one.place is not None) != [0, 1, 2]:
                await asyncio.sleep(0.01)
            model.go.set()
            return await asyncio.gather(*asking)

    assert len(asyncio.run(asyncio.wait_for(visit(), 60))) == AT_ONCE + 3
