"""One sequence-to-sequence model for biomedical vision-language tasks."""

__version__ = "0.1.0"
