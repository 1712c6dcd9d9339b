"""Understanding of clinical text: trial matching, treatment suggestion, in-hospital mortality.

No instruction was released for these three tasks; those here are our own, in the manner of the
reference's instruction for entailment. Sources are long, so the prompt does not repeat them in the
decoder.
"""

from biomedgpt.tasks.classification import ClosedTextTask
from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


class TrialMatching(ClosedTextTask):
    """Does a patient qualify for a clinical trial."""

    name = "trial_matching"
    fields = TaskFields(source=("patient", "trial"), closed=True)
    question = 'does the patient " {patient} " match the clinical trial " {trial} "?'
    page = PageEntry(
        title="Match a patient to a trial",
        fields={
            "patient": PageField("Patient", "a 60-year-old woman with asthma", lines=4),
            "trial": PageField("Trial", "adults with asthma", lines=4),
        },
        specialist=True,
    )

    max_source_words = 256
    """Words that are kept of the patient, and of the trial."""


class TreatmentSuggestion(ClosedTextTask):
    """Which treatment a cancer registry's record is followed by."""

    name = "treatment_suggestion"
    fields = TaskFields(source=("record",), closed=True)
    question = 'which treatment is suggested for the patient " {record} "?'
    page = PageEntry(
        title="Suggest a treatment",
        fields={"record": PageField("Record", "age: 60; site: breast", lines=6)},
        specialist=True,
    )


class Mortality(ClosedTextTask):
    """Does a patient die in hospital, judged by the note written on admission."""

    name = "mortality"
    fields = TaskFields(source=("note",), closed=True)
    question = 'does the patient with the admission note " {note} " die in hospital?'
    page = PageEntry(
        title="Mortality in hospital",
        fields={"note": PageField("Admission note", "chief complaint: dyspnea", lines=6)},
        specialist=True,
    )
