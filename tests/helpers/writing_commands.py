"""Every command that writes: how it is called, and small samples of what it reads."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import decontaminating
from checkpoint_samples import small_checkpoint, write_run_file
from corpus_files import pubmed_release
from data_samples import encoded, rad_record, tsv_line, write_rad_release
from fairseq_data import make_dataset
from inference_samples import picture, write_checkpoint, write_table
from vqgan_samples import SMALL, small_tokenizer, write_images

from biomedgpt.decoding import GenerationConfig
from biomedgpt.examples.segments import ImageCodes
from biomedgpt.scoring.predictions import write_predictions

LARGE = 32 << 20
"""Bytes of a file to fetch."""
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

    def arguments(self, samples: Mapping[str, Path], disk: Path) -> list[str]:
        """Return the command's arguments, with the places in them."""
        return [
            word.replace("DISK", str(disk))
            if "DISK" in word
            else re.sub(r"\b[A-Z]+\b", lambda name: str(samples.get(name[0], name[0])), word)
            for word in self.words.split()
        ]

    def bring(self, samples: Mapping[str, Path], disk: Path) -> None:
        """Copy to the disk what the command writes into."""
        for name in self.brings:
            shutil.copytree(samples[name.upper()], disk / name)


KEPT = ("*.jsonl", "*.jsonl.partial", "probe.html")
ASK = "--checkpoint MODEL --task vqa --input QUESTIONS --images PICTURES"
JOBS: Mapping[str, tuple[Job, ...]] = {
    "data prepare": (Job("vqa-rad --raw RAD --out DISK/out --valid-fraction 0.2"),),
    "data show": (Job("DATA --split test --row 1 --image DISK/out.png"),),
    "data import": (
        Job("--table TABLE --images PICTURES --task vqa --out DISK/out --test-fraction 0.3"),
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
        Job(f"{ASK} --out DISK/out.jsonl --device cpu"),
        Job(f"{ASK} --out DISK/out.csv --device cpu"),
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


@contextmanager
def samples_in(folder: Path) -> Iterator[Mapping[str, Path]]:
    """Give what the commands read, by the name that stands for it in `JOBS`."""
    phrases = ("test_freeform", "freeform", "freeform", "freeform")
    records = [
        rad_record(n, answer=("Yes", "No")[n % 2], phrase_type=phrases[n % 4]) for n in range(20)
    ]
    write_rad_release(folder / "rad", records)
    picture(size=(64, 64)).save(folder / "picture.png")
    rows = [(f"{n}", f"{n}.png", f"is it {n}?", "ab"[n % 2]) for n in range(20)]
    (folder / "pictures").mkdir()
    for n, name, *_ in rows:
        picture(int(n)).save(folder / "pictures" / name)
    write_table(folder / "table.csv", rows, ("id", "image", "question", "answer"))
    write_table(folder / "questions.csv", [(f"{n}.png", f"is it {n}?") for n in range(5)])
    (folder / "train.tsv").write_bytes(b"\n".join(tsv_line(n) for n in range(5)) + b"\n")
    make_dataset(folder / "data")
    corpus = {"a": decontaminating.encoded(decontaminating.phantom("test", 1)), "b": encoded()}
    decontaminating.image_corpus(folder / "corpus", corpus)
    decontaminating.write_benchmark(folder / "benchmark")
    pubmed_release(folder / "pubmed", files=1, records=50)
    write_images(folder / "images")
    small_tokenizer().save(folder / "tokenizer")
    (folder / "codes.jsonl").write_text('{"codes": [1, 2, 3, 4]}\n')
    stored = small_checkpoint()
    stored.vocabulary.save(folder / "vocabulary")
    write_run_file(stored, folder / "run.pt")
    decoding = GenerationConfig(beam=1, max_len=5)
    write_checkpoint(folder / "model", task="vqa", decoding=decoding)
    answers = ("yes", "no", "red", "green", "blue")
    write_checkpoint(folder / "asked", task="vqa", answers=answers, decoding=decoding)
    codes = ImageCodes(4, SMALL.num_codes, small_tokenizer().fingerprint)
    write_checkpoint(folder / "drawing", task="instruction", seed=2, task_options=codes.options())
    small_tokenizer().save(folder / "drawing" / "image_tokenizer")
    lines = [
        {
            "id": f"{n}",
            "prediction": "yes",
            "question": f"is it {n}?",
            "answer_type": "CLOSED",
            "question_type": "",
            "references": [{"answer": "yes", "confidence": 1.0}],
            "reference": "yes",
            "dataset": "squares",
            "dataset_hash": "00",
            "split": "test",
            "decoding": {},
            "majority": "yes",
        }
        for n in range(5)
    ]
    (folder / "predicted").mkdir()
    write_predictions(folder / "predicted" / "predictions.jsonl", lines)
    (folder / "large.pt").write_bytes(bytes(LARGE))
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
    try:
        yield {name.upper(): names[given.get(name, name)] for name in (*given, *names)}
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""
