"""Entailment: does one sentence follow from the other."""

from dataclasses import dataclass
from typing import ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.tasks.base import Example, PromptType, plain
from biomedgpt.tasks.classification import ClosedTask
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField

ANSWER_OF_LABEL = {"entailment": "yes", "contradiction": "no", "neutral": "maybe"}
"""What the reference answers for each label of a release."""


@dataclass(frozen=True, kw_only=True)
class Entailment(ClosedTask):
    """Conventions of the reference for MedNLI: text lower-cased, white space collapsed."""

    name: ClassVar[str] = "entailment"
    fields: ClassVar[TaskFields] = TaskFields(source=("sentence1", "sentence2"), closed=True)
    decoding: ClassVar[GenerationConfig] = GenerationConfig(beam=5, max_len=30, unnormalized=True)
    default_answers: ClassVar[tuple[str, ...]] = tuple(ANSWER_OF_LABEL.values())
    cleaning: ClassVar[tuple[str, ...]] = (
        "labels as the reference's words: entailment yes, contradiction no, neutral maybe",
        *ClosedTask.cleaning,
    )
    page: ClassVar[PageEntry] = PageEntry(
        title="Does a sentence follow?",
        fields={
            "sentence1": PageField("First sentence", "the patient was intubated", lines=2),
            "sentence2": PageField("Does this follow?", "the patient cannot speak", lines=2),
        },
    )

    prompt_type: PromptType = "src"
    max_source_words: int = 512
    """Words that are kept of each sentence."""

    def source_text(self, example: Example) -> str:
        """Return the first sentence; `frame` adds the second."""
        return plain(example["sentence1"])

    def frame(self, text: str, example: Example) -> str:
        """Ask whether the first sentence implies the second."""
        second = " ".join(plain(example["sentence2"]).split()[: self.max_source_words])
        return f'can text1 " {text} " imply text2 " {second} "?'

    def is_cut(self, example: Example) -> bool:
        """Say whether words of either sentence are dropped."""
        return super().is_cut(example) or len(example["sentence2"].split()) > self.max_source_words

    @classmethod
    def read_answer(cls, text: str) -> str:
        """Return the reference's word for a label of the releases; other classes stay."""
        return ANSWER_OF_LABEL.get(text.lower(), text.lower())
