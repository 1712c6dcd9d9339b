"""Question answering on text: multiple choice, and yes, no or maybe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from biomedgpt.data.options import LETTERS, list_options, parse_options
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.tasks.base import Example, Reference, RunInfo, plain
from biomedgpt.tasks.classification import ClosedTask


@dataclass(frozen=True, kw_only=True)
class QuestionAnswering(ClosedTask):
    """Questions with options, with a text to answer from, or with both.

    No instruction was released for this task; this one is our own. It names the options a, b, c
    and so on, and ends with the text, so that a source that is too long loses the end of the text
    and never an option::

        what is the answer to question " {question} "? options: a) {...} b) {...} text: {context}

    Text is lower-cased and white space collapsed, and nothing else: signs matter in options such
    as "-5 mmol/l". Fields that a dataset does not have are empty:

    - ``options``: JSON list of texts; ``answer`` is then the letter of one of them.
    - ``context``: the text; of it, or of the question without one, `max_source_words` are kept.

    Sources are long, so the prompt does not repeat them in the decoder.
    """

    name: ClassVar[str] = "question_answering"
    group: ClassVar[str] = "question_answering"
    fields: ClassVar[tuple[str, ...]] = ("question", "options", "context", "answer")
    uses_image: ClassVar[bool] = False
    decoding: ClassVar[GenerationConfig] = GenerationConfig(beam=5, max_len=10, unnormalized=True)

    max_source_words: int = 512
    max_target_tokens: int = 10

    def source_text(self, example: Example) -> str:
        """Return the context, or the question if there is none."""
        return plain(example["context"]) or plain(example["question"])

    def frame(self, text: str, example: Example) -> str:
        """Ask the question, list the options, give the text."""
        has_context = bool(example["context"].strip())
        question = plain(example["question"]) if has_context else text
        parts = [f'what is the answer to question " {question} "?']
        if options := _options(example):
            parts.append(list_options(tuple(options.values())))
        if has_context:
            parts.append(f"text: {text}")
        return " ".join(parts)

    def references(self, example: Example) -> list[Reference]:
        """Return the answer.

        Raises:
            DataError: no answer, malformed options, or an answer that is none of their letters.
        """
        references = super().references(example)
        options = _options(example)
        for one in references:
            if options and one.answer not in options:
                raise DataError(
                    f"example {example['id']!r}: answer {one.answer!r} is none of the options "
                    f"{', '.join(options)}; prepare the dataset again"
                )
        return references

    def prediction_record(
        self,
        example: Example,
        *,
        text: str,
        score: float,
        run: RunInfo,
        candidate_scores: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Add the question."""
        record = super().prediction_record(
            example, text=text, score=score, run=run, candidate_scores=candidate_scores
        )
        return record | {"question": example["question"]}


def _options(example: Example) -> Mapping[str, str]:
    """Return the options by letter, empty where the question has none."""
    texts = parse_options(example["options"], where=f"example {example['id']!r}")
    return {letter: plain(text) for letter, text in zip(LETTERS, texts, strict=False)}
