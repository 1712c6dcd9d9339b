import numpy as np
import pytest

from biomedgpt.errors import ConfigError
from biomedgpt.examples.mixture import Mixture, shares


def test_families_by_weight_and_streams_by_rows() -> None:
    found = shares(
        ["vl", "vl", "text", "image"],
        [300, 100, 50, 10],
        [None, None, None, None],
        {"vl": 8, "text": 2, "image": 1, "detection": 1},
    )
    assert found == pytest.approx([8 / 11 * 0.75, 8 / 11 * 0.25, 2 / 11, 1 / 11])
    found = shares(["vl", "vl"], [300, 100], [1.0, 3.0], {"vl": 8})
    assert found == pytest.approx([0.25, 0.75])


def test_weights_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="weight to all streams of the family vl"):
        shares(["vl", "vl"], [3, 1], [1.0, None], {"vl": 8})
    with pytest.raises(ConfigError, match="all zero"):
        shares(["vl"], [3], [None], {"vl": 0})


def test_an_epoch_is_as_long_as_the_scarcest_stream_allows() -> None:
    mixture = Mixture([100, 80, 1000], [0.5, 0.25, 0.25], seed=1)
    assert mixture.counts == [100, 50, 50]
    assert len(mixture) == 200
    assert Mixture([100, 80], [0.5, 0.5], seed=1, examples=40).counts == [20, 20]
    with pytest.raises(ConfigError, match="at most 160"):
        Mixture([100, 80], [0.5, 0.5], seed=1, examples=161)


def rows_of(mixture: Mixture, epoch: int, stream: int) -> list[int]:
    streams, rows = mixture.epoch(epoch)
    return rows[streams == stream].tolist()


def test_no_row_twice_in_an_epoch_and_all_before_any_again() -> None:
    mixture = Mixture([100, 83, 1000], [0.5, 0.25, 0.25], seed=1)
    for stream, size in enumerate(mixture.rows):
        seen: list[int] = []
        for epoch in range(1, 50):
            rows = rows_of(mixture, epoch, stream)
            assert len(rows) == len(set(rows)) == mixture.counts[stream]
            seen += rows
        # After any number of epochs, the rows have been seen n or n + 1 times.
        for epoch in (1, 3, 7, 20, 49):
            counts = np.bincount(seen[: epoch * mixture.counts[stream]], minlength=size)
            assert counts.max() - counts.min() <= 1


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    def draw(seed: int, epoch: int) -> list[tuple[int, int]]:
        streams, rows = Mixture([40, 30], [0.5, 0.5], seed=seed).epoch(epoch)
        return list(zip(streams.tolist(), rows.tolist(), strict=True))

    mixture = Mixture([40, 30], [0.5, 0.5], seed=1)
    mixture.epoch(9)
    again = [list(map(int, part)) for part in mixture.epoch(3)]
    assert draw(1, 3) == list(zip(*again, strict=True))
    assert draw(1, 3) != draw(1, 4)
    assert draw(1, 3) != draw(2, 3)


def test_streams_are_spread_evenly() -> None:
    streams, _ = Mixture([1000, 1000, 1000], [0.6, 0.3, 0.1], seed=1).epoch(1)
    for start in range(0, len(streams) - 20, 20):
        batch = np.bincount(streams[start : start + 20], minlength=3)
        assert (np.abs(batch - [12, 6, 2]) <= 2).all()
