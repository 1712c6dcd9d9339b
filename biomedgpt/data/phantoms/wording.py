"""What is said and asked about a phantom.

Questions are balanced, so that their text gives nothing away: whichever question is asked, its
answers are equally likely over the images it is asked about.
"""

from dataclasses import dataclass

import numpy as np

from biomedgpt.data.phantoms.scene import MODALITIES, Lesion, Scene

PARAPHRASES = {
    "ORGAN": (
        "which part of the body is shown?",
        "what body region does this image show?",
        "which body part was imaged?",
    ),
    "MODALITY": ("what kind of imaging is this?", "which imaging modality was used?"),
    "PRES": (
        "is there a lesion?",
        "is any lesion visible in this image?",
        "does this image look normal?",
    ),
    "POS": (
        "on which side of the image is the abnormality?",
        "is the abnormality on the left, on the right or on both sides?",
    ),
    "COUNT": ("how many lesions are there?", "what is the number of lesions?"),
    "ABN": ("what kind of lesion is shown?", "what is the abnormality?"),
}
"""Question type (names as in VQA-RAD) -> ways to ask."""

_ASKS_FOR_NORMAL = "does this image look normal?"
_NUMBERS = ("no", "one", "two", "three")
_VIEW_NAMES = {
    "head": "axial ct of the head",
    "chest": "frontal x-ray of the chest",
    "abdomen": "axial ct of the abdomen",
}
_ORGANS = {
    "head": ("the ventricles are {}", "wide", "of normal width"),
    "chest": ("the heart is {}", "enlarged", "of normal size"),
    "abdomen": ("the liver is {}", "enlarged", "of normal size"),
}
_REMARKS = {
    "head": "the skull is intact.",
    "chest": "the ribs and the spine are intact.",
    "abdomen": "the kidneys, the spleen and the aorta are unremarkable.",
}


@dataclass(frozen=True)
class PhantomQuestion:
    """A question about a phantom; types as in VQA-RAD."""

    text: str
    answer: str
    question_type: str
    answer_type: str


def ask(scene: Scene, rng: np.random.Generator) -> tuple[PhantomQuestion, ...]:
    """Draw one to three questions about a normal scene, three to five about one with lesions."""
    types = ["PRES"]
    if rng.random() < 0.5:
        types.append("ORGAN")
    # Two of three views are CT: asking about them half as often keeps both answers equally likely.
    if rng.random() < (0.7 if MODALITIES[scene.view] == "x-ray" else 0.35):
        types.append("MODALITY")
    if scene.lesions:
        types += map(str, rng.choice(("POS", "COUNT", "ABN"), size=2, replace=False))
    return tuple(_question(kind, scene, rng) for kind in types)


def _question(question_type: str, scene: Scene, rng: np.random.Generator) -> PhantomQuestion:
    text = str(rng.choice(PARAPHRASES[question_type]))
    answers = {
        "ORGAN": scene.view,
        "MODALITY": MODALITIES[scene.view],
        "PRES": lesions_present(text, bool(scene.lesions)),
        "POS": scene.side,
        "COUNT": len(scene.lesions),
        "ABN": scene.kind,
    }
    answer_type = "CLOSED" if question_type == "PRES" else "OPEN"
    return PhantomQuestion(text, str(answers[question_type]), question_type, answer_type)


def lesions_present(text: str, present: bool) -> str:
    """Answer a question of the type PRES."""
    return "yes" if present != (text == _ASKS_FOR_NORMAL) else "no"


def label(scene: Scene) -> str:
    """Class name: "normal" or the kind of the lesions."""
    return scene.kind or "normal"


def caption(scene: Scene) -> str:
    """One sentence without a full stop: view, and number, kind and side of the lesions."""
    return f"{_VIEW_NAMES[scene.view]} {_summary(scene)}"


def findings(scene: Scene) -> str:
    """A report: view, variable organ, a remark on the rest, and every lesion with its place."""
    pattern, enlarged, normal = _ORGANS[scene.view]
    sentences = [
        f"{_VIEW_NAMES[scene.view]}.",
        pattern.format(enlarged if scene.enlarged else normal) + ".",
        _REMARKS[scene.view],
    ]
    sentences += [
        f"there is a {lesion.kind} in the {height(lesion)} {lesion.side} part of the image."
        for lesion in scene.lesions
    ] or ["there is no lesion."]
    return " ".join(sentences)


def impression(scene: Scene) -> str:
    """The report in brief: lesions, and the variable organ if it is enlarged."""
    pattern, enlarged, _ = _ORGANS[scene.view]
    brief = f"{scene.view} {_summary(scene)}"
    if not scene.enlarged:
        return f"{brief}."
    return f"{brief}; {pattern.format(enlarged)}."


def _summary(scene: Scene) -> str:
    if not scene.lesions:
        return "without lesions"
    count = len(scene.lesions)
    noun = f"{scene.kind}s" if count > 1 else scene.kind
    side = "both sides" if scene.side == "both" else f"the {scene.side} side"
    return f"with {_NUMBERS[count]} {noun} on {side}"


def height(lesion: Lesion) -> str:
    """Part of the image that a lesion is in: upper, middle or lower."""
    if lesion.y < -0.2:
        return "upper"
    return "lower" if lesion.y > 0.2 else "middle"
