"""Many threads that ask one model: what they ask while it works is answered together afterwards."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")


class Batcher(Generic[Q, R]):
    """Runs a model in a thread of its own, on batches of what was asked meanwhile.

    A batch begins with the question that has waited longest; those like it join it in their order,
    as many as are waiting. Nobody is waited for: a question that comes alone is answered at once,
    and batches grow with the load by themselves.

    Args:
        run: answers questions that are alike, in their order.
        kind: what questions must have in common to be answered together.
        size: most questions of a batch.
    """

    def __init__(
        self, run: Callable[[Sequence[Q]], Sequence[R]], *, kind: Callable[[Q], Hashable], size: int
    ) -> None:
        self._run = run
        self._kind = kind
        self._size = size
        self._waiting: deque[tuple[Q, Future[R]]] = deque()
        # One thread: numerical libraries keep helpers for every thread that calls them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def ask(self, questions: Sequence[Q]) -> list[R]:
        """Return the answers in the order of the questions, with what other threads ask.

        Raises:
            Exception: what answering one of them raises, if it is asked alone.
        """
        asked: list[Future[R]] = []
        for question in questions:
            asked.append(Future())
            self._waiting.append((question, asked[-1]))
            self._thread.submit(self._answer_next)  # finds nothing if an earlier batch took it
        return [one.result() for one in asked]

    def alone(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, called in the model's thread, between batches."""
        return self._thread.submit(work).result()

    def close(self) -> None:
        """End the thread after the batch it is at; who still waits gets a CancelledError."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        while self._waiting:
            self._waiting.popleft()[1].cancel()

    # In the thread

    def _answer_next(self) -> None:
        if not self._waiting:
            return
        kind = self._kind(self._waiting[0][0])
        batch: list[tuple[Q, Future[R]]] = []
        others: list[tuple[Q, Future[R]]] = []
        while self._waiting and len(batch) < self._size:
            one = self._waiting.popleft()
            (batch if self._kind(one[0]) == kind else others).append(one)
        self._waiting.extendleft(reversed(others))
        self._answer(batch)

    def _answer(self, batch: Sequence[tuple[Q, "Future[R]"]]) -> None:
        try:
            results = self._run([question for question, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # one of them, or too little memory for all: nobody fails for the others
                for one in batch:
                    self._answer([one])
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
