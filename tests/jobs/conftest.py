"""What the jobs share: a trained run."""

import fcntl
import os

import pytest
from trained_run import TrainedRun, train_tiny_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """A tiny run of a recipe, trained once for all workers of pytest-xdist."""
    pytest.importorskip("fairseq", reason="needs the train extra")
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained run"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other workers wait for the first
        return train_tiny_run(place)
