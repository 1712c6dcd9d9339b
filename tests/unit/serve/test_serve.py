"""Serving the page: who may ask for what, what is left behind, how the command begins and ends."""

import asyncio
import random
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

import biomedgpt
from biomedgpt.cli import main as cli
from biomedgpt.data.imaging.addresses import png
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.serve import pictures, server
from biomedgpt.serve.menu import CHOICES, Menu, PageQuestion, page_tasks, split_lines
from biomedgpt.serve.model_card import ModelCard
from biomedgpt.serve.sessions import Sessions
from biomedgpt.tasks import SKILLS, TASKS

httpx = pytest.importorskip("httpx", reason="needs the serve extra")
pytest.importorskip("gradio", reason="needs the serve extra")

from page_samples import StandIn, ask, free_port, served, write_tiny  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def called() -> list[str]:
    """Addresses that this process connected to."""
    return []


@pytest.fixture(scope="module")
def site(called):
    with pytest.MonkeyPatch.context() as patch:
        connect = socket.socket.connect

        def watch(self, address):
            if self.family in (socket.AF_INET, socket.AF_INET6):
                called.append(address[0])
            return connect(self, address)

        patch.setattr(socket.socket, "connect", watch)
        patch.setenv("GRADIO_ALLOWED_PATHS", "/")  # a setting of somebody's other pages
        patch.setenv("GRADIO_SHARE", "True")
        with served(StandIn()) as found:
            yield found


# What can be asked


def test_tasks_are_offered_that_the_model_was_trained_for():
    menu = Menu.of("vqa", draws=False)
    assert [task.name for task in menu.first] == ["vqa"]
    others = {task.name for task in menu.others}
    assert {"captioning", "grounding", "summarization"} <= others
    assert not {"image_generation", "mortality", "vqa"} & others
    assert menu.find("Find a region").name == "grounding"
    with pytest.raises(DataError, match="no such task"):
        menu.find("Draw an image")
    pretrained = Menu.of(None, draws=True)
    assert len(pretrained.first) == 10
    assert pretrained.others == ()
    assert "mortality" in {task.name for task in Menu.of("mortality", draws=False).first}


def test_every_task_of_the_project_has_its_place_on_the_page():
    shown = page_tasks()
    assert {task.name for task in shown} == {*TASKS, *SKILLS}
    assert len({task.entry.title for task in shown}) == len(shown)


def page_task(name):
    return next(task for task in page_tasks() if task.name == name)


@pytest.mark.parametrize(
    ("name", "texts", "message"),
    [
        ("vqa", {"question": "what?"}, "no image yet"),
        ("summarization", {"source": "x" * 20_001}, "20,001 characters"),
        ("question_answering", {"question": "x", "options": "a"}, "at least two"),
        (
            "question_answering",
            {"question": "x", "options": "\n".join(map(str, range(1001)))},
            "1,001",
        ),
    ],
)
def test_what_is_missing_is_said(name, texts, message):
    with pytest.raises(DataError, match=message):
        page_task(name).check(PageQuestion(texts=texts))


def test_what_is_missing_beside_an_image_is_said():
    image = Image.new("RGB", (9, 9))
    with pytest.raises(DataError, match="Question is empty"):
        page_task("vqa").check(PageQuestion(image=image, texts={"question": "  "}))
    with pytest.raises(DataError, match="box is not complete"):
        page_task("region_captioning").check(PageQuestion(image=image))


def test_lines_become_choices():
    assert split_lines(" a \n\nb\r\na\n") == ("a", "b")


def test_all_tasks_reach_a_real_model(checkpoint):
    model = biomedgpt.load(checkpoint, device="cpu")
    one = pictures.examples()[0]

    def question(task, *, image):
        texts = {name: "a\nb" if name in CHOICES else "a" for name in task.entry.fields}
        return PageQuestion(image=image, texts=texts, box=one.box)

    for task in Menu.of("vqa", draws=False).first + Menu.of(None, draws=False).first:
        images = [one.picture.image] if task.image == "required" else [None]
        images += [one.picture.image] if task.image == "optional" else []
        for image in images:
            asked = question(task, image=image)
            task.check(asked)
            found = task.ask(model, asked)
            (result,) = found if isinstance(found, list) else [found]
            assert isinstance(result.text, str)
            if task.name == "question_answering":
                assert result.text in ("a", "b")
    for name in ("trial_matching", "treatment_suggestion", "mortality"):
        with pytest.raises(ConfigError, match="this checkpoint brings none"):
            page_task(name).ask(model, question(page_task(name), image=None))


def all_questions():
    """Everything that the page can ask a model of free text or of answers, twice with images."""
    for task in Menu.of("vqa", draws=False).first + Menu.of(None, draws=False).first:
        for one, words in zip(
            pictures.examples(), ("a", "a nodule?", "left or right b"), strict=True
        ):
            texts = {name: "a\nb" if name in CHOICES else words for name in task.entry.fields}
            images = [one.picture.image] if task.image == "required" else [None]
            images += [one.picture.image] if task.image == "optional" else []
            for image in images:
                yield task, PageQuestion(image=image, texts=texts, box=one.box)


def test_many_at_once_are_answered_as_each_alone(checkpoint):
    model = biomedgpt.load(checkpoint, device="cpu")
    asked = list(all_questions())
    alone = [task.ask(model, question).to_dict() for task, question in asked]
    sizes = []
    run = model.engine.run
    model.engine.run = lambda queries: (sizes.append(len(queries)), run(queries))[1]
    busy, go = Event(), Event()
    with model.shared(), ThreadPoolExecutor(len(asked) + 1) as threads:
        threads.submit(model._batcher.alone, lambda: (busy.set(), go.wait()))
        busy.wait()
        found = [threads.submit(task.ask, model, question) for task, question in asked]
        wait_for(lambda: len(model._batcher._waiting) == len(asked))
        go.set()
        together = [one.result().to_dict() for one in found]
    assert max(sizes) > 2
    assert sum(sizes) == len(asked) > len(sizes)
    for one, other in zip(together, alone, strict=True):
        numbers = [
            [answer.pop("score"), answer.pop("probability")]
            + [alternative.pop("probability") for alternative in answer["alternatives"]]
            for answer in (one, other)
        ]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)
        assert one == other


def test_the_card_says_what_is_known(checkpoint):
    card = ModelCard.of(biomedgpt.load(checkpoint, device="cpu").checkpoint)
    facts = dict(card.facts)
    assert facts["Model"] == "tiny"
    assert re.fullmatch(r"nano, \d\.\d million parameters", facts["Size"])
    assert facts["Licence of the weights"] == "CC0"
    assert facts["Expected score"] == "vqa score 0.716"
    assert facts["Calibration"] == "temperature 1.25, ece 0.02"
    assert (card.task, card.answers, card.notes) == ("vqa", ("yes", "no"), ("Made for a test.",))


# Pictures


def test_boxes_are_drawn_where_they_are():
    drawn = pictures.draw_boxes(Image.new("RGB", (64, 32)), [(16, 8, 48, 24)])
    assert drawn.size == (512, 256)
    assert drawn.getpixel((127, 128)) == pictures.BOX_COLOUR
    assert drawn.getpixel((256, 128)) == (0, 0, 0)
    assert pictures.draw_boxes(Image.new("RGB", (2000, 1)), []).size == (512, 1)


@pytest.mark.parametrize("name", ["../../x.png", "..", "", "a/b\\c.png", "\0", "\u2603" * 300])
def test_no_name_of_a_file_leads_out_of_the_folder(tmp_path, name):
    data = png(Image.new("RGB", (9, 9)))
    found = pictures.Picture.read(name, data, folder=tmp_path)
    assert found.image.size == (9, 9)
    assert list(tmp_path.iterdir()) == []


def test_examples_can_be_asked_about():
    found = pictures.examples()
    assert [one.title for one in found] == ["head", "chest", "abdomen"]
    for one in found:
        assert one.question.endswith("?")
        assert one.phrase
        assert one.box[0] < one.box[2] <= one.picture.image.width


# Sessions


def picture_of(size):
    return pictures.Picture(name="x", image=Image.new("L", (size, 1)))


@pytest.mark.parametrize("seed", range(20))
def test_a_session_keeps_its_picture_until_memory_is_short(seed):
    draw = random.Random(seed)
    sessions = Sessions(size=100)
    kept: dict[str, pictures.Picture] = {}  # the one used last comes last
    for _ in range(200):
        session = draw.choice("abcdefghijklmnopqrstuvwxyz")
        before = kept.pop(session, None)
        if draw.random() < 0.5:
            assert sessions.find(session) is before
            kept |= {session: before} if before else {}
        elif draw.random() < 0.8:
            kept[session] = picture_of(draw.randint(1, 150))
            sessions.keep(session, kept[session])
            while len(kept) > 1 and sum(one.size for one in kept.values()) > 100:
                del kept[next(iter(kept))]
        else:
            sessions.keep(session, None)
        assert len(sessions) == len(kept)


def test_pictures_of_visitors_who_are_away_are_forgotten():
    sessions = Sessions(age=0.05)
    sessions.keep("a", picture_of(1))
    wait_for(lambda: len(sessions) == 0)  # though nobody asks for anything
    assert sessions.find("a") is None


# Who may ask for what


def test_the_page_is_served_and_calls_nobody(site, called):
    address, _ = site
    answer = httpx.get(address)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert called
    assert set(called) == {"127.0.0.1"}


@pytest.mark.parametrize(
    "path",
    [
        *("monitoring", "gradio_api/info", "gradio_api/runs", "gradio_api/vibe-code", "docs"),
        *("gradio_api/process_recording", "gradio_api/proxy=http://127.0.0.1/", "login", "mcp"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(site, path):
    assert httpx.get(site[0] + path).status_code == 404
    assert httpx.post(site[0] + path).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "%2Fetc%2Fpasswd", __file__, "../../etc/passwd", "http://127.0.0.1:9/x"],
)
def test_local_files_cannot_be_read(site, path):
    answer = httpx.get(f"{site[0]}gradio_api/file={path}")
    assert answer.status_code in {403, 404}
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:9/x", None, ["x"], "\0"])
def test_a_form_cannot_name_a_file_that_was_not_uploaded(site, path):
    for data in ({"path": path}, [{"value": {"path": path, "url": "x"}}]):
        answer = ask(site[0], {"data": [data], "fn_index": 0, "session_hash": "a"})
        assert answer.status_code == 403


def test_other_pages_and_other_names_are_refused(site):
    address, _ = site
    form = {"data": [None], "fn_index": 0, "session_hash": "a"}
    assert ask(address, form, origin="http://example.org").status_code == 403
    assert ask(address, form, origin="null").status_code == 403
    assert httpx.get(address, headers={"host": "example.org"}).status_code == 403
    own = address.rstrip("/").replace("http://", "")
    assert httpx.get(address, headers={"host": own}).status_code == 200
    localhost = own.replace("127.0.0.1", "localhost")
    assert httpx.get(address, headers={"host": localhost}).status_code == 200


def test_requests_that_are_too_large_are_refused(site):
    address, _ = site
    form = {"data": ["x" * (2 << 20)], "fn_index": 0, "session_hash": "a"}
    assert ask(address, form).status_code == 413
    assert httpx.post(f"{address}gradio_api/queue/join", content=b"no json").status_code == 403


def test_images_are_refused_before_they_are_sent_when_too_many_wait(tmp_path):
    scope = {"type": "http", "method": "POST", "headers": [(b"host", b"localhost")]}
    gate = server.Gate(None, local=True, folder=tmp_path, full=lambda: True)  # type: ignore[arg-type]
    assert gate._judge(scope | {"path": "/gradio_api/upload"}) == 503
    assert gate._judge(scope | {"path": "/gradio_api/queue/join"}) == 0


def test_a_gate_open_to_others_takes_any_name(tmp_path):
    gate = server.Gate(None, local=False, folder=tmp_path)  # type: ignore[arg-type]
    scope = {"type": "http", "path": "/", "method": "GET", "headers": [(b"host", b"example.org")]}
    assert gate._judge(scope) == 0
    for length in (b"99999999999", b"-1", b"many"):
        assert gate._judge(scope | {"headers": [(b"content-length", length)]}) == 413
    assert server.Gate(None, local=True, folder=tmp_path)._judge(scope) == 403  # type: ignore[arg-type]


def test_uploads_that_nobody_read_are_swept_away(tmp_path):
    served, sent = tmp_path / "served", tmp_path / "sent"
    for folder in (served, sent):
        folder.mkdir()
        (folder / "scan.png").write_bytes(b"x")
    with server.sweeping(served, age=0.01):
        sent.rename(served / "sent")
        wait_for(lambda: not (served / "sent").exists())
    assert (served / "scan.png").exists()  # an example, there before


@pytest.mark.parametrize("length", [1, 7, 1000])
def test_uploads_of_one_content_are_files_of_their_own(tmp_path, length):
    form = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\npixels\r\n--x--'
    )
    parts = [form[start : start + length] for start in range(0, len(form), length)]

    async def sent():
        body = parts.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(parts)}

    async def read():
        receive, found = server._salted(sent), b""
        while parts:
            found += (await receive())["body"]
        return found

    head, _, rest = asyncio.run(read()).partition(b"\r\n\r\n")
    content, end, _ = rest.partition(b"\r\n--x--")
    assert head == form.partition(b"\r\n\r\n")[0]
    assert end
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.png").write_bytes(content)
    file = {"path": str(tmp_path / "f" / "a.png")}
    assert server.read_upload(file, tmp_path) == ("a.png", b"pixels")
    assert list(tmp_path.iterdir()) == []
    for gone in (file, None, "x", {"path": None}, {"path": "/etc/passwd"}):
        with pytest.raises(DataError, match="drop it again"):
            server.read_upload(gone, tmp_path)


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


# The command


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("10.0.0.1", False), ("example.org", False), ("", False)),
    ],
)
def test_which_addresses_are_this_machine_only(host, local):
    assert server.is_local(host) is local


def test_a_taken_port_is_one_line(capsys, checkpoint):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert cli.main(["serve", "--checkpoint", str(checkpoint), "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert said == (
        f"error: port {port} of 127.0.0.1 cannot be used (Address already in use); give another "
        "with --port\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "0"], "--port must be between 1 and 65535"),
        (["--port", "70000"], "--port must be between 1 and 65535"),
        (["--host", "no such host"], "--host no such host"),
        (["--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_bad_options_are_one_line(words, message, capsys):
    port = [] if "--port" in words else ["--port", str(free_port())]
    assert cli.main(["serve", "--checkpoint", "nowhere", *port, *words]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_without_gradio_it_is_said_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert cli.main(["serve", "--checkpoint", "x"]) == 1
    assert 'pip install "biomedgpt[serve]"' in capsys.readouterr().err
