"""The commands of the benchmark suite: nothing timed is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

from checkout import ROOT


def test_broken_checkout_is_a_line_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "models" / "ofa").mkdir(parents=True)
    (tmp_path / "models" / "ofa" / "ofa.py").write_text("import no_such_module\n")
    command = [sys.executable, "-m", "bench", "--case", "encoder", "--size", "nano", "--no-memory"]
    done = subprocess.run(
        [*command, "--repeats", "1", "--threads", "1", "--upstream", str(tmp_path)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no_such_module" in done.stdout.splitlines()[-1]


def test_a_curve_is_measured_kept_and_drawn(tmp_path: Path) -> None:
    files = [f"--out={tmp_path / 'curves.json'}", f"--plot={tmp_path / 'curves.png'}"]
    command = [sys.executable, "-m", "bench.curves", "--curve", "beams", "--size", "nano"]
    done = subprocess.run(
        [*command, "--repeats", "1", "--threads", "1", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    # 1 says that an order was exceeded, which a busy machine may do.
    assert done.returncode in (0, 1), done.stderr
    assert "beams: time of order" in done.stdout
    kept = json.loads((tmp_path / "curves.json").read_text())
    points = kept["curves"]["beams"]["points"]
    assert [point["value"] for point in points] == [1, 2, 4, 8, 16]
    assert (tmp_path / "curves.png").stat().st_size > 1000
