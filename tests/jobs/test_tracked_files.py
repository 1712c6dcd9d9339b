"""A rule about everything that git keeps."""

import re
import subprocess

import pytest
from checkout import ROOT


def test_no_path_of_a_machine_is_written_down() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("needs a git checkout")
    pattern = re.compile(r"(?<![\w.$}])/(?:home|Users|root|work|data|mnt|opt)/\w")
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".py", ".sh", ".md", ".toml", ".txt", ".json", ".yaml"}:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                assert not pattern.search(line), f"{name}:{number}: {line.strip()}"
