"""What is to be seen in a phantom, before any pixel is drawn.

Lengths are in half image widths: the image spans -1..1 in x (to the right) and y (downwards), so
that the same scene can be drawn at any size. "left" and "right" are the halves of the image as
displayed, not the patient's.
"""

import math
from dataclasses import dataclass

import numpy as np

VIEWS = ("head", "chest", "abdomen")
MODALITIES = {"head": "ct", "chest": "x-ray", "abdomen": "ct"}
KINDS = ("nodule", "cyst", "calcification")
SIDES = ("left", "right", "both")

_RADII = {"nodule": (0.11, 0.155), "cyst": (0.12, 0.165), "calcification": (0.09, 0.125)}
_GAP = 0.02  # least distance between two lesions


@dataclass(frozen=True)
class _Region:
    """Where lesions of the right half may lie (mirrored for the left), in body coordinates."""

    x: tuple[float, float]
    y: float
    half_height: float


_REGIONS = {
    "head": _Region(x=(0.30, 0.38), y=0.0, half_height=0.52),
    "chest": _Region(x=(0.34, 0.46), y=-0.08, half_height=0.48),
    "abdomen": _Region(x=(0.36, 0.50), y=-0.05, half_height=0.44),
}


@dataclass(frozen=True)
class Pose:
    """Place of the body in the image: scaled, then turned clockwise, then shifted."""

    scale: float
    angle: float
    shift_x: float
    shift_y: float

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Image coordinates of a point of the body."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return (
            self.scale * (cos * x - sin * y) + self.shift_x,
            self.scale * (sin * x + cos * y) + self.shift_y,
        )


@dataclass(frozen=True)
class Lesion:
    """A lesion in image coordinates."""

    kind: str
    side: str
    x: float
    y: float
    radius: float
    phase: float
    """Turns the spikes of a calcification."""


@dataclass(frozen=True)
class Look:
    """How the picture was taken, so to say."""

    gain: float
    offset: float
    noise: float
    blurred: bool


@dataclass(frozen=True)
class Scene:
    """Content of one phantom."""

    view: str
    """One of "head" (axial CT), "chest" (frontal radiograph) and "abdomen" (axial CT)."""
    pose: Pose
    """Place of the body."""
    width: float
    """Stretch of the body in x."""
    enlarged: bool
    """Whether the view's variable organ (ventricles, heart, liver) is enlarged."""
    lesions: tuple[Lesion, ...]
    """None to three, all of one kind."""
    look: Look
    """Contrast, noise and blur."""

    @property
    def kind(self) -> str | None:
        """Kind of all lesions, None without any."""
        return self.lesions[0].kind if self.lesions else None

    @property
    def side(self) -> str | None:
        """Where the lesions are: "left", "right" or "both"; None without any."""
        sides = {lesion.side for lesion in self.lesions}
        return "both" if len(sides) == 2 else next(iter(sides), None)


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene.

    Views are equally likely. Half of the scenes have lesions; among those each kind, each count
    (1 to 3) and each of left, right and both has a third.
    """
    view = str(rng.choice(VIEWS))
    pose = Pose(
        scale=rng.uniform(0.92, 1.04),
        angle=math.radians(rng.uniform(-8, 8)),
        shift_x=rng.uniform(-0.04, 0.04),
        shift_y=rng.uniform(-0.04, 0.04),
    )
    width = rng.uniform(0.95, 1.05)
    enlarged = bool(rng.random() < 0.3)
    look = Look(
        gain=rng.uniform(0.85, 1.05),
        offset=rng.uniform(0.0, 0.06),
        noise=rng.uniform(0.015, 0.035),
        blurred=bool(rng.random() < 0.3),
    )
    lesions: tuple[Lesion, ...] = ()
    if rng.random() < 0.5:
        lesions = _sample_lesions(rng, _REGIONS[view], pose)
    return Scene(view, pose, width, enlarged, lesions, look)


def _sample_lesions(rng: np.random.Generator, region: _Region, pose: Pose) -> tuple[Lesion, ...]:
    kind = str(rng.choice(KINDS))
    count = int(rng.integers(1, 4))
    # One lesion cannot be on both sides. With even odds of "both" for two and three lesions, all
    # sides and all counts come out equally often.
    if count > 1 and rng.random() < 0.5:
        left = count // 2 if rng.random() < 0.5 else count - count // 2
    else:
        left = count if rng.random() < 0.5 else 0
    lesions = []
    for side, sign, number in (("left", -1, left), ("right", 1, count - left)):
        # A slot of the height for each lesion: they cannot touch, however the draw goes.
        slot = 2 * region.half_height / max(number, 1)
        for i in range(number):
            fits = pose.scale * slot / 2 - _GAP / 2
            radius = min(rng.uniform(*_RADII[kind]), fits)
            middle = region.y - region.half_height + (i + 0.5) * slot
            play = (fits - radius) / pose.scale
            x, y = pose.to_image(sign * rng.uniform(*region.x), middle + rng.uniform(-play, play))
            lesions.append(Lesion(kind, side, x, y, radius, phase=rng.uniform(0, math.pi)))
    return tuple(lesions)
