"""How the command that serves the page begins and ends."""

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

httpx = pytest.importorskip("httpx", reason="needs the serve extra")
pytest.importorskip("gradio", reason="needs the serve extra")

from page_samples import ask, free_port  # noqa: E402

COMMAND = [sys.executable, "-m", "biomedgpt.cli.main", "serve"]


def files_below(folder) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def start(command, folder) -> tuple[subprocess.Popen, str]:
    """Start the command, and return it with its address."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
        # A shell's background jobs ignore Ctrl-C, and hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 120)
    assert ready, "no address in two minutes"
    line = process.stdout.readline()
    found = re.match(r"(http://127\.0\.0\.1:\d+/) ", line)
    assert found, line + process.communicate(timeout=20)[1]
    return process, found[1]


def test_it_serves_until_interrupted(trained, tmp_path):
    folder = tmp_path / "here"
    process, address = start(
        [*COMMAND, "--checkpoint", str(trained.folder), "--port", str(free_port())], folder
    )
    try:
        assert trained.folder.name in httpx.get(address).text
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, error) == (130, "", "interrupted\n")
    assert files_below(folder) == []  # neither uploads nor caches


SLOW = """
import sys, time
from dataclasses import replace
sys.path.insert(0, {helpers!r})
import biomedgpt
from page_samples import CARD, StandIn
from biomedgpt.serve.model_card import ModelCard
class Slow(StandIn):
    checkpoint = None
    def _summarization(self, image, answers, source):
        print("thinking", flush=True)
        time.sleep(1000)
biomedgpt.load = lambda *_, **__: Slow()
ModelCard.of = lambda _: replace(CARD, task=None)
from biomedgpt.cli.main import main
sys.exit(main(["serve", "--checkpoint", "x", "--port", {port!r}]))
"""


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_in_the_middle_of_a_question(tmp_path, sent, status):
    folder = tmp_path / "here"
    script = SLOW.format(helpers=str(ROOT / "tests" / "helpers"), port=str(free_port()))
    process, address = start([sys.executable, "-c", script], folder)
    try:
        config = httpx.get(f"{address}config").json()
        (number,) = (one["id"] for one in config["dependencies"] if one["api_name"] == "_ask")
        form = {"data": ["Summarize a text", None, "a text", "", "", None, None, None, None]}
        ask(address, form | {"fn_index": number, "session_hash": "a"}).raise_for_status()
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0], "the question was not asked"
        assert process.stdout.readline() == "thinking\n"
        process.send_signal(sent)
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert (process.returncode, error) == (status, "interrupted\n" if status == 130 else "")
    assert files_below(folder) == []
