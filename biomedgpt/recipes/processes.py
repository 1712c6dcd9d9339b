"""One process per device under torchrun, on this node or, with others, on several.

Several nodes run the same command with three variables set, as `pretraining/pretrain.slurm` does:
BIOMEDGPT_NODES, their number; BIOMEDGPT_RENDEZVOUS, the HOST:PORT of the first one, where they
meet; BIOMEDGPT_JOB, a name that the nodes of this job share.
"""

import ctypes
import logging
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from functools import partial

from biomedgpt.errors import BiomedGPTError, ConfigError
from biomedgpt.locks import JOB

NODES = "BIOMEDGPT_NODES"
RENDEZVOUS = "BIOMEDGPT_RENDEZVOUS"
RESUME = "give the command again to go on from the last checkpoint"
_SIGNAL_AT_DEATH = 1  # PR_SET_PDEATHSIG
# SIGTERM is how torchrun ends the others.
_KILLED = {-number for number in signal.Signals if number != signal.SIGTERM}


def count_nodes() -> int:
    """Return how many nodes run this command.

    Raises:
        ConfigError: the variables that say so make no sense.
    """
    nodes, meeting = os.environ.get(NODES, "1"), os.environ.get(RENDEZVOUS)
    if not nodes.isdecimal() or int(nodes) < 1:
        raise ConfigError(f"{NODES} must be a number of nodes, got {nodes!r}")
    if int(nodes) > 1 and (meeting is None or not re.fullmatch(r"\S+:\d+", meeting)):
        raise ConfigError(f"{NODES} is {nodes}; set {RENDEZVOUS} to HOST:PORT of the first of them")
    return int(nodes)


def end_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Let this process get a signal when the one that started it is gone, however that ended."""
    ctypes.CDLL(None).prctl(_SIGNAL_AT_DEATH, int(number))  # Linux, as fairseq's wheel is


def run_child(command: Sequence[str]) -> int:
    """Run a command that ends with this process, and when it is asked to; return its exit status.

    Args:
        command: its words.
    """
    with subprocess.Popen(command, preexec_fn=partial(end_with_parent, signal.SIGTERM)) as process:
        before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)


def run_processes(script: Sequence[str], *, count: int) -> int:
    """Run a Python script in several processes and wait for them; return the exit status.

    Args:
        script: path and arguments.
        count: processes on all nodes together.

    Raises:
        BiomedGPTError: a process was killed; the others were ended.
        KeyboardInterrupt: this process was asked to stop; the others were ended.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig
    from torch.distributed.run import main

    nodes = count_nodes()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun's choice, which it says in five lines
    options = [f"--nnodes={nodes}", f"--nproc-per-node={count // nodes}"]
    if nodes == 1:
        options += ["--standalone"]
    else:
        options += ["--rdzv-backend=c10d", f"--rdzv-endpoint={os.environ[RENDEZVOUS]}"]
        options += [f"--rdzv-id={os.environ.get(JOB, 'biomedgpt')}"]
    if "signals_to_handle" in LaunchConfig.__dataclass_fields__:  # since torch 2.9
        # The caller sees to SIGTERM, and nohup to SIGHUP.
        there = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        options += [f"--signals-to-handle=SIGINT,SIGQUIT{',SIGHUP' if there else ''}"]
    # A process that fails says why; torchrun would add a page.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    try:
        main([*options, *script])
    except SignalException as error:
        raise KeyboardInterrupt(RESUME) from error
    except ChildFailedError as error:
        # Of a process that was killed the others' errors are but consequences.
        ends = {rank: failure.exitcode for rank, failure in error.failures.items()}
        killed = [rank for rank, status in ends.items() if status in _KILLED]
        if not killed:
            return max(1, *ends.values())
        name = signal.Signals(-ends[killed[0]]).name
        cause = " (was memory short?)" if name == "SIGKILL" else ""
        raise BiomedGPTError(
            f"process {killed[0]} of {count} was ended by {name}{cause}, and the others with it; "
            f"{RESUME}"
        ) from error
    return 0
