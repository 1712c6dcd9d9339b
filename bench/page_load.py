"""What the page of `biomedgpt serve` does when many ask at once.

    python bench/page_load.py --checkpoint demo/run
    python bench/page_load.py --checkpoint demo/run --clients 1 16 --seconds 10 --pictures same

Every client does what a visitor's browser does, without a pause: it uploads a picture, waits until
the page has it, asks, reads the answer, and begins again. Counted as lost is what was refused,
failed, or was answered otherwise than the same picture and question alone. Memory is that of the
server, before a round and at its end; CPU time is what a request cost the server and, in this
process, its client: where the two and the number of cores leave nothing, the processor is what
bounds the throughput.
"""

import argparse
import asyncio
import io
import itertools
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from orjson import loads
from PIL import Image

from biomedgpt.data.phantoms.phantom import generate

PICTURES = 16
"""Different ones."""
_TASK = "Ask about an image"


@dataclass
class Round:
    """What came of one round.

    Attributes:
        seconds: of each request that was answered as it should be, upload and question.
        lost: what became of the others, and how often.
    """

    seconds: list[float] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)

    def lose(self, reason: str) -> None:
        """Count a request that was not answered as it should be."""
        self.lost[reason] = self.lost.get(reason, 0) + 1

    def quantile(self, share: float) -> float:
        """Return seconds that this share of the requests took at most; NaN of none."""
        ordered = sorted(self.seconds)
        return ordered[int(share * (len(ordered) - 1))] if ordered else float("nan")


class Site:
    """The page's own addresses and the numbers of its functions."""

    def __init__(self, address: str) -> None:
        self.api = f"{address}gradio_api/"
        config = httpx.get(f"{address}config", trust_env=False).json()
        events = {one["api_name"]: one for one in config["dependencies"]}
        self.receive: int = events["_receive"]["id"]
        self.ask: int = events["_ask"]["id"]
        self.fields = len(events["_ask"]["inputs"]) - 6  # task, image, four edges


class Visitor:
    """One client, as a browser.

    Args:
        site: where.
        client: sends the requests.

    Attributes:
        place: in the queue, as the page said it last, counted from 0; None while not waiting.
    """

    def __init__(self, site: Site, client: httpx.AsyncClient) -> None:
        self.site = site
        self.client = client
        self.session = uuid4().hex[:10]
        self.taken: Any = None
        self.place: int | None = None

    async def question(self, picture: bytes, text: str) -> str:
        """Upload a picture, ask about it and return the answer.

        Raises:
            RuntimeError: anything but an answer came back.
        """
        await self.take(picture)
        return await self.ask(text)

    async def take(self, picture: bytes) -> None:
        """Upload a picture and wait until the page has it."""
        sent = await self.client.post(
            f"{self.site.api}upload", files={"files": ("scan.png", picture, "image/png")}
        )
        (path,) = loads(_checked(sent))
        file = {"path": path, "orig_name": "scan.png", "meta": {"_type": "gradio.FileData"}}
        self.taken = (await self._event(self.site.receive, [file]))[0]

    async def ask(self, text: str) -> str:
        """Ask about the picture and return the answer."""
        fields = [text, *[""] * (self.site.fields - 1)]
        result = await self._event(self.site.ask, [_TASK, self.taken, *fields, *[None] * 4])
        found = re.search(r'<p class="answer">(.*?)</p>', result[0], re.S)
        if found is None:
            raise RuntimeError(re.sub(r"<[^>]*>", "", result[0])[:60])
        return found[1]

    async def _event(self, number: int, data: list[Any]) -> list[Any]:
        """Return what one of the page's functions gives back."""
        form = {"data": data, "fn_index": number, "session_hash": self.session}
        joined = await self.client.post(f"{self.site.api}queue/join", json=form)
        event = loads(_checked(joined))["event_id"]
        address = f"{self.site.api}queue/data?session_hash={self.session}"
        async with self.client.stream("GET", address) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data: "):
                    continue
                message = loads(line[6:])
                if message["msg"] in ("estimation", "process_starts"):
                    self.place = message.get("rank")
                if message["msg"] == "process_completed" and message["event_id"] == event:
                    if not message["success"]:
                        raise RuntimeError("the event failed")
                    found: list[Any] = message["output"]["data"]
                    return found
        raise RuntimeError("the stream ended early")


def _checked(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise RuntimeError(f"status {response.status_code}")
    return response.content


def draw_pictures(count: int = PICTURES) -> list[tuple[bytes, str]]:
    """Return phantoms as PNG files, each with a question about it."""
    found = []
    for index in range(count):
        phantom = generate("examples", index, seed=0)
        file = io.BytesIO()
        Image.fromarray(phantom.image).save(file, "PNG")
        found.append((file.getvalue(), phantom.questions[0].text))
    return found


async def load(
    site: Site,
    asked: list[tuple[bytes, str]],
    expected: list[str],
    *,
    clients: int,
    seconds: float = float("inf"),
    requests: int | None = None,
) -> Round:
    """Ask with so many clients for so long, or so many requests each.

    Args:
        site: where.
        asked: pictures with their questions; client i begins with number i.
        expected: the answer to each when it is asked alone.
        clients: how many.
        seconds: for how long; what is under way then is waited for.
        requests: of each client; None for as many as there is time for.
    """
    done = Round()
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=300, limits=limits, trust_env=False) as client:

        async def visit(first: int) -> None:
            visitor = Visitor(site, client)
            for number in itertools.count(first):
                if time.monotonic() >= end or number - first == requests:
                    return
                which = number % len(asked)
                started = time.monotonic()
                try:
                    answer = await visitor.question(*asked[which])
                except (RuntimeError, httpx.HTTPError) as error:
                    done.lose(str(error) or type(error).__name__)
                    await asyncio.sleep(0.05)  # refused at once would be asked again at once
                    continue
                if expected and answer != expected[which]:
                    done.lose("another answer than alone")
                    continue
                done.seconds.append(time.monotonic() - started)

        await asyncio.gather(*(visit(first) for first in range(clients)))
    return done


async def answers_alone(site: Site, asked: list[tuple[bytes, str]]) -> list[str]:
    """Return the answer to each question when nobody else asks."""
    async with httpx.AsyncClient(timeout=300, trust_env=False) as client:
        visitor = Visitor(site, client)
        return [await visitor.question(*one) for one in asked]


# The command


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, metavar="C", help="which model answers")
    parser.add_argument("--device", default="cpu", help="of the model (default: cpu)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 32], metavar="N")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="(default: 60)")
    parser.add_argument("--pictures", nargs="+", default=["same", "different"], metavar="KIND")
    parser.add_argument("--port", type=int, default=7899)
    parser.add_argument("--biomedgpt", default=str(Path(sys.executable).with_name("biomedgpt")))
    return parser.parse_args()


def memory(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Serve, ask, and print a table."""
    args = parse()
    words = ["serve", "--checkpoint", args.checkpoint, "--device", args.device]
    command = [args.biomedgpt, *words, "--port", str(args.port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        return measure(Site(address), server.pid, args)
    finally:
        server.terminate()
        server.wait()


def measure(site: Site, server: int, args: argparse.Namespace) -> int:
    """Measure all rounds."""
    asked = draw_pictures()
    expected = asyncio.run(answers_alone(site, asked))
    print("pictures   clients  answered  lost  per second  p50 s  p99 s  MiB before, after  CPU ms")
    lost = 0
    for kind in args.pictures:
        for clients in args.clients:
            chosen = slice(1) if kind == "same" else slice(None)
            before, started = memory(server), time.monotonic()
            spent = cpu_seconds(server), cpu_seconds(os.getpid())
            done = asyncio.run(
                load(site, asked[chosen], expected[chosen], clients=clients, seconds=args.seconds)
            )
            took, answered = time.monotonic() - started, len(done.seconds)
            costs = [
                1000 * (now - then) / max(1, answered)
                for now, then in zip(
                    (cpu_seconds(server), cpu_seconds(os.getpid())), spent, strict=True
                )
            ]
            print(
                f"{kind:<10} {clients:7} {answered:9} {sum(done.lost.values()):5} "
                f"{answered / took:11.1f} {done.quantile(0.5):6.2f} {done.quantile(0.99):6.2f} "
                f"{before:11.0f}, {memory(server):5.0f}  {costs[0]:.0f} + {costs[1]:.0f}",
                flush=True,
            )
            for reason, count in done.lost.items():
                print(f"  {count} x {reason}")
            lost += sum(done.lost.values())
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
