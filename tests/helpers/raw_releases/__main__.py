"""Write a small raw release: python -m raw_releases NAME FOLDER (tests/helpers/ on the path)."""

import sys
from pathlib import Path

from raw_releases.all import build

if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
