"""Our own folder: weights, vocabulary, and everything that using them takes.

::

    config.json         model, task, preprocessing, decoding, answers, dataset, settings, licence,
                        expected score, calibration; SHA-256 of all files, its own among them
    model.safetensors   weights by the published key names, without derived buffers
    vocabulary/         see `biomedgpt.vocabulary.Vocabulary.save`
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from biomedgpt.checkpoints.description import FORMAT, CheckpointInfo, Description, as_text
from biomedgpt.checkpoints.hashes import FILES, check_hashes, with_hashes, without_hashes
from biomedgpt.checkpoints.safetensors_file import read_safetensors, write_safetensors
from biomedgpt.checkpoints.source import CONFIG, Contents, Source, own_vocabulary, read_json
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.errors import CheckpointError
from biomedgpt.files import WEIGHTS, atomic_folder, file_hash, read_ahead, write_json
from biomedgpt.vocabulary import Vocabulary

VOCABULARY = "vocabulary"
_FIX = "restore the folder, or convert it again with `biomedgpt convert`"


class NativeFormat:
    """Folders that `write_native` wrote; see `biomedgpt.checkpoints.formats.Format`."""

    name = "native"

    def recognises(self, source: Source) -> bool:
        """Say whether a folder is one of ours, by its description."""
        return source.config.get("format") == FORMAT

    def describe(self, source: Source) -> Contents:
        """Return what is in a folder."""
        stored = read_native(source.path)
        said = vars(stored.description)
        return Contents(file=source.path / WEIGHTS, weights=stored.weights, **said)

    def read(self, source: Source, *, vocabulary: str | Path | None, ema: bool) -> StoredCheckpoint:
        """Read a folder; it has no moving average beside the weights."""
        del ema
        stored = read_native(source.path)
        own_vocabulary(stored.vocabulary, vocabulary, source.path)
        return stored


def write_native(stored: StoredCheckpoint, folder: Path, *, overwrite: bool = False) -> None:
    """Write a checkpoint as our own folder, complete or not at all.

    Raises:
        ConfigError: the folder exists and ``overwrite`` is not given, or cannot be written.
    """
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        write_safetensors(stored.weights, temporary / WEIGHTS)
        stored.vocabulary.save(temporary / VOCABULARY)
        files = {
            str(path.relative_to(temporary).as_posix()): file_hash(path)
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        path = temporary / CONFIG
        text = as_text(with_hashes(stored.description.to_json(), path, files))
        path.write_text(text, encoding="utf-8")


def write_info(folder: Path, info: CheckpointInfo) -> None:
    """Replace what a folder of ours says about its checkpoint; weights and hashes stay.

    Raises:
        CheckpointError: the folder is none of ours, or damaged.
        ConfigError: it cannot be written.
    """
    path = folder / CONFIG
    description, content = _read_config(path)
    described = replace(description, info=info).to_json()
    write_json(path, with_hashes(described, path, content[FILES]))


def read_native(folder: Path) -> StoredCheckpoint:
    """Read a folder that `write_native` wrote.

    Raises:
        CheckpointError: something is missing, damaged, or does not have its recorded hash.
        VocabularyError: the same of the vocabulary.
    """
    description, content = _read_config(folder / CONFIG)
    try:
        weights = read_ahead(folder / WEIGHTS)
    except OSError as error:
        raise CheckpointError(f"{folder / WEIGHTS}: {error.strerror}; {_FIX}") from error
    known = None if weights is None else {WEIGHTS: weights.sha256}
    check_hashes(content, folder / CONFIG, known=known, fix=_FIX)
    return StoredCheckpoint.of(
        description,
        read_safetensors(folder / WEIGHTS, weights, fix=_FIX),
        Vocabulary.load(folder / VOCABULARY),
        in_memory=weights is not None,
    )


def _read_config(path: Path) -> tuple[Description, dict[str, Any]]:
    """Return the description in a folder, and all that its file holds."""
    content = read_json(path, fix=_FIX)
    description = Description.parse(without_hashes(content), path, fix=_FIX)
    if not isinstance(content.get(FILES), dict) or WEIGHTS not in content[FILES]:
        raise CheckpointError(f"{path}: files names no {WEIGHTS}; {_FIX}")
    return description, content
