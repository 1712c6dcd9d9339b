"""A description that records the SHA-256 (hex) of the files of its folder, its own among them.

Its own is of what it says, whatever the spaces and the order, and without itself. Descriptions of
earlier versions have none of their own, or none at all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedgpt.errors import CheckpointError
from biomedgpt.files import WEIGHTS, file_hash, json_hash
from biomedgpt.stamps import stamped_hash

FILES = "files"
"""Key of the hashes, by name relative to the folder."""


def with_hashes(content: Mapping[str, Any], path: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """Return a description with the hashes of files and its own.

    Args:
        content: values of JSON.
        path: of the description.
        files: hashes of the others by name.
    """
    others = {name: value for name, value in files.items() if name != path.name}
    own = _own_hash({**content, FILES: others}, path.name)
    return {**content, FILES: {**others, path.name: own}}


def without_hashes(content: Any) -> Any:
    """Return a description without its hashes; what is no description stays what it is."""
    if not isinstance(content, dict):
        return content
    return {key: value for key, value in content.items() if key != FILES}


def check_hashes(
    content: Mapping[str, Any], path: Path, *, known: Mapping[str, str] | None = None, fix: str
) -> None:
    """Hold a folder against the hashes that its description records, if it records any.

    Args:
        content: of the description.
        path: of the description.
        known: hashes of files that were read already.
        fix: what to do about a damaged file, for the message.

    Raises:
        CheckpointError: a file is missing or has another hash, or the description names one
            outside the folder.
    """
    files = content.get(FILES, {})
    if not isinstance(files, dict):
        raise CheckpointError(f"{path}: {FILES} is no list of hashes; {fix}")
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckpointError(f"{path}: {FILES} names {name!r}, outside the folder; {fix}")
    for name, recorded in files.items():
        file = path.parent / name
        try:
            if name == path.name:
                found = _own_hash(content, name)
            elif known and name in known:
                found = known[name]
            else:  # the large one once, the others take no time
                found = stamped_hash(file) if file.name == WEIGHTS else file_hash(file)
        except OSError as error:
            raise CheckpointError(f"{file}: {error.strerror}; {fix}") from error
        if found != recorded:
            more = f", or remove {name} from its {FILES} if you changed it" * (name == path.name)
            raise CheckpointError(
                f"{file}: does not have the hash recorded in {path.name}; it was changed or "
                f"damaged, {fix}{more}"
            )


def _own_hash(content: Mapping[str, Any], name: str) -> str:
    others = {key: value for key, value in content[FILES].items() if key != name}
    return json_hash({**content, FILES: others})
