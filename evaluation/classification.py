"""Score image classification: MedMNIST, chest X-rays, CBIS-DDSM, one's own data.

    python evaluation/classification.py PREDICTIONS.jsonl --blank BLANK.jsonl --data PREPARED_DIR

Several files are the folds of a cross-validation. Needs no torch. A file that does not fit its
dataset is refused with one line and exit status 1.
"""

import sys

from biomedgpt.cli.score import main

if __name__ == "__main__":
    sys.exit(main("classification"))
