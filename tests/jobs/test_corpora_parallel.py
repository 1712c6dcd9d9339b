"""Dask workers: killed ones, a killed run, an existing cluster, and a shard that kills."""

import os
import signal
import subprocess
import sys
import time

import pytest
from corpora_at_scale import prepare_and_kill
from corpus_files import pubmed_release

from biomedgpt.cli.main import main
from biomedgpt.corpora import parallel
from biomedgpt.corpora.prepare import CorpusOptions, prepare_corpus, shards_folder
from biomedgpt.corpora.reader import Work
from biomedgpt.corpora.shards import ShardTask, write_shard
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.errors import ConfigError, DataError

distributed = pytest.importorskip("distributed")


def ids(out):
    return PreparedDataset(out).split("train").column("id")


def expected(count):
    return [str(number) for number in range(1, count + 1)]


def start(raw, out, *options):
    words = ["corpus", "prepare", "pubmed", "--raw", str(raw), "--out", str(out), *options]
    command = [sys.executable, "-m", "biomedgpt.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what, job, seconds=60.0):
    """Return the first true value of ``what()`` while a job runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and job.poll() is None:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    out, err = job.communicate(timeout=5) if job.poll() is not None else ("", "")
    raise AssertionError(f"did not happen; the job said: {out} {err}")


def running(folder, known=()):
    """Return process ids of workers that are writing a shard, as they noted them."""
    found = []
    for path in folder.glob("*.attempts"):
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            continue
        found += [int(line.split()[1]) for line in lines]
    return [pid for pid in found if pid not in known]


def test_a_killed_worker_loses_nothing_and_memory_does_not_grow(tmp_path):
    small = prepare_and_kill(tmp_path / "small", records=1_000, files=5)
    large = prepare_and_kill(tmp_path / "large", records=10_000, files=5)
    assert large.lost_workers == 1
    assert not check_dataset(tmp_path / "large" / "out").problems
    assert not shards_folder(tmp_path / "large" / "out").exists()
    assert large.worker_memory < small.worker_memory + 15
    assert large.memory < small.memory + 15


def test_a_killed_run_is_taken_up_again(tmp_path):
    raw, out = pubmed_release(tmp_path / "raw", files=6, records=500), tmp_path / "out"
    job = start(raw, out, "--workers", "1")
    wait_for(lambda: len(list(shards_folder(out).glob("*.json"))) >= 2, job)
    job.kill()
    job.wait(timeout=10)
    job.stdout.close()
    job.stderr.close()
    assert not out.exists()
    report = prepare_corpus("pubmed", raw=raw, out=out, options=CorpusOptions(workers=0))
    assert report.reused >= 2
    assert ids(out) == expected(3000)
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "out"}


def test_a_file_that_kills_three_workers_ends_in_one_error(tmp_path):
    raw, out = pubmed_release(tmp_path / "raw", files=1, records=3000), tmp_path / "out"
    job = start(raw, out, "--workers", "1")
    killed: list[int] = []

    def another() -> list[int]:
        return running(shards_folder(out), killed)

    for _ in range(3):
        killed += wait_for(another, job)
        os.kill(killed[-1], signal.SIGKILL)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 1
    lines = [line for line in errors.splitlines() if line.startswith("error")]
    assert lines == [
        "error: pubmed26n0001.xml.gz: 3 workers died while they read it (memory? see their logs); "
        "leave this file out, or give them more memory, and start again"
    ]
    assert "Traceback" not in errors
    assert not out.exists()


def test_a_running_cluster_is_taken(tmp_path):
    raw = pubmed_release(tmp_path / "raw", files=3, records=20)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        words = ["--raw", str(raw), "--out", str(tmp_path / "out")]
        address = cluster.scheduler_address
        assert main(["corpus", "prepare", "pubmed", *words, "--scheduler", address]) == 0
    assert ids(tmp_path / "out") == expected(60)


def test_a_worker_that_does_not_see_the_folder_is_one_error(tmp_path):
    piece = Work("pubmed26n0001.xml.gz", (tmp_path / "pubmed26n0001.xml.gz",))
    task = ShardTask("pubmed", piece, tmp_path, tmp_path / "elsewhere", max_words=1)
    with pytest.raises(DataError, match="elsewhere: cannot write the shard of pubmed26n0001"):
        write_shard(task)


def test_errors_of_a_worker_are_those_of_the_run(tmp_path, capsys):
    raw = pubmed_release(tmp_path / "raw", files=2, records=20)
    path = raw / "pubmed26n0002.xml.gz"
    path.write_bytes(path.read_bytes()[:-300])
    words = ["corpus", "prepare", "pubmed", "--raw", str(raw), "--out", str(tmp_path / "out")]
    assert main([*words, "--workers", "1"]) == 1
    errors = capsys.readouterr().err
    assert f"error: {path}: cut or damaged after record" in errors
    assert "Traceback" not in errors


def test_without_dask_or_a_scheduler(tmp_path, monkeypatch):
    raw = pubmed_release(tmp_path / "raw", files=1, records=2)
    monkeypatch.setattr(parallel, "CONNECT_WAIT", 0.2)
    with pytest.raises(ConfigError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9"):
        prepare_corpus(
            "pubmed",
            raw=raw,
            out=tmp_path / "out",
            options=CorpusOptions(scheduler="tcp://127.0.0.1:9"),
        )
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match="pip install distributed"):
        prepare_corpus("pubmed", raw=raw, out=tmp_path / "out", options=CorpusOptions())
    prepare_corpus("pubmed", raw=raw, out=tmp_path / "out", options=CorpusOptions(workers=0))


def test_a_cluster_without_workers_ends_in_one_error(tmp_path, monkeypatch):
    raw = pubmed_release(tmp_path / "raw", files=1, records=2)
    monkeypatch.setattr(parallel, "WAIT", 0.1)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        options = CorpusOptions(scheduler=cluster.scheduler_address)
        with pytest.raises(DataError, match="no workers left"):
            prepare_corpus("pubmed", raw=raw, out=tmp_path / "out", options=options)
