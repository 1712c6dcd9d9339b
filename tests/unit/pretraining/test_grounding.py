"""Boxes against boxes."""

import pytest

from biomedgpt.errors import DataError
from biomedgpt.pretraining.grounding import iou, score_grounding


def test_intersection_over_union() -> None:
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (1, 1, 2, 2)) == 0
    assert iou((2, 2, 0, 0), (0, 0, 2, 2)) == 0  # inverted
    score = score_grounding(iter([((0, 0, 1, 1), (0, 0, 1, 1)), ((0, 0, 1, 1), (2, 2, 3, 3))]))
    assert (score.accuracy, score.mean_iou, score.rows) == (0.5, 0.5, 2)
    with pytest.raises(DataError, match="no row"):
        score_grounding(iter([]))
