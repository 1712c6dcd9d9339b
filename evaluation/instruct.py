"""Score answers to instructions: BioMed-VITAL, LLaVA-Med, PubMedVision, MedMax, one's own data.

    python evaluation/instruct.py PREDICTIONS.jsonl --data PREPARED_DIR

Several files are the folds of a cross-validation. Needs no torch. A file that does not fit its
dataset is refused with one line and exit status 1.
"""

import sys

from biomedgpt.cli.score import main

if __name__ == "__main__":
    sys.exit(main("instruct"))
