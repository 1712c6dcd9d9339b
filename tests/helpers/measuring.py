"""Measures of lines of predictions, as the scoring scripts compute them."""

from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

from biomedgpt.metrics import captioning
from biomedgpt.scoring.evaluation import measure_records
from biomedgpt.scoring.score_file import MeasureResult
from biomedgpt.tasks import get_group


def measured(
    group: str, records: Sequence[Mapping[str, Any]], **options: int
) -> dict[str, MeasureResult]:
    """Return the measures of a kind of task by key."""
    results, _ = measure_records(get_group(group), records, **options)
    return {result.key: result for result in results}


def measured_captions(
    records: Sequence[Mapping[str, Any]], *, java: str | None, resamples: int = 5
) -> dict[str, MeasureResult]:
    """Return the measures of captions, with this Java or without one."""
    with patch.object(captioning, "find_java", return_value=java):
        return measured("captioning", records, resamples=resamples)


def remarks_on_captions(records: Sequence[Mapping[str, Any]], *, java: str | None) -> list[str]:
    """Return what the scoring script says of the numbers."""
    group = get_group("captioning")
    with patch.object(captioning, "find_java", return_value=java):
        _, problems = measure_records(group, records, resamples=5)
        return group.task.remarks(len(records), problems)
