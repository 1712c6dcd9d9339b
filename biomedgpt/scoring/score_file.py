"""What a score file says, the same for all tasks: measures beside their baselines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from biomedgpt.errors import DataError
from biomedgpt.scoring.bootstrap import Estimate, FoldEstimate
from biomedgpt.tasks import Group, groups


@dataclass(frozen=True, kw_only=True)
class MeasureResult:
    """What a measure gave for a model, beside what it is to be compared with if that is known."""

    key: str
    """Name in score files, also that of published numbers (``rouge_l``)."""
    label: str
    """Name for people (``ROUGE-L``)."""
    model: Estimate
    """Of the model's predictions."""
    blank: Estimate | None = None
    """Of the predictions with blanked images."""
    gain: Estimate | None = None
    """Of the model over blanked images, paired by example."""
    baseline: Estimate | None = None
    """Of the group's baseline, such as the majority answer."""
    problem: str | None = None
    """Why there is no value; None where there is nothing to say."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; those of the model are not nested."""
        content = asdict(self)
        model = content.pop("model")
        return content | model

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Return what `to_dict` was made from; TypeError, KeyError or ValueError if it was not."""
        return cls(
            key=_text(content["key"]),
            label=_text(content["label"]),
            model=_estimate(content),
            **{
                name: None if content[name] is None else _estimate(content[name])
                for name in ("blank", "gain", "baseline")
            },
            problem=None if content["problem"] is None else _text(content["problem"]),
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """Scores of one run over a split, or over the folds of a cross-validation."""

    group: Group
    dataset: str
    dataset_hash: str
    split: str
    """Name of the split, or how many folds there are (``10 folds``)."""
    decoding: Mapping[str, Any]
    n: int
    measures: Sequence[MeasureResult]
    scorer: str
    normalisation: str
    """What was done to texts before they were compared."""
    notes: Sequence[str] = field(default_factory=list)
    """What a reader must know of these very numbers."""

    @property
    def primary(self) -> MeasureResult:
        """The measure that is compared with the baselines."""
        return next(one for one in self.measures if one.key == self.group.primary)

    @property
    def warnings(self) -> list[str]:
        """Baselines that the model does not beat."""
        primary, warnings = self.primary, []
        if primary.gain is not None and not _above_zero(primary.gain):
            folds = isinstance(primary.gain, FoldEstimate)
            spread = "standard deviation over folds" if folds else "95 % interval"
            warnings.append(
                f"The {primary.label} is not above the blank-image {primary.label} by more than "
                f"the {spread}: this model does not look at the image."
            )
        value, baseline = primary.model.value, self.group.baseline
        beside = None if primary.baseline is None else primary.baseline.value
        if value is not None and beside is not None and baseline is not None and value <= beside:
            warnings.append(f"The {primary.label} is not above that of {baseline.meaning}.")
        return warnings

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "task": self.group.name,
            "dataset": self.dataset,
            "dataset_hash": self.dataset_hash,
            "split": self.split,
            "decoding": dict(self.decoding),
            "n": self.n,
            "measures": [measure.to_dict() for measure in self.measures],
            "baseline": self.group.baseline_name,
            "warnings": self.warnings,
            "notes": list(self.notes),
            "scorer": self.scorer,
            "normalisation": self.normalisation,
        }

    @staticmethod
    def from_dict(content: Any, *, where: str) -> "Score":
        """Return the result that a score file holds.

        Raises:
            DataError: it is none; the message begins with ``where``.
        """
        try:
            result = Score(
                group=groups()[content["task"]],
                **{
                    key: _text(content[key])
                    for key in ("dataset", "dataset_hash", "split", "scorer", "normalisation")
                },
                decoding=dict(content["decoding"]),
                n=_count(content["n"]),
                measures=[MeasureResult.from_dict(one) for one in content["measures"]],
                notes=[_text(note) for note in content["notes"]],
            )
            if [one.key for one in result.measures] != [kind.key for kind in result.group.measures]:
                raise ValueError("other measures than its task has")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{where}: not a score file of this version ({reason}); score the predictions "
                "again with evaluation/TASK.py --json"
            ) from error
        return result


def _above_zero(gain: Estimate) -> bool:
    """Say whether a gain is above zero by more than its spread."""
    if isinstance(gain, FoldEstimate):
        return gain.value is not None and gain.value > (gain.deviation or 0.0)
    return gain.low is not None and gain.low > 0


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be a text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} should be a count")
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"{value!r} should be a finite number")
    return float(value)


def _estimate(content: Any) -> Estimate:
    numbers = {key: _number(content[key]) for key in ("value", "low", "high")}
    n = _count(content["n"])
    if "deviation" in content:
        deviation = _number(content["deviation"])
        if (deviation is None) != (numbers["value"] is None):
            raise ValueError("a value without a deviation")
        return FoldEstimate(**numbers, n=n, deviation=deviation)
    return Estimate(**numbers, n=n)
