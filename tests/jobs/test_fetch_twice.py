"""Two commands that fetch one checkpoint share one download."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

CONTENT = bytes(range(256)) * 8000


class Slow(ThreadingHTTPServer):
    """Sends half of a file, and the rest when it may."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.half_way, self.may_go_on = 0, Event(), Event()


class Handler(BaseHTTPRequestHandler):
    server: Slow

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1_500_000])
        self.server.half_way.set()
        self.server.may_go_on.wait(60)
        self.wfile.write(CONTENT[1_500_000:])

    def log_message(self, *_: Any) -> None:
        """Nothing on the screen."""


@pytest.fixture
def server() -> Iterator[Slow]:
    server = Slow()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.may_go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_second_is_refused_and_then_uses_what_the_first_got(
    server: Slow, tmp_path: Path
) -> None:
    (tmp_path / "list.toml").write_text(
        '[[checkpoint]]\nname = "a"\ntitle = "A"\ntask = "t"\nsize = "nano"\nformat = "fairseq"\n'
        f'licence = "none"\npage = "p"\nfiles = ["http://127.0.0.1:{server.server_port}/a.pt"]\n'
    )
    command = [sys.executable, "-m", "biomedgpt.cli.main", "fetch", "a"]
    command += ["--manifest", str(tmp_path / "list.toml"), "--out", str(tmp_path)]
    options: Any = {"text": True, "env": {**os.environ, "no_proxy": "127.0.0.1"}}
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    first = subprocess.Popen(command, **options)
    assert server.half_way.wait(60)
    second = subprocess.run(command, check=False, **options)
    server.may_go_on.set()
    out, error = first.communicate(timeout=60)
    assert (first.returncode, error) == (0, ""), error
    assert second.returncode == 1
    (line,) = second.stderr.splitlines()
    assert f"in use by process {first.pid}" in line
    assert "give the command again to use what it downloads" in line
    again = subprocess.run(command, check=False, **options)
    assert (again.returncode, again.stdout) == (0, out)
    assert server.requests == 1
    assert (tmp_path / "a" / "a.pt").read_bytes() == CONTENT
    assert {path.name for path in tmp_path.iterdir()} == {"a", "list.toml"}
