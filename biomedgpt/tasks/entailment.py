"""Entailment: does one sentence follow from the other."""

from dataclasses import dataclass
from typing import ClassVar

from biomedgpt.decoding import GenerationConfig
from biomedgpt.tasks.base import Example, PromptType, plain
from biomedgpt.tasks.classification import ClosedTask


@dataclass(frozen=True, kw_only=True)
class Entailment(ClosedTask):
    """Conventions of the reference for MedNLI: text lower-cased, white space collapsed."""

    name: ClassVar[str] = "entailment"
    group: ClassVar[str] = "understanding"
    fields: ClassVar[tuple[str, ...]] = ("sentence1", "sentence2", "answer")
    uses_image: ClassVar[bool] = False
    decoding: ClassVar[GenerationConfig] = GenerationConfig(beam=5, max_len=30, unnormalized=True)

    prompt_type: PromptType = "src"
    max_source_words: int = 512
    """Words that are kept of each sentence."""
    max_target_tokens: int = 30

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
