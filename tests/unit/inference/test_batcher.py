"""Many threads that ask one model: each is given its own answer, together or alone."""

import random
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event, get_ident

import pytest

from biomedgpt.inference.batcher import Batcher

SIZE = 4


class Model:
    """Doubles numbers of one sign; fails at 13, and at 7 unless it is alone."""

    def __init__(self):
        self.batches = []
        self.threads = set()
        self.batcher = Batcher(self.run, kind=lambda number: number < 0, size=SIZE)

    def run(self, numbers):
        self.batches.append(list(numbers))
        self.threads.add(get_ident())
        if 13 in numbers or (7 in numbers and len(numbers) > 1):
            raise ValueError("13, or too much at once")
        return [2 * number for number in numbers]

    def holding(self, pool):
        """Keep the model busy, so that questions gather, until the event that is returned."""
        busy, go = Event(), Event()
        pool.submit(self.batcher.alone, lambda: (busy.set(), go.wait()))
        busy.wait()
        return go

    def wait_for_waiting(self, count):
        while len(self.batcher._waiting) < count:
            pass


def answer_or_error(model, numbers):
    try:
        return model.batcher.ask(numbers)
    except ValueError:
        return "failed"


@pytest.mark.parametrize("seed", range(20))
def test_everybody_is_answered_as_if_alone(seed):
    draw = random.Random(seed)
    asked = [
        [draw.choice([-3, -2, -1, 1, 2, 3, 7, 13]) for _ in range(draw.randint(1, 6))]
        for _ in range(draw.randint(1, 12))
    ]
    model = Model()
    with ThreadPoolExecutor(16) as pool:
        go = model.holding(pool) if draw.random() < 0.7 else Event()
        found = [pool.submit(answer_or_error, model, numbers) for numbers in asked]
        go.set()
        answers = [one.result() for one in found]
    model.batcher.close()
    assert answers == [
        "failed" if 13 in numbers else [2 * number for number in numbers] for numbers in asked
    ]
    assert all(len(batch) <= SIZE for batch in model.batches)
    assert all(len({number < 0 for number in batch}) == 1 for batch in model.batches)
    assert len(model.threads) == 1


def test_what_waits_is_answered_together_the_oldest_first():
    model = Model()
    with ThreadPoolExecutor(16) as pool:
        go = model.holding(pool)
        found = pool.submit(model.batcher.ask, [1, -1, 2, -2, 3, 4, 5])
        model.wait_for_waiting(7)
        go.set()
        assert found.result() == [2, -2, 4, -4, 6, 8, 10]
    assert model.batches == [[1, 2, 3, 4], [-1, -2], [5]]
    model.batcher.close()


def test_who_still_waits_at_the_end_is_told():
    model = Model()
    with ThreadPoolExecutor(2) as pool:
        go = model.holding(pool)
        waiting = pool.submit(model.batcher.ask, [1])
        model.wait_for_waiting(1)
        model.batcher.close()
        with pytest.raises(CancelledError):
            waiting.result()
        go.set()
    assert model.batches == []
