"""Queries in batches through the model.

B examples of a batch, P tokens of a prompt, K candidate answers.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from biomedgpt.checkpoints.stored import Checkpoint
from biomedgpt.data.imaging.boxes import Box, format_box
from biomedgpt.examples.example_encoder import Candidates, Sample, collate, encode_answer
from biomedgpt.examples.segments import decode_parts, marked_text
from biomedgpt.generation import (
    AnswerTrie,
    Hypothesis,
    encode,
    generate,
    generate_interleaved,
    score_candidates,
)
from biomedgpt.inference.answer import Alternative, Result
from biomedgpt.inference.degenerate import find_problems
from biomedgpt.inference.queries import Choice, FreeText, Query, Region
from biomedgpt.loss import UNCONSTRAINED
from biomedgpt.model import EncoderOutput

MOST_ALTERNATIVES = 20
"""Alternatives that a result lists."""
_KNOWN_TRIES = 8

Inputs = dict[str, Any]


class Engine:
    """Answers queries.

    Args:
        checkpoint: the model, where it shall compute and in the data type it shall compute in.
        batch_size: most queries answered at once.

    Attributes:
        device: where the model computes.
        dtype: data type of the weights.
    """

    def __init__(self, checkpoint: Checkpoint, *, batch_size: int) -> None:
        self.model = checkpoint.model
        self.vocabulary = checkpoint.vocabulary
        self.preprocessing = checkpoint.preprocessing
        self.batch_size = batch_size
        self.candidates = lru_cache(_KNOWN_TRIES)(self._candidates)
        weight = next(self.model.parameters())
        self.device, self.dtype = weight.device, weight.dtype

    def run(self, queries: Sequence[Query]) -> list[Result]:
        """Answer queries; results are in their order.

        Those of similar length are answered together, so that few positions are padding.
        """
        results: dict[int, Result] = {}
        for rows in self.batches(queries):
            found = self.answer([queries[row] for row in rows])
            results.update(zip(rows, found, strict=True))
        return [results[row] for row in range(len(queries))]

    def batches(self, queries: Sequence[Query]) -> list[list[int]]:
        """Return which queries are answered together: same kind of output, similar length."""
        groups: dict[Any, list[int]] = {}
        for row, query in enumerate(queries):
            groups.setdefault(self.kind(query), []).append(row)
        batches = []
        for rows in groups.values():
            rows.sort(key=lambda row: (len(queries[row].source), len(queries[row].prompt)))
            batches += [
                rows[start : start + self.batch_size]
                for start in range(0, len(rows), self.batch_size)
            ]
        return batches

    @staticmethod
    def kind(query: Query) -> Hashable:
        """Return what queries that are answered in one batch have in common."""
        return query.output, query.pixels is None

    @torch.no_grad()
    def answer(self, queries: Sequence[Query]) -> list[Result]:
        """Answer one batch: queries of the same output, all with or all without an image."""
        output = queries[0].output
        inputs, prefix = self._inputs(queries)
        read: Callable[[Query, Sequence[Hypothesis]], Result]
        if isinstance(output, Choice):
            return self._choose(queries, output, inputs, prefix)
        elif isinstance(output, Region):
            bins = torch.tensor(self.vocabulary.bins, device=self.device)
            found = self._generate(inputs, prefix, config=output.decoding, allowed_ids=bins)
            read = self._box
        elif isinstance(output, FreeText):
            found = self._generate(inputs, prefix, config=output.decoding)
            read = partial(self._free_text, max_len=output.decoding.max_len)
        else:
            found = generate_interleaved(
                self.model,
                inputs,
                vocabulary=self.vocabulary,
                config=output.decoding,
                image=output.image,
                prefix_tokens=prefix,
            )
            read = partial(self._interleaved, max_len=output.decoding.max_len)
        return [
            read(query, hypotheses) if hypotheses else _nothing(query)
            for query, hypotheses in zip(queries, found, strict=True)
        ]

    @torch.no_grad()
    def embed(self, queries: Sequence[Query]) -> Tensor:
        """Return the mean of the encoder's output over the patches of each image, (B, C).

        Args:
            queries: of the same text, with an image each.
        """
        found = []
        for start in range(0, len(queries), self.batch_size):
            inputs, _ = self._inputs(queries[start : start + self.batch_size])
            hidden = encode(self.model, inputs).hidden  # (B, patches + S, C)
            found.append(hidden[:, : -inputs["src_tokens"].size(1)].float().mean(1).cpu())
        return torch.cat(found)

    def score(self, queries: Sequence[Query]) -> Tensor:
        """Return the log-probabilities of the candidates of one batch, (B, K), on the CPU."""
        output = queries[0].output
        assert isinstance(output, Choice)
        inputs, prefix = self._inputs(queries)
        return self._score(inputs, prefix, self.candidates(output.answers))

    # One batch

    def _inputs(self, queries: Sequence[Query]) -> tuple[Inputs, Tensor]:
        """Return the model's inputs and the prompts without <s>, (B, P)."""
        batch = collate([self._sample(query) for query in queries], self.vocabulary.pad)
        inputs = {
            name: None if value is None else value.to(self.device)
            for name, value in batch["net_input"].items()
        }
        if inputs["patch_images"] is not None:
            inputs["patch_images"] = inputs["patch_images"].to(self.dtype)
        return inputs, batch["prefix_tokens"].to(self.device)

    def _sample(self, query: Query) -> Sample:
        """Return a query as a sample without a target."""
        return {
            "example": {},
            "source": torch.tensor(query.source),
            "prev_output_tokens": torch.tensor(query.prompt),
            "target": torch.tensor([self.vocabulary.eos]),
            "constraint_nodes": torch.tensor([UNCONSTRAINED]),
            "prefix": torch.tensor(query.prompt[1:], dtype=torch.long),
            "confidence": 1.0,
            "image": query.pixels,
        }

    def _generate(self, inputs: Inputs, prefix: Tensor, **options: Any) -> list[list[Hypothesis]]:
        return generate(
            self.model,
            inputs,
            prefix_tokens=prefix,
            bos=self.vocabulary.bos,
            eos=self.vocabulary.eos,
            **options,
        )

    def _score(
        self,
        inputs: Inputs,
        prefix: Tensor,
        candidates: Candidates,
        source: EncoderOutput | None = None,
    ) -> Tensor:
        return score_candidates(
            self.model,
            inputs,
            candidates.trie,
            prefix_tokens=prefix,
            source=source,
            bos=self.vocabulary.bos,
        ).cpu()

    def _candidates(self, answers: tuple[str, ...]) -> Candidates:
        sequences = [encode_answer(self.vocabulary, answer) for answer in answers]
        return Candidates(answers, sequences, AnswerTrie(sequences, eos=self.vocabulary.eos))

    # Text

    def _free_text(self, query: Query, hypotheses: Sequence[Hypothesis], *, max_len: int) -> Result:
        texts = [
            query.clean(self.vocabulary.decode_text(one.tokens.tolist())) for one in hypotheses
        ]
        tokens = hypotheses[0].tokens.tolist()[:-1]
        probabilities = [_total(one) for one in hypotheses]
        return Result(
            text=texts[0],
            score=hypotheses[0].score,
            probability=probabilities[0],
            alternatives=_alternatives(texts[0], list(zip(texts, probabilities, strict=True))),
            warnings=(*query.warnings, *find_problems(texts[0], tokens, max_len=max_len)),
        )

    def _interleaved(
        self, query: Query, hypotheses: Sequence[Hypothesis], *, max_len: int
    ) -> Result:
        tokens = hypotheses[0].tokens.tolist()[:-1]
        parts = decode_parts(self.vocabulary, tokens)
        words = groupby(tokens, lambda token: token in self.vocabulary.text_ids)
        texts = [list(run) for is_text, run in words if is_text]
        if not parts:
            texts = [[]]  # an empty answer
        problems = [
            problem
            for text in texts
            for problem in find_problems(self.vocabulary.decode_text(text), text, max_len=max_len)
        ]
        return Result(
            text=query.clean(marked_text(parts)),
            score=hypotheses[0].score,
            probability=_total(hypotheses[0]),
            parts=tuple(parts),
            warnings=(*query.warnings, *dict.fromkeys(problems)),
        )

    # Candidates

    def _choose(
        self, queries: Sequence[Query], output: Choice, inputs: Inputs, prefix: Tensor
    ) -> list[Result]:
        candidates = self.candidates(output.answers)
        found: Sequence[Sequence[Hypothesis]] = [()] * len(queries)
        scores: Sequence[Tensor | None] = [None] * len(queries)
        source = encode(self.model, inputs)
        if output.search is not None:
            found = self._generate(
                inputs, prefix, config=output.search, trie=candidates.trie, source=source
            )
        if output.search is None or output.temperature is not None:
            scores = list(self._score(inputs, prefix, candidates, source))
        return [
            self._chosen(query, output, candidates, hypotheses, row)
            for query, hypotheses, row in zip(queries, found, scores, strict=True)
        ]

    def _chosen(
        self,
        query: Query,
        output: Choice,
        candidates: Candidates,
        hypotheses: Sequence[Hypothesis],
        scores: Tensor | None,
    ) -> Result:
        """Return the answer of one query.

        A search decides on the answer where there is one, as in the evaluation; it may miss the
        most probable of many candidates.
        """
        place = {tuple(ids): index for index, ids in enumerate(candidates.sequences)}
        ranked = [(place[tuple(one.tokens.tolist()[:-1])], one.score) for one in hypotheses]
        if scores is not None:
            probabilities = calibrate(scores, output.temperature).tolist()
            order = scores.argsort(descending=True, stable=True).tolist()
            ranked = ranked or [(order[0], float(scores[order[0]]))]
        else:
            probabilities = [0.0] * len(candidates.sequences)
            for (index, _), one in zip(ranked, hypotheses, strict=True):
                probabilities[index] = _total(one)
            order = [index for index, _ in ranked]
        if not ranked or not math.isfinite(ranked[0][1]):
            return _nothing(query)
        best, score = ranked[0]
        return Result(
            text=query.clean(output.shown[best]),
            score=score,
            probability=probabilities[best],
            calibrated=output.temperature is not None,
            alternatives=_alternatives(
                output.shown[best], [(output.shown[i], probabilities[i]) for i in order]
            ),
            warnings=query.warnings,
        )

    # Boxes

    def _box(self, query: Query, hypotheses: Sequence[Hypothesis]) -> Result:
        assert query.size is not None
        width, height = query.size
        reach = self.preprocessing.reach(query.size)
        x0, y0, x1, y1 = self.vocabulary.decode_box(
            hypotheses[0].tokens.tolist()[:-1], width=reach[0], height=reach[1]
        )
        box: Box = (min(x0, width), min(y0, height), min(x1, width), min(y1, height))
        warnings = query.warnings
        if box != (x0, y0, x1, y1):
            warnings += ("the box reached out of the image and was cut at its border",)
        boxes: tuple[Box, ...] = (box,)
        if not (box[0] < box[2] and box[1] < box[3]):
            warnings += (f"no box: the corners {format_box(box)} enclose nothing",)
            boxes = ()
        return Result(
            text=format_box(box) if boxes else "",
            score=hypotheses[0].score,
            probability=_total(hypotheses[0]),
            boxes=boxes,
            warnings=warnings,
        )


def calibrate(scores: Tensor, temperature: float | None) -> Tensor:
    """Return probabilities of candidates, (..., K), from their log-probabilities."""
    return (scores.double() / (temperature or 1.0)).softmax(-1)


def _nothing(query: Query) -> Result:
    """Return the result of a search that found no number."""
    problems = find_problems("", [], max_len=1, finite=False)
    return Result(text="", warnings=(*query.warnings, *problems))


def _total(hypothesis: Hypothesis) -> float:
    """Return the probability of a whole sequence."""
    return math.exp(float(hypothesis.positional_scores.sum()))


def _alternatives(text: str, ranked: Sequence[tuple[str, float]]) -> tuple[Alternative, ...]:
    """Return what else was found: texts that differ, in order."""
    others: dict[str, float] = {}
    for other, probability in ranked:
        if other != text:
            others.setdefault(other, probability)
    pairs = list(others.items())[:MOST_ALTERNATIVES]
    return tuple(Alternative(other, probability) for other, probability in pairs)
