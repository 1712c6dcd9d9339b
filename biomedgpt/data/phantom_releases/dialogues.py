"""Phantoms as instruction data: dialogues in BioMed-VITAL's format, and questions held out.

Everything about a phantom is asked for in several forms, so that a model can learn what a form of
question wants apart from what it is about; one kind of question can be held out, to see whether it
is answered without having been trained on (zero-shot).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biomedgpt.data.phantoms.phantom import DEFAULT_SIZE, Phantom, draw
from biomedgpt.data.phantoms.phantom_dataset import phantom_facts
from biomedgpt.data.phantoms.scene import KINDS, MODALITIES, SIDES, VIEWS
from biomedgpt.data.phantoms.wording import PARAPHRASES, lesions_present
from biomedgpt.data.prepare import prepare
from biomedgpt.data.prepared.card import DatasetCard
from biomedgpt.data.prepared.writer import staged_folder, write_splits
from biomedgpt.data.raw.suite_rows import SUITE_FIELDS, suite_row
from biomedgpt.data.rows import Row
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import ConfigError
from biomedgpt.tasks.answer_options import list_options

RAW_FOLDER, PREPARED_FOLDER, HELD_OUT_FOLDER = "raw", "instructions", "held-out"
NAME = "biomed-vital"
RAW_FILE = "BioMed-VITAL-instructions-210K.json"
FORMS = ("open", "yes-no", "choice")
DESCRIPTIONS = {
    "caption": ("Describe the image.", "What can be seen?", "Give a short caption."),
    "findings": ("Write a report.", "What are the findings?"),
    "impression": ("Sum the report up.", "What is the impression?"),
}
"""What of a phantom is written out -> ways to ask for it."""

OPTIONS = {
    "ORGAN": VIEWS,
    "MODALITY": tuple(dict.fromkeys(MODALITIES.values())),
    "SIZE": ("normal", "enlarged"),
    "POS": SIDES,
    "HEIGHT": ("upper", "middle", "lower"),
    "COUNT": ("1", "2", "3"),
    "ABN": KINDS,
}
"""What can be asked in every form, and its answers."""
_QUESTIONS = PARAPHRASES | {
    "SIZE": (
        "of which size are the ventricles, the heart or the liver?",
        "what is the size of the organ?",
    ),
    "HEIGHT": ("in which part of the image is the lesion?", "how high is the lesion?"),
}
_STATEMENTS = {
    "ORGAN": ("does the image show the {}?", "was the {} imaged?"),
    "MODALITY": ("is this a {} image?", "was {} used?"),
    "SIZE": ("is the organ {}?", "is its size {}?"),
    "POS": ("is the abnormality on the {} side?", "does the {} half show the abnormality?"),
    "HEIGHT": ("is the lesion in the {} part?", "does the {} part show the lesion?"),
    "COUNT": ("is the number of lesions {}?", "are there exactly {} lesions?"),
    "ABN": ("is there a {}?", "does the image show a {}?"),
}
_ASKED_HEIGHTS = {"upper": 0.51, "middle": 0.23, "lower": 1.0}
"""Share of single lesions at a height that is asked for, so that all heights are as frequent."""
_BOTH_SIDES = ("is the abnormality on both sides?", "do both halves show the abnormality?")
ANSWER_BRIEFLY, ANSWER_YES_NO = "answer in a word.", "answer yes or no."
"""What says which form of answer is asked for, the same whatever is asked about."""


@dataclass(frozen=True)
class PhantomInstruction:
    """A question with its answer."""

    text: str
    """The question without its options."""
    answer: str
    kind: str
    """What it is about, as in VQA-RAD ("POS")."""
    form: str
    """How it is asked: open, yes-no, choice."""
    options: tuple[str, ...] = ()
    """Of a choice."""

    @property
    def name(self) -> str:
        """Kind and form, as ``--hold-out`` takes them."""
        return f"{self.kind}/{self.form}"

    @property
    def whole(self) -> str:
        """The question as it is put, options included."""
        return f"{self.text} {list_options(self.options)}" if self.options else self.text


def question_kinds() -> list[str]:
    """Return all kinds of questions as kind/form."""
    return ["PRES/open", *(f"{kind}/{form}" for kind in OPTIONS for form in FORMS)]


def ask_everything(phantom: Phantom, rng: np.random.Generator) -> list[PhantomInstruction]:
    """Return a question of every kind and form that can be asked about a phantom.

    As in `biomedgpt.data.phantoms.wording`, all answers to a question are equally likely.
    """
    text = str(rng.choice(PARAPHRASES["PRES"]))
    present = lesions_present(text, bool(phantom.lesions))
    asked = [PhantomInstruction(_ending(text, ANSWER_YES_NO, rng), present, "PRES", "open")]
    for kind, truth in _facts(phantom, rng).items():
        text = str(rng.choice(_QUESTIONS[kind]))
        asked.append(PhantomInstruction(_ending(text, ANSWER_BRIEFLY, rng), truth, kind, "open"))
        asked.append(_yes_no(kind, truth, rng))
        text = str(rng.choice(_QUESTIONS[kind]))
        options = tuple(map(str, rng.permutation(OPTIONS[kind])))
        asked.append(PhantomInstruction(text, truth, kind, "choice", options))
    return asked


def _facts(phantom: Phantom, rng: np.random.Generator) -> dict[str, str]:
    """Return what can be asked about a phantom; of what is more frequent, a part."""
    facts = {"ORGAN": phantom.view}
    # Two of three views are CT, three of ten organs enlarged.
    if phantom.modality == "x-ray" or rng.random() < 0.5:
        facts["MODALITY"] = phantom.modality
    if phantom.enlarged or rng.random() < 0.43:
        facts["SIZE"] = "enlarged" if phantom.enlarged else "normal"
    if lesions := phantom.lesions:
        sides = {lesion.side for lesion in lesions}
        facts["POS"] = "both" if len(sides) == 2 else lesions[0].side
        facts["COUNT"] = str(len(lesions))
        facts["ABN"] = lesions[0].kind
        height = lesions[0].height
        if len(lesions) == 1 and rng.random() < _ASKED_HEIGHTS[height]:
            facts["HEIGHT"] = height
    return facts


def _yes_no(kind: str, truth: str, rng: np.random.Generator) -> PhantomInstruction:
    """Ask whether something is so; it is in half of the cases."""
    others = [option for option in OPTIONS[kind] if option != truth]
    claimed = truth if rng.random() < 0.5 else str(rng.choice(others))
    wordings = _BOTH_SIDES if claimed == "both" else _STATEMENTS[kind]
    text = str(rng.choice(wordings)).format(claimed)
    answer = "yes" if claimed == truth else "no"
    return PhantomInstruction(f"{text} {ANSWER_YES_NO}", answer, kind, "yes-no")


def _ending(text: str, ending: str, rng: np.random.Generator) -> str:
    """Say in half of the cases what form of answer is asked for."""
    return f"{text} {ending}" if rng.random() < 0.5 else text


def dialogue(
    phantom: Phantom, rng: np.random.Generator, *, held_out: frozenset[str]
) -> list[tuple[str, str]]:
    """Draw two to five rounds about a phantom, without what is held out."""
    rounds = [
        (one.whole, one.answer)
        for one in ask_everything(phantom, rng)
        if not {one.kind, one.name} & held_out
    ]
    for field, wordings in DESCRIPTIONS.items():
        if rng.random() < 0.3 or not rounds:
            rounds.append((str(rng.choice(wordings)), getattr(phantom, field)))
    count = min(len(rounds), int(rng.integers(2, 6)))
    chosen = rng.choice(len(rounds), size=count, replace=False)
    return [rounds[number] for number in chosen.tolist()]


def write_phantom_instructions(
    out: str | Path,
    *,
    train: int = 2000,
    valid: int = 50,
    test: int = 500,
    size: int = DEFAULT_SIZE,
    seed: int = 1,
    hold_out: Sequence[str] = (),
    vocabulary: bool = True,
    overwrite: bool = False,
) -> dict[str, DatasetCard]:
    """Write dialogues as released and as prepared, and the questions that are held out.

    ``out/raw`` holds a release in BioMed-VITAL's format, ``out/instructions`` what its reader makes
    of it, and ``out/held-out`` the kinds of questions of ``hold_out``, on other images, as visual
    question answering with a test split only.

    Args:
        out: folder, which appears only when everything is in it.
        train: images with a dialogue each; the validation and test images are among them.
        valid: of these, images for validation, and as many for test.
        test: images with held-out questions.
        hold_out: kinds ("POS": in all its forms), or kinds and forms ("POS/choice").
        vocabulary: also train a vocabulary on the dialogues.
        size, seed, overwrite: see `biomedgpt.data.phantoms.phantom_dataset.write_phantoms`.

    Returns:
        The cards of the prepared datasets, by folder.

    Raises:
        ConfigError: no such kind, too few images, or ``out`` is taken.
    """
    held_out = frozenset(hold_out)
    known = {*question_kinds(), *OPTIONS, "PRES"}
    if unknown := sorted(held_out - known):
        raise ConfigError(f"--hold-out {unknown[0]}: must be one of {', '.join(sorted(known))}")
    if train < 1 or valid < 0 or test < 1:
        raise ConfigError(f"{train}, {valid} and {test} images; give at least 1, 0 and 1")
    if 2 * valid >= train:
        raise ConfigError(
            f"{train} images are too few to hold {valid} out for validation and as many for test"
        )
    marker = f"{PREPARED_FOLDER}/dataset.json"
    with staged_folder(Path(out), overwrite=overwrite, marker=marker) as staged:
        raw, prepared = staged / RAW_FOLDER, staged / PREPARED_FOLDER
        _write_release(raw, train, seed=seed, size=size, held_out=held_out)
        options = PrepareOptions(seed=seed, valid_fraction=valid / train, vocabulary=vocabulary)
        cards = {PREPARED_FOLDER: prepare(NAME, raw=raw, out=prepared, options=options)}
        if held_out:
            folder = staged / HELD_OUT_FOLDER
            folder.mkdir()
            cards[HELD_OUT_FOLDER] = write_splits(
                folder,
                phantom_facts("phantoms-held-out", "vqa", SUITE_FIELDS),
                {"test": _held_out_rows(test, seed=seed, size=size, held_out=held_out)},
                preparation={"seed": seed, "size": size, "held_out": sorted(held_out)},
            )
    return cards


def _write_release(
    folder: Path, count: int, *, seed: int, size: int, held_out: frozenset[str]
) -> None:
    (folder / "images").mkdir(parents=True)
    with (folder / RAW_FILE).open("w", encoding="utf-8") as file:
        drawn = draw("instructions", count, seed=seed, size=size, what="dialogues")
        for index, phantom in enumerate(drawn):
            rng = np.random.default_rng((seed, index, 1))
            name = f"phantom_{index:05d}"
            (folder / "images" / f"{name}.png").write_bytes(phantom.png())
            rounds = dialogue(phantom, rng, held_out=held_out)
            said: list[dict[str, str]] = []
            for number, (asked, answer) in enumerate(rounds):
                asked = asked[:1].upper() + asked[1:]
                if not number:
                    asked = f"<image>\n{asked}" if rng.random() < 0.5 else f"{asked}\n<image>"
                said += [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
            domain = "CT" if phantom.modality == "ct" else "CXR"
            record = {"id": name, "image": f"{name}.png", "domain": domain, "conversations": said}
            file.write(("[" if not index else ",\n") + json.dumps(record))
        file.write("]\n")


def _held_out_rows(count: int, *, seed: int, size: int, held_out: frozenset[str]) -> Iterator[Row]:
    drawn = draw("held-out", count, seed=seed, size=size, what="questions")
    for index, phantom in enumerate(drawn):
        rng = np.random.default_rng((seed, index, 2))
        name = f"held-out-{index:05d}"
        asked = [one for one in ask_everything(phantom, rng) if {one.kind, one.name} & held_out]
        for number, one in enumerate(asked):
            yield suite_row(
                f"phantom {name}",
                (phantom.png(), f"{name}.png"),
                f"{name}-{number}",
                one.text,
                one.answer,
                options=one.options,
                answer_type="CLOSED" if one.answer in ("yes", "no") else "OPEN",
                question_type=one.name,
                organ=phantom.view,
                modality=phantom.modality,
            )
