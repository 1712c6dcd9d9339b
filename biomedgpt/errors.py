"""Errors that a user can mend.

Every message is one line that says what is wrong, where (file and row, or key), and what to do
next. The command line prints it and exits with status 1; anything else is a bug and keeps its
traceback.
"""


class BiomedGPTError(Exception):
    """Base of all errors a user can mend."""


class ConfigError(BiomedGPTError):
    """An option, or a combination of options, that makes no sense."""


class DataError(BiomedGPTError):
    """A file, row, image or answer that cannot be used."""


class VocabularyError(BiomedGPTError):
    """A vocabulary that is missing, damaged or does not fit the model."""


class CheckpointError(BiomedGPTError):
    """Weights that are missing, hostile, damaged or of another size."""
