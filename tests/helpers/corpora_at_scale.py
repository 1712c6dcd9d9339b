"""PubMed records in NLM's XML, prepared on two workers of which one is killed on the way.

    python tests/helpers/corpora_at_scale.py FOLDER --records 100000

writes the records into FOLDER, prepares them, kills a worker that is reading a file, and checks
that every record is there once. It prints the rate and the peak memory of the processes.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from corpus_files import pubmed_release

from biomedgpt.corpora.prepare import shards_folder
from biomedgpt.data.prepared.dataset import PreparedDataset

_SUMMARY = re.compile(
    r"reading ([\d.,]+) s \(([\d,]+) rows/s\), merging ([\d.,]+) s; peak memory ([\d,]+) MiB per "
    r"worker, ([\d,]+) MiB here"
)


@dataclass(frozen=True)
class Outcome:
    """What the run said of itself; seconds, rows per second, MiB."""

    said: str
    reading: float
    rate: float
    merging: float
    worker_memory: float
    memory: float
    lost_workers: int


def prepare_and_kill(folder: Path, *, records: int, files: int) -> Outcome:
    """Prepare ``records`` records of ``files`` files; raises AssertionError when one is missing."""
    raw, out = folder / "raw", folder / "out"
    pubmed_release(raw, files=files, records=records // files)
    command = [sys.executable, "-m", "biomedgpt.cli.main", "corpus", "prepare", "pubmed"]
    job = subprocess.Popen(
        [*command, "--raw", str(raw), "--out", str(out), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = _kill_one(shards_folder(out), job, after=files // 3)
    said, errors = job.communicate()
    assert job.returncode == 0, errors
    assert f"workers that died, their files read again: {killed}" in said
    split = PreparedDataset(out).split("train")
    ids = [split.text("id", row) for row in range(len(split))]
    assert ids == [str(number) for number in range(1, records + 1)]
    numbers = _SUMMARY.search(said)
    assert numbers is not None, said
    reading, rate, merging, worker, here = (float(one.replace(",", "")) for one in numbers.groups())
    return Outcome(said, reading, rate, merging, worker, here, killed)


def _kill_one(folder: Path, job: subprocess.Popen[str], *, after: int) -> int:
    """Kill a worker that is reading once ``after`` files are finished; return how many died."""
    while job.poll() is None:
        if len(list(folder.glob("*.json"))) >= after:
            for path in folder.glob("*.attempts"):
                try:
                    pid = int(path.read_text().split()[1])
                except (FileNotFoundError, IndexError):  # finished, or about to be written
                    continue
                os.kill(pid, signal.SIGKILL)
                return 1
        time.sleep(0.01)
    return 0


def main() -> None:
    """Run it by hand."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="must not exist; about 1 KB per record")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=20)
    args = parser.parse_args()
    outcome = prepare_and_kill(args.folder, records=args.records, files=args.files)
    print(outcome.said, end="")
    print(f"every one of {args.records:,} records once; {outcome.lost_workers} worker killed")


if __name__ == "__main__":
    main()
