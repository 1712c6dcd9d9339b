"""Holds the rule of the unit tier: no test starts a process."""

import multiprocessing.process
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

HERE = Path(__file__).parent
platform.processor()  # h5py asks as it is imported, and `uname -p` is run for the first answer only
STARTS = (
    (subprocess.Popen, "__init__"),
    (multiprocessing.process.BaseProcess, "start"),
    *((os, name) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system")),
)


def refuse(*arguments: Any, **options: Any) -> NoReturn:
    """Stand in for what starts a process; not to be caught as an ordinary exception."""
    what = options.get("args", arguments[-1] if arguments else "a fork")
    pytest.fail(f"a unit test starts a process, which belongs in tests/jobs: {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Refuse processes in a test and in all of its fixtures, those of a module too."""
    if not item.path.is_relative_to(HERE):  # pytest calls this hook for the jobs, too
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STARTS:
            patch.setattr(owner, name, refuse)
        return (yield)
