"""Shards in parallel: Dask workers on this machine, or those of a cluster that runs already."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from biomedgpt.corpora.shards import ShardReport, ShardTask, write_shard
from biomedgpt.errors import ConfigError, DataError, optional_import, reason_of

WAIT = 30.0
"""Seconds without a finished shard after which it is looked whether there still are workers."""
MOST_IDLE_WAITS = 4
CONNECT_WAIT = 15.0
"""Seconds in which a scheduler must answer."""


def run_on_workers(
    tasks: Sequence[ShardTask], *, workers: int, scheduler: str | None
) -> Iterator[tuple[int, ShardReport]]:
    """Write shards on Dask workers; yields (number, report) as they are finished.

    No more shards are handed out than there are workers, so that what a dying worker takes with it
    is the one shard it was writing, which goes to another worker.

    Raises:
        ConfigError: Dask is missing, or there is no scheduler at that address.
        DataError: what `write_shard` raises, or the workers are gone.
    """
    distributed = _import_dask()
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Any, int] = {}
    with _client(distributed, workers, scheduler) as client:
        idle_waits = 0
        try:
            while waiting or running:
                threads = sum(client.nthreads().values())
                while waiting and len(running) < threads:
                    number, task = waiting.pop()
                    # Not a pure function: a result that Dask remembers must not stand for a file.
                    running[client.submit(write_shard, task, pure=False)] = number
                try:
                    if running:
                        distributed.wait(list(running), timeout=WAIT, return_when="FIRST_COMPLETED")
                    else:
                        client.wait_for_workers(1, timeout=WAIT)
                except TimeoutError:
                    idle_waits = 0 if threads else idle_waits + 1
                    if idle_waits >= MOST_IDLE_WAITS:
                        raise DataError(
                            f"no workers left ({len(waiting) + len(running)} shards to do); start "
                            "some and begin again, finished shards are kept"
                        ) from None
                    continue
                for future in [future for future in running if future.done()]:
                    number = running.pop(future)
                    yield number, _result(distributed, future, tasks[number])
        except (OSError, distributed.client.FutureCancelledError) as error:
            raise DataError(
                f"lost the connection to the Dask scheduler ({error}); begin again, finished "
                "shards are kept"
            ) from error


def _result(distributed: Any, future: Any, task: ShardTask) -> ShardReport:
    """Return the report of a shard, or raise what went wrong."""
    error = future.exception()
    if error is None:
        report: ShardReport = future.result()
        return report
    if isinstance(error, distributed.KilledWorker):
        raise DataError(
            f"{task.work.name}: the workers that read it died (memory? see their logs); leave this "
            "file out, or give them more memory, and start again"
        ) from error
    raise error


def _import_dask() -> Any:
    with optional_import(
        "several workers need Dask; run: pip install distributed (or give --workers 0)"
    ):
        import distributed
    return distributed


@contextmanager
def _client(distributed: Any, workers: int, scheduler: str | None) -> Iterator[Any]:
    """Connect to a cluster, or start processes on this machine that end with the block."""
    with ExitStack() as stack:
        try:
            cluster = scheduler
            if scheduler is None:
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address="127.0.0.1:0",  # any free port
                        silence_logs=logging.CRITICAL,
                    )
                )
            client = stack.enter_context(distributed.Client(cluster, timeout=CONNECT_WAIT))
        except (OSError, ValueError, RuntimeError) as error:
            reason = reason_of(error)
            raise ConfigError(
                f"no Dask scheduler at {scheduler} ({reason}); start one with `dask scheduler`"
                if scheduler is not None
                else f"Dask workers did not start ({reason}); try fewer --workers, or --workers 0"
            ) from error
        yield client
