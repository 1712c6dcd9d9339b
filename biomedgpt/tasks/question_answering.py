"""Question answering on text: multiple choice, and yes, no or maybe."""

from collections.abc import Mapping

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import DataError
from biomedgpt.tasks.answer_options import LETTERS, list_options, parse_options
from biomedgpt.tasks.base import Example, Reference, plain
from biomedgpt.tasks.classification import ClosedTask
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


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

    name = "question_answering"
    group = "question_answering"
    recipes = "question_answering"
    group_title = "question answering"
    items = "questions"
    fields = TaskFields(
        source=("question", "options", "context"), optional=("options", "context"), closed=True
    )
    decoding = GenerationConfig(beam=5, max_len=10, unnormalized=True)
    samples = {"options": ('["vitamin c", "vitamin d"]', '["vitamin a", "vitamin d"]')}
    recorded = ("question",)
    page = PageEntry(
        title="Choose between options",
        fields={
            "question": PageField("Question", "which vitamin is made in the skin?", lines=2),
            "options": PageField("Options, one per line", "vitamin c\nvitamin d", lines=3),
            "context": PageField("Text to answer from (optional)", required=False, lines=3),
        },
        with_image="vqa",
    )

    max_source_words = 512
    max_target_tokens = 10

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

    @classmethod
    def prediction_keys(cls) -> dict[str, type]:
        """Leave out the question, which is there for people; scores do without."""
        return {key: kind for key, kind in super().prediction_keys().items() if key != "question"}


def _options(example: Example) -> Mapping[str, str]:
    """Return the options by letter, empty where the question has none."""
    texts = parse_options(example["options"], where=f"example {example['id']!r}")
    return {letter: plain(text) for letter, text in zip(LETTERS, texts, strict=False)}
