"""One process of a run on several devices; torchrun starts it, see launch.py.

worker.py LOG UPDATES fairseq-train-arguments...
"""

import os
import sys
import warnings
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
warnings.simplefilter("ignore")

from screen import Screen, logged_failures, start_logging  # noqa: E402

if __name__ == "__main__":
    log, updates, *command = sys.argv[1:]
    first = os.environ["RANK"] == "0"
    path = Path(log) if first else Path(log).with_suffix(f".rank{os.environ['RANK']}.log")
    start_logging(path, Screen(int(updates)) if first else None)
    from fairseq_cli.train import cli_main

    # fairseq would send what the first process has read as a pickle, which torch refuses to open.
    command += ["--load-checkpoint-on-all-dp-ranks"]
    if "--cpu" in command:
        # fairseq would look for the GPU of this rank.
        command += ["--distributed-init-method", "env://", "--distributed-no-spawn"]
        command += ["--distributed-rank", os.environ["RANK"]]
    sys.argv = ["fairseq-train", *command]
    with logged_failures(path):
        cli_main()
