"""Entailment: does one sentence follow from the other."""

from biomedgpt.decoding import GenerationConfig
from biomedgpt.tasks.classification import ClosedTextTask
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField

ANSWER_OF_LABEL = {"entailment": "yes", "contradiction": "no", "neutral": "maybe"}
"""What the reference answers for each label of a release."""


class Entailment(ClosedTextTask):
    """Conventions of the reference for MedNLI: text lower-cased, white space collapsed."""

    name = "entailment"
    fields = TaskFields(source=("sentence1", "sentence2"), closed=True)
    decoding = GenerationConfig(beam=5, max_len=30, unnormalized=True)
    default_answers = tuple(ANSWER_OF_LABEL.values())
    cleaning = (
        "labels as the reference's words: entailment yes, contradiction no, neutral maybe",
        *ClosedTextTask.cleaning,
    )
    page = PageEntry(
        title="Does a sentence follow?",
        fields={
            "sentence1": PageField("First sentence", "the patient was intubated", lines=2),
            "sentence2": PageField("Does this follow?", "the patient cannot speak", lines=2),
        },
    )
    question = 'can text1 " {sentence1} " imply text2 " {sentence2} "?'

    prompt_type = "src"

    @classmethod
    def read_answer(cls, text: str) -> str:
        """Return the reference's word for a label of the releases; other classes stay."""
        return ANSWER_OF_LABEL.get(text.lower(), text.lower())
