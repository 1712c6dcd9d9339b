"""Whether a run that resumes is the run that was begun."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from biomedgpt.checkpoints.description import Description
from biomedgpt.errors import ConfigError

KINDS = ("data", "task", "answers", "images", "model", "precision", "start", "vocabulary")
"""What makes a run the one it is. Weights of another vocabulary mean something else."""
CHANGEABLE = KINDS[:-1]
_SHOWN = 40  # characters of a value
_MIXED = "trained with biomedgpt on "


def parse_kinds(text: str) -> tuple[str, ...]:
    """Return kinds that may differ, from their names with commas between them.

    Raises:
        ConfigError: there is no such kind.
    """
    kinds = tuple(text.split(",")) if text else ()
    for kind in kinds:
        if kind not in CHANGEABLE:
            raise ConfigError(f"--allow-changed: {kind!r} is none of {', '.join(CHANGEABLE)}")
    return kinds


def differences(
    begun: Description,
    now: Description,
    *,
    vocabularies: tuple[str, str],
    allowed: Sequence[str] = (),
) -> list[str]:
    """Return what is otherwise than when a run was begun, a line each.

    Args:
        begun: what its checkpoint says.
        now: what is to be trained.
        vocabularies: fingerprints of then and now.
        allowed: of `KINDS`, what may differ.
    """
    then, later = (
        _facts(description, fingerprint)
        for description, fingerprint in zip((begun, now), vocabularies, strict=True)
    )
    found = []
    for kind in KINDS:
        if kind in allowed:
            continue
        for name, value in later[kind].items():
            before = then[kind].get(name)
            if before is not None and before != value:
                found.append(
                    f"{kind}: {name} was {_show(before, value)}, is {_show(value, before)}"
                )
    return found


def _facts(description: Description, fingerprint: str) -> dict[str, Mapping[str, Any]]:
    """Return what is compared, by kind and name; None is not known and compared with nothing."""
    info, settings = description.info, description.info.settings
    mixed = info.source.removeprefix(_MIXED) if info.source.startswith(_MIXED) else None
    return {
        "data": {
            "dataset": info.dataset or None,
            "its hash": info.dataset_hash or None,
            "what it is mixed of": mixed,
            "fold": settings.get("fold"),
        },
        "task": {"task": info.task, **info.task_options},
        "answers": {"candidate answers": tuple(sorted(info.answers)) or None},
        "images": asdict(description.preprocessing),
        "model": description.to_json()["model"],
        "precision": {"precision": settings.get("precision")},
        "start": {"weights it starts from": settings.get("started_from", "none")},
        "vocabulary": {"fingerprint": fingerprint},
    }


def _show(value: Any, other: Any) -> str:
    """Return a value as text; of a list, what the other one has not."""
    if isinstance(value, tuple | list) and isinstance(other, tuple | list):
        only = [str(one) for one in value if one not in other]
        return f"{len(value)} ({', '.join(only[:3]) or 'none of its own'})"
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:12]}..."
