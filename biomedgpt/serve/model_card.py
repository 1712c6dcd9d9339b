"""What the page says about its model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import
    from biomedgpt.checkpoints.stored import Checkpoint

NOTICE = "Research only, not for clinical use."
"""In sight on the page, whatever is asked."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Facts about a model, as the page shows them.

    Attributes:
        task: name of the task it was trained for, None where that is not known.
        answers: answers or classes it chooses from.
        facts: name and value of each line.
        notes: what was assumed when it was read, one sentence each.
    """

    task: str | None
    answers: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, checkpoint: "Checkpoint") -> "ModelCard":
        """Return the card of a checkpoint."""
        from biomedgpt.checkpoints.state_dict import identify_size, shapes_of

        info = checkpoint.info
        size = identify_size(shapes_of(checkpoint.model.state_dict()))
        parameters = sum(weights.numel() for weights in checkpoint.model.parameters())
        count = f"{parameters / 1e6:,.1f} million parameters"
        return cls(
            task=info.task,
            answers=info.answers,
            facts=(
                ("Model", info.name or "unnamed"),
                ("Size", count if size is None else f"{size}, {count}"),
                ("Task", info.task or "pretrained, or not known"),
                ("Licence of the weights", info.licence or "not stated"),
                ("Expected score", _numbers(info.expected_score) or "not stated"),
                ("Calibration", _numbers(info.calibration) or "none"),
            ),
            notes=info.notes,
        )


def _numbers(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in values.items())
