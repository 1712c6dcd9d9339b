"""What to leave out of training data: texts without medicine, useless images, near-duplicates."""

from biomedgpt.data.quality.filter import FilterOptions, FilterReport, filter_dataset

__all__ = ["FilterOptions", "FilterReport", "filter_dataset"]
