"""Commands that are killed, or that a full disk stops, go on where they were."""

import os
import signal
import subprocess
import sys
import time

import pytest
from checkout import ROOT
from corpus_files import citation, pubmed_file, pubmed_release
from data_samples import files_of
from vqgan_samples import small_tokenizer, write_images

from biomedgpt.cli.main import main
from biomedgpt.corpora.prepare import CorpusOptions, prepare_corpus
from biomedgpt.data.prepared.codes import CodesFile, codes_path
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.vqgan.pixels import load_pixels
from biomedgpt.vqgan.tokenizer import ImageTokenizer


@pytest.fixture
def split(tmp_path):
    return write_images(tmp_path / "data").split("train")


def test_an_encode_that_was_killed_goes_on(split, tmp_path):
    """SIGKILL in the middle of it, then the same command."""
    small_tokenizer().save(tmp_path / "small")
    code = """
import sys, time
from biomedgpt.vqgan.tokenizer import ImageTokenizer
from biomedgpt.cli.main import main
encode = ImageTokenizer.encode
def slow(self, pixels):
    time.sleep(0.1)
    return encode(self, pixels)
ImageTokenizer.encode = slow
main(sys.argv[1:])
"""
    command = ["vqgan", "encode", str(split.folder), "--tokenizer", str(tmp_path / "small")]
    command += ["--split", "train", "--batch-size", "1", "--device", "cpu"]
    with subprocess.Popen([sys.executable, "-c", code, *command], cwd=ROOT) as process:
        partial = split.folder / ".train.codes.partial" / "whole"
        while not (partial.exists() and partial.stat().st_size):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert not codes_path(split).exists()
    assert main(command) == 0
    tokenizer = ImageTokenizer.load(tmp_path / "small")
    codes = CodesFile(split)
    for number in range(split.num_images):
        pixels = load_pixels(split, number, 32)[None]
        assert codes.whole(number) == tokenizer.encode(pixels)[0].tolist()
    assert not any(name.startswith(".") for name in files_of(split.folder))


@pytest.mark.parametrize(("limit", "reused"), [(150_000, 1), (350_000, 3)])
def test_a_full_disk_ends_in_one_error_and_what_is_finished_is_kept(limit, reused, tmp_path):
    """Files may not grow beyond a limit: that of one shard, then only that of the whole."""
    raw, out = pubmed_release(tmp_path / "raw", files=3, records=200), tmp_path / "out"
    pubmed_file(raw / "pubmed26n0001.xml.gz", map(citation, range(1, 51)))
    words = ["corpus", "prepare", "pubmed", "--raw", str(raw), "--out", str(out), "--workers", "0"]
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from biomedgpt.cli.main import main
sys.exit(main({words!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "File too large" in error
    assert "Traceback" not in done.stderr
    assert not out.exists()
    report = prepare_corpus("pubmed", raw=raw, out=out, options=CorpusOptions(workers=0))
    assert report.reused == reused
    assert len(set(PreparedDataset(out).split("train").column("id"))) == 450
