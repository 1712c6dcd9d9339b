"""Serving the page: on this machine only, and nothing of a visitor is left behind.

Gradio's server can do much that a page with one model does not need: fetch addresses, keep runs,
show traffic. `Gate` lets through what the page uses and nothing else.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import scratch_folder

MAX_FILE_SIZE = 64 * 1024 * 1024
"""Largest upload, in bytes."""
MAX_WAITING = 1000
"""Most questions and images that wait; beyond, the page refuses images before they are sent."""
KEPT_UPLOAD = 600
"""Seconds after which an upload is deleted that was broken off or never used."""
_MAX_FORM = 1024 * 1024
"""Largest request of another kind."""
_SALT = 16
"""Random bytes before the content of each upload. Gradio stores files by content, so that visitors
who send the same file would share one, which the first of them deletes."""
_UPLOAD = "/gradio_api/upload"
_PATHS = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json")
_API = (
    *(_UPLOAD, "/gradio_api/upload_progress", "/gradio_api/startup-events"),
    *("/gradio_api/queue/join", "/gradio_api/queue/data"),
)
_BELOW = ("/assets/", "/static/", "/gradio_api/file=", "/gradio_api/heartbeat/")
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def is_local(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Refuses requests that the page does not make (ASGI).

    That is: other addresses; pages of other servers that post to this one; other names for this
    machine, where only it is served (else a foreign name that leads here could read the answers);
    bodies that are too large; and forms that name a file which was not uploaded.

    Args:
        app: what is behind it.
        local: whether only this machine is served.
        folder: where uploads lie.
        full: says whether so many wait that no image is taken any more.
    """

    def __init__(
        self, app: App, *, local: bool, folder: Path, full: Callable[[], bool] = lambda: False
    ) -> None:
        self.app = app
        self.local = local
        self.full = full
        self.folder = folder.resolve()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http" or (status := self._judge(scope)):
            await _refuse(send, scope["type"], status if scope["type"] == "http" else 403)
            return
        if scope["method"] == "POST" and scope["path"] == _UPLOAD:
            receive = _salted(receive)
        elif scope["method"] == "POST":
            body = await _read(receive, _MAX_FORM)
            if body is None or not self._is_harmless(body):
                await _refuse(send, "http", 413 if body is None else 403)
                return
            receive = _replay(body, receive)
        await self.app(scope, receive, _with_policy(send))

    def _judge(self, scope: Message) -> int:
        """Return the status to refuse a request with, 0 to let it through."""
        path = scope["path"].rstrip("/") or "/"
        if not (path in (*_PATHS, *_API) or path.startswith(_BELOW)):
            return 404
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.local and not is_local(urlsplit(f"//{host}").hostname or ""):
            return 403
        if origin is not None and urlsplit(origin).netloc != host:
            return 403
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_FILE_SIZE + _MAX_FORM:
            return 413
        return 503 if path == _UPLOAD and self.full() else 0

    def _is_harmless(self, body: bytes) -> bool:
        try:
            return all(
                isinstance(path, str) and Path(path).resolve().is_relative_to(self.folder)
                for path in _paths(json.loads(body))
            )
        except (ValueError, OSError, RecursionError):  # no JSON, or no name of a file
            return False


def _paths(content: Any) -> Iterator[Any]:
    """Yield all that Gradio could take for the path of a file."""
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "path" in one:
                yield one["path"]
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """Return a request's body, None when it is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a body that was read to whoever asks for it, and then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _salted(receive: Receive) -> Receive:
    """Return the body of a form with random bytes before the content of its first part."""
    begun: bytes | None = b""

    async def salting() -> Message:
        nonlocal begun
        message = await receive()
        if begun is None or message["type"] != "http.request":
            return message
        begun += message.get("body", b"")
        head, end, content = begun.partition(b"\r\n\r\n")
        if not end and len(begun) < _MAX_FORM and message.get("more_body", False):
            return {**message, "body": b""}
        begun = None
        return {**message, "body": head + end + os.urandom(_SALT) + content}

    return salting


def read_upload(file: Any, folder: Path) -> tuple[str, bytes]:
    """Return name and content of an uploaded file, and delete it.

    Args:
        file: what Gradio's form says of it.
        folder: where uploads lie.

    Raises:
        DataError: it is not there.
    """
    path = Path(str(file.get("path") if isinstance(file, dict) else "")).resolve()
    if not (path.is_relative_to(folder.resolve()) and path.is_file()):
        raise DataError("The file is not here (any more); drop it again.")
    try:
        return path.name, path.read_bytes()[_SALT:]
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # another file came into it
            path.parent.rmdir()


async def _refuse(send: Send, kind: str, status: int) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    said = b"too many are waiting; try again later" if status == 503 else b"refused"
    await send({"type": "http.response.body", "body": said})


def _with_policy(send: Send) -> Send:
    """Tell browsers to ask no other server, whatever stands on the page."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message.get("headers", ()),
                (b"content-security-policy", _POLICY.encode()),
                (b"referrer-policy", b"no-referrer"),
                (b"x-content-type-options", b"nosniff"),
            ]
        await send(message)

    return sending


def check_gradio() -> None:
    """Raise a ConfigError when Gradio, which is optional, is not installed."""
    if find_spec("gradio") is None:
        raise ConfigError('the page needs Gradio; install it with: pip install "biomedgpt[serve]"')


def check_port(host: str, port: int) -> None:
    """Raise a ConfigError when nothing can be served there."""
    if not 0 < port < 65536:
        raise ConfigError(f"--port must be between 1 and 65535, got {port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(
            f"--host {host}: {error.strerror}; give an address of this machine"
        ) from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            raise ConfigError(
                f"port {port} of {host} cannot be used ({error.strerror}); give another with --port"
            ) from error


@contextmanager
def gradio_in(folder: Path) -> Iterator[Any]:
    """Import Gradio so that it calls nobody and writes into ``folder`` only."""
    settings = {
        "GRADIO_TEMP_DIR": str(folder),
        "GRADIO_ANALYTICS_ENABLED": "False",
        # Gradio would compute statistics of the last 10,000 events after each.
        "GRADIO_ANALYTICS_MAX_EVENTS": "1",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        # Gradio asks its own server whether it is there, which is not the business of a proxy.
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    before = {
        name: value
        for name, value in os.environ.items()
        if name in settings or name.startswith("GRADIO_")
    }
    for name in before:  # Gradio's would open paths, shares or ports that nobody asked for here
        del os.environ[name]
    os.environ.update(settings)
    try:
        import gradio

        yield gradio
    finally:
        for name in settings:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextmanager
def sweeping(folder: Path, *, age: float = KEPT_UPLOAD) -> Iterator[None]:
    """Delete what is in ``folder`` longer than ``age`` seconds; not what was there before.

    Uploads are deleted as soon as they are read; this is for those that never are.
    """
    keep = set(folder.rglob("*"))
    ended = threading.Event()

    def sweep() -> None:
        while not ended.wait(min(60, age)):
            for path in sorted(set(folder.rglob("*")) - keep, reverse=True):
                with suppress(OSError):  # somebody else has deleted it, or it holds a younger file
                    if time.time() - path.stat().st_mtime >= age:
                        path.rmdir() if path.is_dir() else path.unlink()

    thread = threading.Thread(target=sweep, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def serving(build: Callable[[Any, Path], Any], *, host: str, port: int) -> Iterator[str]:
    """Serve a page for as long as the context lasts, and yield its address.

    Args:
        build: makes the page (Gradio's blocks) of the module and the folder for temporary files,
            which only this user can read and which is deleted at the end.
        host: name or address to serve at.
        port: at which port.

    Raises:
        ConfigError: the port is taken, or Gradio is missing.
    """
    from biomedgpt.serve.words import CSS

    check_gradio()
    check_port(host, port)
    with (
        scratch_folder() as place,
        gradio_in(place) as gradio,
    ):
        from starlette.middleware import Middleware

        page = build(gradio, place)
        gate = Middleware(
            Gate,
            local=is_local(host),
            folder=place,
            full=lambda: len(page._queue) >= MAX_WAITING,
        )
        try:
            page.launch(
                server_name=f"[{host}]" if ":" in host else host,
                server_port=port,
                inbrowser=False,
                inline=False,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=MAX_FILE_SIZE,
                state_session_capacity=16,  # of Gradio's own; nothing of ours is in it
                enable_monitoring=False,
                run_history=False,
                mcp_server=False,
                pwa=False,
                ssr_mode=False,
                footer_links=[],
                app_kwargs={"middleware": [gate]},
                css=CSS,
                theme=gradio.themes.Default(
                    primary_hue="blue",
                    font=["system-ui", "sans-serif"],
                    font_mono=["ui-monospace", "monospace"],
                ),
            )
        except OSError as error:
            check_port(host, port)
            raise ConfigError(f"the page cannot be served at {host}:{port} ({error})") from error
        try:
            with sweeping(place):
                yield page.local_url
        finally:
            page.server.force_exit = True  # open tabs are not waited for, and nobody is told
            log = logging.getLogger("uvicorn.error")
            log.disabled = True
            with suppress(Exception):  # it ends in any case; a failure here helps nobody
                page.close(verbose=False)
            log.disabled = False
