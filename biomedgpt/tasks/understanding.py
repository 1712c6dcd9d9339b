"""Understanding of clinical text: trial matching, treatment suggestion, in-hospital mortality.

No instruction was released for these three tasks; those here are our own, in the manner of the
reference's instruction for entailment. Text is lower-cased and white space collapsed, and nothing
else. Sources are long, so the prompt does not repeat them in the decoder.
"""

from dataclasses import dataclass
from typing import ClassVar

from biomedgpt.tasks.base import Example, plain
from biomedgpt.tasks.classification import ClosedTask
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


@dataclass(frozen=True, kw_only=True)
class ClinicalText(ClosedTask):
    """What the three tasks share."""

    max_source_words: int = 512


@dataclass(frozen=True, kw_only=True)
class TrialMatching(ClinicalText):
    """Does a patient qualify for a clinical trial."""

    name: ClassVar[str] = "trial_matching"
    fields: ClassVar[TaskFields] = TaskFields(source=("patient", "trial"), closed=True)
    page: ClassVar[PageEntry] = PageEntry(
        title="Match a patient to a trial",
        fields={
            "patient": PageField("Patient", "a 60-year-old woman with asthma", lines=4),
            "trial": PageField("Trial", "adults with asthma", lines=4),
        },
        specialist=True,
    )

    max_source_words: int = 256
    """Words that are kept of the patient, and of the trial."""

    def source_text(self, example: Example) -> str:
        """Return the patient's description; `frame` adds the trial."""
        return plain(example["patient"])

    def frame(self, text: str, example: Example) -> str:
        """Ask whether the patient matches the trial."""
        trial = " ".join(plain(example["trial"]).split()[: self.max_source_words])
        return f'does the patient " {text} " match the clinical trial " {trial} "?'

    def is_cut(self, example: Example) -> bool:
        """Say whether words of either text are dropped."""
        return super().is_cut(example) or len(example["trial"].split()) > self.max_source_words


@dataclass(frozen=True, kw_only=True)
class TreatmentSuggestion(ClinicalText):
    """Which treatment a cancer registry's record is followed by."""

    name: ClassVar[str] = "treatment_suggestion"
    fields: ClassVar[TaskFields] = TaskFields(source=("record",), closed=True)
    page: ClassVar[PageEntry] = PageEntry(
        title="Suggest a treatment",
        fields={"record": PageField("Record", "age: 60; site: breast", lines=6)},
        specialist=True,
    )

    def source_text(self, example: Example) -> str:
        """Return the record."""
        return plain(example["record"])

    def frame(self, text: str, example: Example) -> str:
        """Ask for the treatment."""
        del example
        return f'which treatment is suggested for the patient " {text} "?'


@dataclass(frozen=True, kw_only=True)
class Mortality(ClinicalText):
    """Does a patient die in hospital, judged by the note written on admission."""

    name: ClassVar[str] = "mortality"
    fields: ClassVar[TaskFields] = TaskFields(source=("note",), closed=True)
    page: ClassVar[PageEntry] = PageEntry(
        title="Mortality in hospital",
        fields={"note": PageField("Admission note", "chief complaint: dyspnea", lines=6)},
        specialist=True,
    )

    def source_text(self, example: Example) -> str:
        """Return the admission note."""
        return plain(example["note"])

    def frame(self, text: str, example: Example) -> str:
        """Ask whether the patient dies in hospital."""
        del example
        return f'does the patient with the admission note " {text} " die in hospital?'
