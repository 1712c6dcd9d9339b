"""Changes a few bytes of prepared data, many times, and looks whether training's reader says so.

    python -m bench.mutations --count 300

Every line is one kind of file. Of its mutations some are refused in one line, some leave all that
is read as it was, and none may change it without a word (silent) or end in a traceback (crash).
``train.h5, unseen`` is a change that size, time and inode do not show, as of a failing disk: the
checksums inside the file are all that is left to tell.
"""

import argparse
import hashlib
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
from tqdm import tqdm

from biomedgpt.data.phantom_releases.text_and_image import (
    PREPARED_FOLDER,
    write_phantom_interleaved,
)
from biomedgpt.data.prepared.card import CARD_FILE
from biomedgpt.data.prepared.codes import CodesInfo, write_codes
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import BiomedGPTError

SPLIT = "train"
UNSEEN = "train.h5, unseen"
FILES = {
    "train.h5": "train.h5",
    UNSEEN: "train.h5",
    "train.codes.h5": "train.codes.h5",
    CARD_FILE: CARD_FILE,
}
"""Files to change, by what their line is called."""
OUTCOMES = ("refused", "same", "silent", "crash")


def write_data(folder: Path) -> Path:
    """Write a small dataset of questions and drawings, with codes; return its folder."""
    write_phantom_interleaved(folder, train=12, valid=2, test=2, size=48)
    dataset = PreparedDataset(folder / PREPARED_FOLDER)
    split = dataset.split(SPLIT)
    info = CodesInfo("of a bench", 32, image_size=32, middle_grid=2, whole_size=32, whole_grid=4)
    draw = np.random.default_rng(0)
    middle, whole = (draw.integers(0, 32, (split.num_images, n), dtype=np.int32) for n in (4, 16))
    write_codes(split, info, middle, whole)
    return dataset.folder


def read(folder: Path) -> list[str]:
    """Return a digest of every row as training reads it, and of what its card says."""
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    task = BiomedGPTTask(BiomedGPTTaskConfig(data=str(folder), patch_image_size=48))
    task.most_positions = 1024
    task.load_dataset(SPLIT)
    rows = task.datasets[SPLIT]
    found = [repr(task.prepared.card), task.prepared.hash, repr(rows.sizes.tolist())]
    for number in range(len(rows)):
        sample = rows[number]
        tensors = [sample[name].tolist() for name in ("source", "target")]
        image = b"" if sample["image"] is None else sample["image"].numpy().tobytes()
        content = [sample["example"], tensors, hashlib.sha256(image).hexdigest()]
        found.append(hashlib.sha256(repr(content).encode()).hexdigest())
    return found


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield changed copies of a file's bytes."""
    draw = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        place, other = (draw.randrange(len(data)) for _ in range(2))
        size = draw.randrange(1, 64)
        match draw.choice(("bit", "bit", "byte", "byte", "zeros", "swap", "cut", "insert")):
            case "bit":
                changed[place] ^= 1 << draw.randrange(8)
            case "byte":
                changed[place] = draw.randrange(256)
            case "zeros":
                changed[place : place + size] = bytes(len(changed[place : place + size]))
            case "swap":
                size = min(size, len(data) - max(place, other))
                changed[place : place + size] = data[other : other + size]
                changed[other : other + size] = data[place : place + size]
            case "cut":
                del changed[place:]
            case "insert":
                changed[place:place] = draw.randbytes(size)
        yield bytes(changed)


def outcome(read: Callable[[], list[str]], expected: list[str]) -> tuple[str, str]:
    """Return how reading ends, one of `OUTCOMES`, and what is said."""
    try:
        found = read()
    except BiomedGPTError as error:
        return ("crash" if "\n" in str(error) else "refused"), str(error)
    except Exception as error:
        return "crash", repr(error)
    return ("same" if found == expected else "silent"), ""


def run(folder: Path, what: str, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Change one file of a dataset again and again; return outcomes, and what went wrong."""
    path = folder / FILES[what]
    data, expected = path.read_bytes(), read(folder)
    hashes = PreparedDataset(folder).card.hashes
    unseen: AbstractContextManager[object] = nullcontext()
    if what == UNSEEN:
        name = "biomedgpt.data.prepared.dataset.stamped_hash"
        unseen = patch(name, lambda path: hashes[path.stem])
    outcomes: Counter[str] = Counter()
    wrong = []
    with unseen:
        changes = tqdm(mutations(data, count, seed), desc=what, total=count, disable=None)
        for number, changed in enumerate(changes):
            path.write_bytes(changed)
            ended, said = (
                ("same", "") if changed == data else outcome(lambda: read(folder), expected)
            )
            outcomes[ended] += 1
            if ended in ("silent", "crash"):
                wrong.append(f"{what}: mutation {number}: {ended} {said}")
    path.write_bytes(data)
    return outcomes, wrong


def main() -> int:
    """Print how the mutations ended; 1 if any was silent or crashed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, metavar="N", help="of each file (300)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    args = parser.parse_args()
    problems: list[str] = []
    folder = Path(tempfile.mkdtemp())
    try:
        data = write_data(folder)
        print(f"{'file':<18}", *(f"{name:>8}" for name in OUTCOMES))
        for what in FILES:
            outcomes, wrong = run(data, what, args.count, args.seed)
            print(f"{what:<18}", *(f"{outcomes[name]:>8}" for name in OUTCOMES), flush=True)
            problems += wrong
    finally:
        shutil.rmtree(folder)
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
