"""How probable an answer really is: one temperature, fitted on validation data.

The log-probabilities of the candidates are divided by a temperature before they are normalised
(Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599). No answer changes by that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from biomedgpt.checkpoints.checkpoint import find_checkpoint
from biomedgpt.checkpoints.hashes import with_hashes
from biomedgpt.checkpoints.native import NativeFormat, write_info
from biomedgpt.checkpoints.source import Source
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.errors import ConfigError
from biomedgpt.files import atomic_path, write_json
from biomedgpt.inference.beside import CALIBRATION, folder_of
from biomedgpt.inference.predictor import WINDOW, Predictor
from biomedgpt.inference.queries import Choice, Query
from biomedgpt.report.plots import load_matplotlib

BINS = 15
"""Of equal width, of the expected calibration error."""
LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of the temperature."""


@dataclass(frozen=True)
class ScoredRows:
    """Rows with the log-probabilities of their candidates; N rows, K candidates at most.

    Attributes:
        scores: (N, K) log-probabilities, minus infinity where a row has fewer candidates.
        target: (N) the candidate that is the reference, -1 where it is none of them.
        correct: (N) whether the most probable candidate is an accepted answer.
    """

    scores: NDArray[np.float64]
    target: NDArray[np.int64]
    correct: NDArray[np.bool_]

    def confidence(self, temperature: float) -> NDArray[np.float64]:
        """Return the probability of each answer, (N)."""
        return torch.from_numpy(self.scores / temperature).softmax(1).amax(1).numpy()

    def loss(self, temperature: float) -> float:
        """Return the mean negative log-likelihood of the references that are candidates."""
        known = self.target >= 0
        scores = torch.from_numpy(self.scores[known] / temperature)
        return float(functional.cross_entropy(scores, torch.from_numpy(self.target[known])))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A fitted temperature and what it changed.

    Attributes:
        temperature: above 1 makes the model less sure.
        rows: all rows.
        fitted: of these, rows whose reference is among the candidates.
        accuracy: share of the rows with an accepted answer.
        ece_before: expected calibration error without the temperature.
        ece: the same with it.
        loss_before: negative log-likelihood per row without the temperature.
        loss: the same with it.
    """

    temperature: float
    rows: int
    fitted: int
    accuracy: float
    ece_before: float
    ece: float
    loss_before: float
    loss: float

    @property
    def at_limit(self) -> bool:
        """Whether the data ask for a temperature beyond the bounds."""
        return not LOWEST * 1.01 < self.temperature < HIGHEST * 0.99

    def facts(self) -> dict[str, float]:
        """Return what is kept with the checkpoint."""
        return {
            "temperature": self.temperature,
            "ece": self.ece,
            "ece_uncalibrated": self.ece_before,
            "rows": float(self.rows),
        }


def score_split(predictor: Predictor, split: PreparedSplit) -> ScoredRows:
    """Score the candidates of every row of a split.

    Raises:
        ConfigError: the model is of another task, or answers in free text.
        DataError: a row cannot be used.
    """
    name = predictor.checkpoint.info.task
    if name != split.task:
        raise ConfigError(
            f"{split.path} holds {split.task!r}, but the checkpoint was trained for {name!r}; give "
            "data of its own task"
        )
    scores: list[Tensor] = []
    target: list[int] = []
    correct: list[bool] = []
    bar = tqdm(total=len(split), desc=f"{name} {split.name}", unit="", disable=None)
    rows = iter(range(len(split)))
    while window := list(islice(rows, WINDOW * predictor.engine.batch_size)):
        examples = [split[row] for row in window]
        queries = [
            predictor.query_builder.query(name, example, where=split.locate(row))
            for row, example in zip(window, examples, strict=True)
        ]
        outputs = [_choice(query, split) for query in queries]
        found: dict[int, Tensor] = {}
        for batch in predictor.engine.batches(queries):
            values = predictor.engine.score([queries[place] for place in batch])
            found.update(zip(batch, values.double(), strict=True))
            bar.update(len(batch))
        task = predictor.query_builder.task(name)
        for place, (example, output) in enumerate(zip(examples, outputs, strict=True)):
            index = {answer: number for number, answer in enumerate(output.answers)}
            accepted = [index.get(one.answer, -1) for one in task.references(example)]
            scores.append(found[place])
            target.append(next((one for one in accepted if one >= 0), -1))
            correct.append(int(found[place].argmax()) in accepted)
    bar.close()
    padded = pad_sequence(scores, batch_first=True, padding_value=-math.inf)
    return ScoredRows(padded.numpy(), np.array(target), np.array(correct))


def fit(scored: ScoredRows) -> Calibration:
    """Fit the temperature by the likelihood of the references.

    Raises:
        ConfigError: no reference is among the candidates.
    """
    fitted = int((scored.target >= 0).sum())
    if not fitted:
        raise ConfigError(
            "no reference is among the candidate answers, so nothing can be fitted; give data of "
            "the checkpoint's own task"
        )
    # The loss is convex in 1 / temperature, hence has one minimum in its logarithm too.
    temperature = math.exp(
        _minimum(lambda log: scored.loss(math.exp(log)), math.log(LOWEST), math.log(HIGHEST))
    )
    return Calibration(
        temperature=temperature,
        rows=len(scored.target),
        fitted=fitted,
        accuracy=float(scored.correct.mean()),
        ece_before=expected_error(scored.confidence(1.0), scored.correct),
        ece=expected_error(scored.confidence(temperature), scored.correct),
        loss_before=scored.loss(1.0),
        loss=scored.loss(temperature),
    )


def reliability(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and number of rows of each bin that has some."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[here].mean()), float(correct[here].mean()), int(here.sum()))
        for here in (place == number for number in range(bins))
        if here.any()
    ]


def expected_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Return the expected calibration error: the mean gap of `reliability`, weighted by rows."""
    parts = reliability(confidence, correct, bins)
    return sum(rows * abs(right - sure) for sure, right, rows in parts) / len(correct)


def store(checkpoint: str | Path, predictor: Predictor, calibration: Calibration) -> Path:
    """Write a temperature where `biomedgpt.load` finds it; return the file.

    That is the description of our own folder, or ``calibration.json`` beside another checkpoint.

    Raises:
        ConfigError: it cannot be written.
    """
    source = find_checkpoint(checkpoint)
    if source.is_dir() and NativeFormat().recognises(Source(source)):
        write_info(source, replace(predictor.checkpoint.info, calibration=calibration.facts()))
        return source / "config.json"
    path = folder_of(source) / CALIBRATION
    content = calibration.facts() | {"weights": predictor.weights}
    write_json(path, with_hashes(content, path, {}))
    return path


def plot(path: Path, scored: ScoredRows, calibration: Calibration) -> None:
    """Draw accuracy over confidence, before and after, as a PNG file."""
    figure = load_matplotlib().figure.Figure(figsize=(8.0, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, temperature, title in zip(
        panels,
        (1.0, calibration.temperature),
        (
            f"before: ECE {calibration.ece_before:.3f}",
            f"temperature {calibration.temperature:.2f}: ECE {calibration.ece:.3f}",
        ),
        strict=True,
    ):
        parts = reliability(scored.confidence(temperature), scored.correct)
        sure, right, rows = zip(*parts, strict=True)
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
        sizes = [20 + 180 * count / max(rows) for count in rows]
        axes.plot(sure, right, color="#0b5fa5", linewidth=1.4)
        axes.scatter(sure, right, s=sizes, color="#0b5fa5", alpha=0.6)
        axes.set_title(title)
        axes.set_xlabel("probability of the answer")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    panels[0].set_ylabel(f"share correct ({calibration.rows:,} rows)")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _choice(query: Query, split: PreparedSplit) -> Choice:
    if not isinstance(query.output, Choice):
        raise ConfigError(
            f"{split.path}: the checkpoint answers in free text; only a choice between candidate "
            "answers can be calibrated"
        )
    return query.output


def _minimum(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one minimum has it, to 1e-4 (golden-section search)."""
    share = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        inner, outer = high - share * (high - low), low + share * (high - low)
        if loss(inner) <= loss(outer):
            high = outer
        else:
            low = inner
    return (low + high) / 2
