"""What a failure looks like on the screen: one line, which names what failed."""

from pathlib import Path

import pytest

from biomedgpt.errors import BiomedGPTError, DataError
from biomedgpt.recipes.screen import logged_failures

OF_A_WORKER = "Caught {} in DataLoader worker process 1.\nOriginal Traceback:\n  File x\n{}: {}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("one\ntwo"), "RuntimeError: one; the traceback is in"),
        (KeyError("x"), "KeyError: 'x'; the traceback is in"),
        (DataError("row 3: no image"), "row 3: no image"),
        (
            RuntimeError(OF_A_WORKER.format("OSError", "OSError", "truncated")),
            "OSError: truncated; the traceback",
        ),
        (
            RuntimeError(
                OF_A_WORKER.format(
                    *("RuntimeError", "RuntimeError"),
                    "unable to allocate shared memory(shm) for file </torch_29_16_0>: Success (0)",
                )
            ),
            r"shared memory is full .* give --num-workers 0, or a container more of it; the trace",
        ),
    ],
)
def test_a_failure_is_one_line(error: Exception, said: str, tmp_path: Path) -> None:
    with pytest.raises(BiomedGPTError, match=f"^{said}"), logged_failures(tmp_path / "train.log"):
        raise error
