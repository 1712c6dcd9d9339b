"""One's own tables as prepared datasets: any task, any column names."""

from biomedgpt.data.own.columns import parse_columns
from biomedgpt.data.own.own_dataset import OwnOptions, import_table
from biomedgpt.data.own.own_rows import AnswerIs
from biomedgpt.data.own.splits import Tables, parse_tables

__all__ = ["AnswerIs", "OwnOptions", "Tables", "import_table", "parse_columns", "parse_tables"]
