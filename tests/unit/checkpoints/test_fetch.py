"""Downloading published checkpoints by name, from a server on this machine."""

import hashlib
import shutil
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import published_files as published
import pytest
import torch

from biomedgpt.checkpoints import download
from biomedgpt.checkpoints.checkpoint import load_checkpoint
from biomedgpt.checkpoints.manifest import MANIFEST, read_manifest
from biomedgpt.cli.main import main
from biomedgpt.errors import BiomedGPTError, CheckpointError, ConfigError
from biomedgpt.locks import locked
from biomedgpt.model import PRESETS, BiomedGPT, preset

CONTENT = bytes(range(256)) * 8000  # two megabytes: several blocks
HASH = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves one content; how is an attribute of the server."""

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if self.path != "/model.pt":
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        known = (None, server.facts.get("ETag"), server.facts.get("Last-Modified"))
        current = self.headers.get("If-Range") in known or not server.compares
        start = 0
        if server.ranges and asked and current:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            end = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end + server.lie}")
        else:
            self.send_response(200)
        if server.length:
            self.send_header("Content-Length", str(len(server.content) - start))
        for name, value in server.facts.items():
            self.send_header(name, value)
        self.end_headers()
        stop = len(server.content) if server.breaks_off is None else server.breaks_off
        self.wfile.write(server.content[start:stop])

    def log_message(self, *_):
        """Nothing on the screen."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A client that leaves early is no error here; a traceback would be taken for what it printed.
    server.handle_error = lambda *_: None
    server.content, server.facts, server.ranges = CONTENT, {"ETag": '"one"'}, True
    server.compares, server.length, server.lie = True, True, 0
    server.breaks_off, server.requests = None, []
    server.url = f"http://127.0.0.1:{server.server_port}/model.pt"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def listed(tmp_path):
    """Return what writes a list with one checkpoint."""

    def write(url, *, sha256=None, name="model.pt", entry="a-model"):
        known = "" if sha256 is None else f', sha256 = "{sha256}"'
        files = f'files = [{{ name = "{name}", url = "{url}"{known} }}]' if url else ""
        (tmp_path / "list.toml").write_text(
            f'[[checkpoint]]\nname = "{entry}"\ntitle = "A"\ntask = "t"\nsize = "nano"\n'
            f'format = "fairseq"\nlicence = "CC BY-NC 4.0"\npage = "http://page"\n{files}\n'
        )
        return SimpleNamespace(
            command=[
                *("fetch", "a-model", "--manifest", str(tmp_path / "list.toml")),
                *("--out", str(tmp_path / "out")),
            ],
            entry=lambda: read_manifest(tmp_path / "list.toml")[entry],
            file=tmp_path / "out" / "a-model" / "model.pt",
        )

    return write


def test_a_file_arrives_and_its_hash_is_told(server, listed, capsys):
    wanted = listed(server.url)
    assert main(wanted.command) == 0
    assert wanted.file.read_bytes() == CONTENT
    out = capsys.readouterr().out
    assert "licence of the weights: CC BY-NC 4.0" in out
    assert f"{HASH}  model.pt  (no published hash" in out
    assert out.splitlines()[-1] == str(wanted.file)
    assert [path.name for path in wanted.file.parent.iterdir()] == ["model.pt"]
    # It is there: nothing is asked of the server again.
    assert main(wanted.command) == 0
    assert len(server.requests) == 1


def test_a_download_goes_on_where_it_broke_off(server, listed, capsys):
    wanted = listed(server.url, sha256=HASH)
    server.breaks_off = 700_000
    assert main(wanted.command) == 1
    error = capsys.readouterr().err
    assert "give the command again to go on" in error
    assert error.count("\n") == 1
    assert not wanted.file.exists()
    server.breaks_off = None
    assert main(wanted.command) == 0
    assert server.requests[1]["Range"] == "bytes=700000-"
    assert wanted.file.read_bytes() == CONTENT
    assert [path.name for path in wanted.file.parent.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("change", ["no ranges", "another file", "shorter"])
def test_what_cannot_go_on_begins_again(server, listed, change):
    wanted = listed(server.url)
    server.breaks_off = 700_000
    with pytest.raises(CheckpointError):
        download.fetch(wanted.entry(), wanted.file.parents[1])
    server.breaks_off = None
    if change == "no ranges":
        server.ranges = False
    elif change == "another file":
        server.content, server.facts = CONTENT[::-1], {"ETag": '"two"'}
    else:
        server.content = CONTENT[:1000]
    hashes = download.fetch(wanted.entry(), wanted.file.parents[1])
    assert wanted.file.read_bytes() == server.content
    assert hashes == {"model.pt": hashlib.sha256(server.content).hexdigest()}


OLD, YOUNG = "Mon, 01 Jan 2024 10:00:00 GMT", "Mon, 01 Jan 2024 11:59:59 GMT"
FACTS = {
    "ETag": ({"ETag": '"one"'}, {"ETag": '"two"'}),
    "a weak ETag": ({"ETag": 'W/"one"'}, {"ETag": 'W/"two"'}),
    "a time": ({"Last-Modified": OLD}, {"Last-Modified": YOUNG}),
    "both": ({"ETag": '"one"', "Last-Modified": OLD}, {"ETag": '"two"', "Last-Modified": OLD}),
    "a weak ETag and a time": (
        {"ETag": 'W/"one"', "Last-Modified": OLD},
        {"ETag": 'W/"two"', "Last-Modified": OLD},
    ),
    "a young time": ({"Last-Modified": YOUNG}, {"Last-Modified": YOUNG}),
    "nothing": ({}, {}),
}
"""What a server says of a file and, by the way of saying it, of the one that replaces it."""
GOES_ON = {"ETag", "a time", "both", "a weak ETag and a time"}
OTHERS = {
    "the same": CONTENT,
    "another": CONTENT[::-1],
    "shorter": CONTENT[: len(CONTENT) // 2][::-1],
    "longer": (2 * CONTENT)[::-1],
}


@pytest.mark.parametrize("compares", [True, False])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("said", FACTS)
def test_two_files_are_never_joined(server, listed, monkeypatch, said, other, compares):
    """Whatever a server says, and whether or not it heeds what it is asked."""
    monkeypatch.setattr(Handler, "date_time_string", lambda *_: "Mon, 01 Jan 2024 12:00:00 GMT")
    wanted = listed(server.url)
    before, after = FACTS[said]
    server.breaks_off, server.facts, server.compares = 700_000, before, compares
    with pytest.raises(CheckpointError, match="give the command again to go on"):
        download.fetch(wanted.entry(), wanted.file.parents[1])
    server.breaks_off = None
    if other != "the same":
        server.content, server.facts = OTHERS[other], after
    download.fetch(wanted.entry(), wanted.file.parents[1])
    assert wanted.file.read_bytes() == server.content
    assert ("Range" in server.requests[1]) == (said in GOES_ON)
    if other == "the same":
        assert len(server.requests) == 2
    assert [path.name for path in wanted.file.parent.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("other", OTHERS)
def test_a_published_hash_is_the_judge_where_a_server_says_nothing(server, listed, other):
    wanted = listed(server.url, sha256=HASH)
    server.breaks_off, server.facts = 700_000, {}
    with pytest.raises(CheckpointError):
        download.fetch(wanted.entry(), wanted.file.parents[1])
    server.breaks_off, server.content = None, OTHERS[other]
    if other != "the same":
        with pytest.raises(CheckpointError, match="does not have the published SHA-256"):
            download.fetch(wanted.entry(), wanted.file.parents[1])
        server.content = CONTENT
    download.fetch(wanted.entry(), wanted.file.parents[1])
    assert server.requests[1]["Range"] == "bytes=700000-"
    assert "If-Range" not in server.requests[1]
    assert wanted.file.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"breaks_off": len(CONTENT) - 1}, "bytes came"),
        ({"length": False}, "does not say how long the file is"),
        ({"facts": {"Content-Encoding": "gzip"}}, "sent compressed"),
        ({"facts": {"Content-Length": "-3"}, "length": False}, "does not say how long"),
    ],
)
def test_what_may_not_be_the_whole_file_is_not_taken_for_it(server, listed, capsys, lie, message):
    wanted = listed(server.url)
    vars(server).update(lie)
    assert main(wanted.command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not wanted.file.exists()


@pytest.mark.parametrize("lie", [5, -5])
def test_the_rest_of_a_file_is_as_long_as_was_said(server, listed, lie):
    wanted = listed(server.url)
    server.breaks_off = 700_000
    with pytest.raises(CheckpointError):
        download.fetch(wanted.entry(), wanted.file.parents[1])
    server.breaks_off, server.lie = None, lie
    with pytest.raises(CheckpointError, match="contradicts itself about the length"):
        download.fetch(wanted.entry(), wanted.file.parents[1])
    server.lie = 0
    download.fetch(wanted.entry(), wanted.file.parents[1])
    assert wanted.file.read_bytes() == CONTENT


def test_without_a_length_the_published_hash_tells(server, listed):
    wanted = listed(server.url, sha256=HASH)
    server.length = False
    download.fetch(wanted.entry(), wanted.file.parents[1])
    assert wanted.file.read_bytes() == CONTENT


def test_what_is_there_is_used_while_another_process_downloads(server, listed):
    wanted = listed(server.url)
    download.fetch(wanted.entry(), wanted.file.parents[1])
    with locked(wanted.file.parents[1] / ".a-model.lock", what="a", remedy="b"):
        download.fetch(wanted.entry(), wanted.file.parents[1])
        wanted.file.unlink()
        with pytest.raises(ConfigError, match=r"in use by .*; wait for its end"):
            download.fetch(wanted.entry(), wanted.file.parents[1])
    assert len(server.requests) == 1


def test_another_content_than_published_is_refused(server, listed):
    wanted = listed(server.url, sha256="0" * 64)
    with pytest.raises(CheckpointError, match="does not have the published SHA-256 0000"):
        download.fetch(wanted.entry(), wanted.file.parents[1])
    assert list(wanted.file.parent.iterdir()) == []
    wanted.file.write_bytes(b"changed")
    with pytest.raises(CheckpointError, match="delete it and fetch it again"):
        download.fetch(wanted.entry(), wanted.file.parents[1])


def test_progress_is_told(server, listed):
    wanted = listed(server.url)
    told = []
    download.fetch(
        wanted.entry(), wanted.file.parents[1], progress=lambda *facts: told.append(facts)
    )
    assert told[-1] == ("model.pt", len(CONTENT), len(CONTENT))
    assert len(told) > 1


@pytest.mark.parametrize("case", ["404", "no server", "full disk", "by hand", "a file in the way"])
def test_failures_are_one_line(server, listed, capsys, monkeypatch, case, tmp_path):
    wanted = listed(server.url)
    message = {
        "404": "the server says 404",
        "no server": "broke off",
        "full disk": "make room",
        "by hand": "get it from http://page",
        "a file in the way": "give another --out",
    }[case]
    if case == "404":
        wanted = listed(server.url.replace("model", "other"))
    elif case == "no server":
        wanted = listed("http://127.0.0.1:9/model.pt")
    elif case == "full disk":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    elif case == "by hand":
        wanted = listed(None)
    else:
        (tmp_path / "out").write_text("")
    assert main(wanted.command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not wanted.file.is_file()


def test_unknown_names_are_told_the_nearest(capsys):
    assert main(["fetch", "ofa-bse"]) == 1
    assert "did you mean ofa-base" in capsys.readouterr().err
    assert main(["fetch"]) == 1
    assert "--list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "file:///etc/passwd"}, "neither http nor https"),
        ({"url": "http://x/y", "name": "../y"}, "cannot name a file"),
        ({"url": "http://x/y", "entry": "../y"}, "cannot name a checkpoint"),
        ({"url": "http://x/y", "sha256": "0"}, "no SHA-256"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(listed, options, message):
    with pytest.raises(ConfigError, match=message):
        listed(options.pop("url"), **options).entry()


def test_a_checkpoint_has_what_the_release_says_that_it_is_like(tmp_path):
    path = tmp_path / "list.toml"
    path.write_text(
        'checkpoint = [{ name = "a", like = "b", title = "A", files = ["x/a.pt?dl=1"] }]\n'
        '[release.b]\nlike = "c"\ntask = "t"\naddress = "{page}/files/"\n'
        '[release.c]\ntask = "u"\ntitle = "C"\nsize = "nano"\nformat = "fairseq"\n'
        'licence = "l"\npage = "http://page"\n'
    )
    entry = read_manifest(path)["a"]
    assert (entry.title, entry.task, entry.licence) == ("A", "t", "l")
    assert [(file.name, file.url) for file in entry.files] == [
        ("a.pt", "http://page/files/x/a.pt?dl=1")
    ]
    path.write_text('checkpoint = [{ name = "a", like = "b" }]\n[release.b]\nlike = "b"\n')
    with pytest.raises(ConfigError, match="not a list of checkpoints"):
        read_manifest(path)


def test_the_list_of_published_checkpoints(capsys):
    entries = read_manifest()
    assert MANIFEST.resolve().parts[-2:] == ("checkpoints", "manifest.toml")
    assert main(["fetch", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(entries) == len(tomllib.loads(MANIFEST.read_text())["checkpoint"])
    for entry in entries.values():
        assert entry.size in PRESETS
        assert entry.licence
        assert entry.page.startswith("https://")
        assert all(file.url.startswith("https://") for file in entry.files)
        assert entry.format == "hf" or not entry.files or entry.weights.endswith(".pt")


def test_a_fetched_checkpoint_is_loaded_by_its_name(tmp_path, gpt2_bpe, monkeypatch):
    monkeypatch.setenv("BIOMEDGPT_CHECKPOINTS", str(tmp_path))
    with pytest.raises(BiomedGPTError, match="run `biomedgpt fetch ofa-tiny` first"):
        load_checkpoint("ofa-tiny")
    torch.manual_seed(0)
    model = BiomedGPT(preset("nano", vocab_size=59457, code_image_size=64))
    place = tmp_path / "ofa-tiny"
    shutil.copytree(gpt2_bpe, place / "vocabulary")
    full = published.entries(model.state_dict(), model.config)
    published.save(published.with_argparse(full), place / "ofa_tiny.pt")
    loaded = load_checkpoint("ofa-tiny")
    assert len(loaded.vocabulary) == 59457
    with pytest.raises(BiomedGPTError, match="no such file or folder"):
        load_checkpoint("ofa-teeny")
