"""How long one image and one question take on the CPU, and how much of it is the model.

    python bench/first_answer.py --size base

A checkpoint with random weights is written to a temporary folder. Measured are, in one process and
alternating, the bare model (encoder and beam search on tensors that are ready) and the call
`answer(image, question)`, which adds reading the image and the text; then the time from the start
of a fresh process to its answer. Random weights do not end their answers, so these are as long as
``--max-len`` says.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import biomedgpt
from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing
from biomedgpt.checkpoints.native import write_native
from biomedgpt.checkpoints.state_dict import essential
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.decoding import GenerationConfig
from biomedgpt.generation import generate
from biomedgpt.model import PRESETS, BiomedGPT, preset
from biomedgpt.vocabulary import Vocabulary

QUESTION = "is there a fracture in the left lung field?"
CHILD = """
import sys, time
started = float(sys.argv[1])
import biomedgpt
model = biomedgpt.load(sys.argv[2], device="cpu")
loaded = time.time()
answer = model.answer(sys.argv[3], sys.argv[4])
took = loaded - started, time.time() - loaded, time.time() - started, time.process_time()
print(*took, flush=True)
# Of this process alone: getrusage counts what it was before the interpreter started, too.
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
"""


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("--size", default="base", choices=sorted(PRESETS), help="(default: base)")
    parser.add_argument("--image-size", type=int, default=384, metavar="PIXELS", help="(384)")
    parser.add_argument("--max-len", type=int, default=5, metavar="N", help="tokens (5)")
    parser.add_argument("--beam", type=int, default=5, metavar="N", help="(5)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="(5)")
    parser.add_argument(
        "--vocabulary", type=Path, metavar="DIR", help="(default: a small one, padded by codes)"
    )
    return parser.parse_args()


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs of the description."""


def write_checkpoint(folder: Path, args: argparse.Namespace) -> None:
    """Write random weights with the published number of vocabulary entries, or near it."""
    if args.vocabulary is not None:
        vocabulary = Vocabulary.load(args.vocabulary)
    else:
        texts = [f" {QUESTION}", " what does the image describe?"]
        vocabulary = Vocabulary.train_sentencepiece(texts, size=300, num_codes=58_000)
    torch.manual_seed(0)
    config = preset(args.size, vocab_size=len(vocabulary))
    model = BiomedGPT(config)
    stored = StoredCheckpoint(
        weights=essential(model.state_dict(), config),
        config=config,
        vocabulary=vocabulary,
        preprocessing=Preprocessing(image_size=args.image_size),
        info=CheckpointInfo(
            name=args.size,
            task="vqa",
            task_options={"constrained": False},
            decoding=GenerationConfig(beam=args.beam, max_len=args.max_len, unnormalized=True),
        ),
    )
    write_native(stored, folder)


def main() -> None:
    """Measure and print."""
    args = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder / "c", args)
        noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
        image = folder / "x.png"
        Image.fromarray(noise).save(image)
        measure(folder / "c", image, args)
        runs = [fresh(folder / "c", image) for _ in range(min(args.repeats, 3))]
    loading, answering, whole, work, memory = map(statistics.median, zip(*runs, strict=True))
    print(
        f"fresh process: {whole:.2f} s from start to answer ({loading:.2f} s until loaded, "
        f"{answering:.2f} s for the first answer; {work:.2f} s of CPU time in all); peak memory "
        f"{memory / 2**20:,.0f} MB"
    )


def measure(checkpoint: Path, image: Path, args: argparse.Namespace) -> None:
    """Compare the call with the bare model in this process."""
    model = biomedgpt.load(checkpoint, device="cpu")
    network = model.checkpoint.model
    query = model.query_builder.query("vqa", {"image": image, "question": QUESTION})
    assert query.pixels is not None
    inputs = {
        "src_tokens": torch.tensor([query.source]),
        "patch_images": query.pixels[None],
        "patch_masks": torch.tensor([True]),
    }
    prefix = torch.tensor([query.prompt[1:]])
    decoding = model.checkpoint.info.decoding
    assert decoding is not None

    def bare() -> None:
        generate(network, inputs, config=decoding, prefix_tokens=prefix)

    def call() -> None:
        model.answer(image, QUESTION)

    bare()
    call()
    times: dict[str, list[float]] = {"bare": [], "call": []}
    work: dict[str, list[float]] = {"bare": [], "call": []}
    for _ in range(args.repeats):
        for label, function in (("bare", bare), ("call", call)):
            start, begun = time.perf_counter(), time.process_time()
            function()
            times[label].append(time.perf_counter() - start)
            work[label].append(time.process_time() - begun)
    ratio, ratio_of_work = (
        statistics.median(a / b for a, b in zip(one["call"], one["bare"], strict=True))
        for one in (times, work)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{args.size}, {network.num_parameters() / 1e6:.0f}M parameters, {args.image_size} pixels, "
        f"beam {args.beam}, {args.max_len} tokens, {torch.get_num_threads()} threads, "
        f"{args.repeats} repeats (medians)"
    )
    print(f"bare model, forward and decode: {statistics.median(times['bare']):.3f} s")
    print(f"call to answer: {statistics.median(times['call']):.3f} s")
    print(
        f"ratio: {ratio:.3f}; of CPU time, which other programs disturb less: {ratio_of_work:.3f}"
    )
    print(f"peak memory of this process, weights made and written included: {peak / 2**20:,.0f} MB")


def start(checkpoint: Path, image: Path) -> subprocess.Popen[str]:
    """Start a process that loads the checkpoint, answers, and says how long that took."""
    command = [sys.executable, "-c", CHILD, str(time.time()), str(checkpoint), str(image), QUESTION]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def fresh(checkpoint: Path, image: Path) -> list[float]:
    """Return seconds until loaded, for the answer, in all, of CPU; and bytes; of a new process."""
    process = start(checkpoint, image)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("the process that was to answer failed; see above")
    return [float(one) for one in output.split()]


if __name__ == "__main__":
    main()
