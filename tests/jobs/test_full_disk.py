"""Every command that writes, on a disk that is full: one line, and what was there is still there.

The disk is a small one in memory, which only root may mount.
"""

import argparse
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import decontaminating
import pytest
from checkpoint_samples import small_checkpoint, write_run_file
from corpus_files import pubmed_release
from data_samples import encoded, rad_record, tsv_line, write_rad_release
from fairseq_data import make_dataset
from inference_samples import picture, write_checkpoint, write_table
from vqgan_samples import SMALL, small_tokenizer, write_images

from biomedgpt.cli.main import build_parser, main
from biomedgpt.decoding import GenerationConfig
from biomedgpt.scoring.predictions import write_predictions

SIZE = 16 << 20
NOTHING = (
    "data list",
    "data check",
    "corpus list",
    "inspect",
    "plan",
    "parity",
    "doctor",
    "serve",  # uploads, of which the page tells its user
)
"""Commands that write nothing."""


@dataclass(frozen=True)
class Job:
    """How a command is called; DISK, IN and the names of `samples` stand for places."""

    words: str
    brings: tuple[str, ...] = ()
    """Samples that are copied to the disk, since the command writes into them."""
    keeps: tuple[str, ...] = ()
    """Patterns of what is left for the next call to go on from."""


LONG = ("data prepare", "corpus prepare", "vqgan train", "convert", "predict", "evaluate", "fetch")
"""Commands that are also looked at when the disk is full half way."""
KEPT = ("*.jsonl", "*.jsonl.partial", "probe.html")
JOBS: Mapping[str, tuple[Job, ...]] = {
    "data prepare": (Job("vqa-rad --raw RAD --out DISK/out --valid-fraction 0.2"),),
    "data show": (Job("DATA --split test --row 1 --image DISK/out.png"),),
    "data import": (
        Job("--table TABLE --task vqa --out DISK/out --answers a --answers b --test-fraction 0.3"),
    ),
    "data import-tsv": (Job("--split train=TSV --task vqa --out DISK/out"),),
    "data export-tsv": (Job("DATA --out DISK/out"),),
    "data decontaminate": (
        Job("CORPUS --against BENCHMARK --out DISK/out"),
        Job("CORPUS --against BENCHMARK --report DISK/out.json"),
    ),
    "data filter": (Job("DATA --out DISK/out --min-side 8"),),
    "corpus prepare": (
        Job("pubmed --raw PUBMED --out DISK/out --workers 0", keeps=(".out.shards*",)),
        Job("pubmed --raw PUBMED --out DISK/out --workers 1", keeps=(".out.shards*",)),
    ),
    "vqgan train": (
        Job("--data IMAGES --out DISK/out --updates 1 --batch-size 2 --device cpu"),
        Job("--data IMAGES --out DISK/out --updates 100 --batch-size 1 --device cpu"),
    ),
    "vqgan encode": (
        Job(
            "DISK/images --tokenizer TOKENIZER --device cpu",
            brings=("images",),
            keeps=(".*.codes.partial/*",),
        ),
    ),
    "vqgan decode": (Job("CODES --tokenizer TOKENIZER --out DISK/out --device cpu"),),
    "vqgan report": (
        Job("IMAGES --tokenizer TOKENIZER --out DISK/out.html --split test --device cpu"),
    ),
    "vqgan generate": (
        Job(
            "--checkpoint RUN --vocabulary VOCABULARY --tokenizer TOKENIZER --text a "
            "--out DISK/out.png --device cpu"
        ),
    ),
    "vqgan infill": (
        Job(
            "--checkpoint RUN --vocabulary VOCABULARY --tokenizer TOKENIZER --image PICTURE "
            "--out DISK/out.png --device cpu"
        ),
    ),
    "convert": (
        Job("MODEL DISK/out --to native"),
        Job("MODEL DISK/out --to hf"),
        Job("MODEL DISK/out.pt --to fairseq"),
    ),
    "fetch": (Job("a-model --manifest MANIFEST --out DISK", keeps=("a-model*",)),),
    "predict": (
        Job("--checkpoint MODEL --task vqa --input QUESTIONS --out DISK/out.jsonl --device cpu"),
        Job("--checkpoint MODEL --task vqa --input QUESTIONS --out DISK/out.csv --device cpu"),
    ),
    "document": (
        Job("--checkpoint DRAWING --text a --out DISK/out.html --device cpu"),
        Job("--checkpoint DRAWING --text a --out DISK/out --device cpu"),
    ),
    "calibrate": (
        Job("--checkpoint DISK/asked --data DATA --device cpu", ("asked",)),
        Job("--checkpoint ASKED --data DATA --device cpu --dry-run --plot DISK/out.png"),
    ),
    "evaluate": (
        Job(
            "--checkpoint MODEL --data DATA --suite zero-shot --out DISK/out --device cpu",
            keeps=KEPT,
        ),
        Job("--checkpoint MODEL --data DATA --suite probe --out DISK/out --device cpu", keeps=KEPT),
    ),
    "report": (Job("PREDICTED --out DISK/out.html"), Job("DISK/predicted", ("predicted",))),
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path]]:
    """What the commands read, by the name that stands for it in `JOBS`."""
    folder = tmp_path_factory.mktemp("samples")
    records = [rad_record(number, answer=("Yes", "No")[number % 2]) for number in range(20)]
    write_rad_release(folder / "rad", records)
    rows = [(f"{number}", f"is it {number}?", "ab"[number % 2]) for number in range(20)]
    write_table(folder / "table.csv", rows, ("id", "question", "answer"))
    write_table(folder / "questions.csv", [(f"is it {n}?",) for n in range(5)], ("question",))
    (folder / "train.tsv").write_bytes(b"\n".join(tsv_line(n) for n in range(5)) + b"\n")
    make_dataset(folder / "data")
    corpus = {"a": decontaminating.encoded(decontaminating.phantom("test", 1)), "b": encoded()}
    decontaminating.image_corpus(folder / "corpus", corpus)
    decontaminating.write_benchmark(folder / "benchmark")
    pubmed_release(folder / "pubmed", files=1, records=50)
    write_images(folder / "images")
    picture(size=(64, 64)).save(folder / "picture.png")
    small_tokenizer().save(folder / "tokenizer")
    (folder / "codes.jsonl").write_text('{"codes": [1, 2, 3, 4]}\n')
    stored = small_checkpoint()
    stored.vocabulary.save(folder / "vocabulary")
    write_run_file(stored, folder / "run.pt")
    decoding = GenerationConfig(beam=1, max_len=5)
    write_checkpoint(folder / "model", task="vqa", decoding=decoding)
    answers = ("yes", "no", "red", "green", "blue")
    write_checkpoint(folder / "asked", task="vqa", answers=answers, decoding=decoding)
    codes = {"image_grid": 4, "image_codes": SMALL.num_codes}
    write_checkpoint(folder / "drawing", task="instruction", seed=2, task_options=codes)
    small_tokenizer().save(folder / "drawing" / "image_tokenizer")
    lines = [
        {
            "id": f"{n}",
            "prediction": "yes",
            "references": [{"answer": "yes", "confidence": 1.0}],
            "reference": "yes",
            "dataset": "squares",
            "dataset_hash": "00",
            "split": "test",
            "decoding": {},
        }
        for n in range(5)
    ]
    (folder / "predicted").mkdir()
    write_predictions(folder / "predicted" / "predictions.jsonl", lines)
    (folder / "large.pt").write_bytes(bytes(2 * SIZE))
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    (folder / "list.toml").write_text(
        '[[checkpoint]]\nname = "a-model"\ntitle = "A"\ntask = "t"\nsize = "nano"\n'
        'format = "fairseq"\nlicence = "none"\npage = "http://page"\n'
        f'files = ["http://127.0.0.1:{server.server_port}/large.pt"]\n'
    )
    names = {path.name: path for path in folder.iterdir()}
    given = {"rad": "rad", "table": "table.csv", "tsv": "train.tsv", "manifest": "list.toml"}
    given |= {"questions": "questions.csv", "codes": "codes.jsonl", "picture": "picture.png"}
    given |= {"run": "run.pt"}
    yield {name.upper(): names[given.get(name, name)] for name in (*given, *names)}
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to be root to mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, *, free: int) -> None:
    """Let so many bytes of a disk be free, in whole pages."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(file.tell() - free, 0))


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the names of all commands, those within others after them."""
    inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not inner:
        yield " ".join(path)
    for one in inner:
        for name, command in one.choices.items():
            yield from commands(command, (*path, name))


def test_every_command_is_looked_at() -> None:
    assert {*JOBS, *NOTHING} == set(commands(build_parser()))
    assert not JOBS.keys() & set(NOTHING)


@pytest.mark.parametrize(
    ("command", "job", "free"),
    [
        pytest.param(command, job, free, id=f"{command} {job.words} {free}")
        for command, jobs in JOBS.items()
        for job in jobs
        for free in ((0, 100_000) if command in LONG else (0,))
    ],
)
def test_a_full_disk_is_one_line(
    samples: Mapping[str, Path],
    disk: Path,
    command: str,
    job: Job,
    free: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in job.brings:
        subprocess.run(["cp", "-r", str(samples[name.upper()]), str(disk)], check=True)
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    fill(disk, free=free)
    words = [
        word.replace("DISK", str(disk)) if "DISK" in word else str(samples.get(word, word))
        for word in job.words.split()
    ]
    status = main([*command.split(), *words])
    said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("note: ")]
    if free:
        assert status == 0 or len(said) == 1, said
    else:
        assert status == 1
        assert len(said) == 1, said
    if status:
        assert said[0].startswith("error: ")
        after = {path: path.read_bytes() for path in before}
        assert after == before
        left = {path for path in disk.rglob("*") if path.is_file()} - before.keys()
        left -= {disk / "filler"}
        kept = {path for path in left if any(path.match(one) for one in job.keeps)}
        assert left == kept, left
