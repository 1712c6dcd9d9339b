"""From a scene to pixels: soft-edged shapes painted over each other with NumPy.

Brightness runs from 0 (air) to 1 (calcium). Shapes are given by their signed distance in half
image widths, negative inside.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedgpt.data.phantoms.scene import Lesion, Scene

Plane = NDArray[np.float32]


class _Canvas:
    """A picture and the coordinates of its pixels, in the image and in the body."""

    def __init__(self, scene: Scene, size: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.enlarged = scene.enlarged
        self.pixels = np.zeros((size, size), np.float32)
        centres = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
        self.image_x, self.image_y = np.meshgrid(centres, centres)  # (H, W) each
        pose = scene.pose
        cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
        x, y = self.image_x - np.float32(pose.shift_x), self.image_y - np.float32(pose.shift_y)
        self.x = (cos * x + sin * y) / np.float32(pose.scale * scene.width)
        self.y = (cos * y - sin * x) / np.float32(pose.scale)

    def ellipse(
        self, x: float, y: float, a: float, b: float, *, tilt: float = 0.0, power: int = 2
    ) -> Plane:
        """Distance to an ellipse (approximate; a rounded rectangle for a higher power)."""
        u, v = self.x - np.float32(x), self.y - np.float32(y)
        if tilt:
            cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
            u, v = cos * u + sin * v, cos * v - sin * u
        u, v = u / np.float32(a), v / np.float32(b)
        if power == 2:
            radius = np.sqrt(u * u + v * v)
        else:
            radius = np.sqrt(np.sqrt((u * u) ** 2 + (v * v) ** 2))
        return (radius - 1) * np.float32(min(a, b))

    def cover(self, distance: Plane, soft: float = 1.0) -> Plane:
        """Share of each pixel inside a shape whose edge is ``soft`` pixels wide."""
        return np.clip(0.5 - distance * np.float32(len(self.pixels) / 2 / soft), 0, 1)

    def paint(self, cover: Plane, value: float | Plane) -> None:
        """Lay a brightness over what is there."""
        self.pixels += cover * (value - self.pixels)

    def fill(self, distance: Plane, value: float | Plane, soft: float = 1.5) -> None:
        """Paint the inside of a shape."""
        self.paint(self.cover(distance, soft), value)

    def texture(self, level: float, depth: float, cells: int = 12) -> Plane:
        """Smooth random brightness around ``level``."""
        grid = self.rng.standard_normal((cells, cells), dtype=np.float32)
        size = len(self.pixels)
        smooth = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)
        return np.float32(level) + np.float32(depth) * np.asarray(smooth, np.float32)

    def jitter(self, spread: float = 0.03) -> float:
        """A small random shift or change of size."""
        return float(self.rng.uniform(-spread, spread))


def _head(canvas: _Canvas) -> None:
    """Axial CT of the head: scalp, skull, brain with cortex, falx, lateral ventricles."""
    canvas.fill(canvas.ellipse(0, 0, 0.80, 0.94), 0.30)
    canvas.fill(canvas.ellipse(0, 0, 0.77, 0.91), 0.95)
    brain = canvas.ellipse(0, 0, 0.69, 0.83)
    canvas.fill(brain, canvas.texture(0.46, 0.025))
    canvas.fill(brain + np.float32(0.07), canvas.texture(0.40, 0.02))  # white matter
    falx = np.maximum(np.abs(canvas.x) - np.float32(0.008), brain)
    canvas.fill(falx, 0.58)
    size = 1.35 if canvas.enlarged else 0.95
    for sign in (-1, 1):
        length = (0.20 + canvas.jitter()) * size
        canvas.fill(canvas.ellipse(sign * 0.09, -0.20, 0.05 * size, length, tilt=sign * 0.35), 0.16)
        canvas.fill(canvas.ellipse(sign * 0.11, 0.24, 0.05 * size, length, tilt=-sign * 0.3), 0.16)


def _chest(canvas: _Canvas) -> None:
    """Frontal radiograph of the chest: soft tissue, lungs, ribs, spine, heart, diaphragm."""
    canvas.fill(canvas.ellipse(0, 0.25, 0.95, 1.15, power=4), canvas.texture(0.52, 0.02), 3.0)
    neck = canvas.ellipse(0, -0.95, 0.26, 0.35)
    canvas.fill(neck, 0.50, 3.0)
    lungs = np.minimum(
        canvas.ellipse(-0.42, -0.06 + canvas.jitter(), 0.32, 0.66, tilt=0.10),
        canvas.ellipse(0.42, -0.06 + canvas.jitter(), 0.32, 0.66, tilt=-0.10),
    )
    inside = canvas.cover(lungs, 3.0)
    canvas.paint(inside, canvas.texture(0.20, 0.02))
    # Ribs fall away from the spine; one periodic band draws them all.
    band = (canvas.y - np.float32(0.55) * canvas.x**2) * np.float32(5.5 + canvas.jitter(0.4))
    band = band - np.floor(band) - np.float32(0.5)
    ribs = np.exp(-((band / np.float32(0.16)) ** 2))
    thorax = canvas.cover(canvas.ellipse(0, -0.05, 0.84, 0.80), 4.0)
    canvas.paint(ribs * thorax * np.float32(0.16), 0.95)
    spine = canvas.cover(np.abs(canvas.x) - np.float32(0.085), 3.0)
    disc = np.cos(canvas.y * np.float32(26)) > 0.75
    canvas.paint(spine * np.where(disc, np.float32(0.35), np.float32(0.65)), 0.80)
    for sign in (-1, 1):  # collar bones
        bone = canvas.ellipse(sign * 0.40, -0.70, 0.32, 0.028, tilt=-sign * 0.18)
        canvas.paint(canvas.cover(bone, 1.5) * np.float32(0.6), 0.85)
    size = 1.25 if canvas.enlarged else 0.95
    canvas.fill(canvas.ellipse(0.10, 0.32, 0.27 * size, 0.26 * size, tilt=0.5), 0.66, 3.0)
    for sign in (-1, 1):
        canvas.fill(canvas.ellipse(sign * 0.42, 0.90, 0.46, 0.36), 0.60, 3.0)


def _abdomen(canvas: _Canvas) -> None:
    """Axial CT of the abdomen: fat, liver, stomach, spleen, kidneys, spine, aorta."""
    canvas.fill(canvas.ellipse(0, 0, 0.94, 0.76), 0.26)
    canvas.fill(canvas.ellipse(0, 0, 0.87, 0.69), canvas.texture(0.34, 0.015))
    inner = canvas.cover(canvas.ellipse(0, 0, 0.83, 0.65))
    organs = canvas.pixels.copy()
    size = 1.2 if canvas.enlarged else 0.95
    liver = canvas.ellipse(-0.44, -0.12, 0.40 * size, 0.40 * size, tilt=0.4)
    canvas.fill(liver, canvas.texture(0.47, 0.015))
    canvas.fill(canvas.ellipse(0.28, -0.28, 0.24, 0.20 + canvas.jitter(), tilt=0.4), 0.40)
    canvas.fill(canvas.ellipse(0.62, 0.05, 0.17, 0.32 + canvas.jitter(), tilt=0.2), 0.50)
    organs += inner * (canvas.pixels - organs)  # organs end at the body wall
    canvas.pixels = organs
    for sign in (-1, 1):
        x, y = sign * 0.37 + canvas.jitter(), 0.30 + canvas.jitter()
        canvas.fill(canvas.ellipse(x, y, 0.13, 0.17, tilt=sign * 0.4), 0.54)
        canvas.fill(canvas.ellipse(x - sign * 0.06, y, 0.05, 0.07), 0.36)
    canvas.fill(canvas.ellipse(0, 0.34, 0.15, 0.13), 0.88)
    canvas.fill(canvas.ellipse(0, 0.53, 0.035, 0.13), 0.85)
    canvas.fill(canvas.ellipse(0, 0.36, 0.05, 0.04), 0.45)
    canvas.fill(canvas.ellipse(-0.03, 0.13, 0.065, 0.065), 0.56)


_BODIES = {"head": _head, "chest": _chest, "abdomen": _abdomen}


def _draw_lesion(canvas: _Canvas, lesion: Lesion) -> None:
    """Draw a lesion; it fills the circle of its radius and nothing outside."""
    x, y = canvas.image_x - np.float32(lesion.x), canvas.image_y - np.float32(lesion.y)
    distance, radius = np.hypot(x, y), np.float32(lesion.radius)
    if lesion.kind == "nodule":  # bright, round, fading at the edge
        canvas.paint(np.clip((radius - distance) / (radius * np.float32(0.45)), 0, 1), 0.80)
    elif lesion.kind == "cyst":  # dark, with a thin bright wall
        canvas.fill(distance - radius, 0.74, 1.0)
        canvas.fill(distance - radius * np.float32(0.76), 0.05, 1.0)
    else:  # brightest of all, small, five spikes
        wave = np.cos(np.arctan2(y, x) * np.float32(2.5) + np.float32(lesion.phase)) ** 2
        canvas.fill(distance - radius * (np.float32(0.40) + np.float32(0.60) * wave), 1.0, 1.0)


def _blur(pixels: Plane) -> Plane:
    """Binomial 3 x 3 blur."""
    padded = np.pad(pixels, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]  # (H, W + 2)
    both = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]  # (H, W)
    return (both / 16).astype(np.float32)


def render(scene: Scene, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a scene.

    Args:
        scene: what is to be seen.
        size: pixels along one side.
        rng: for texture and noise.

    Returns:
        uint8 of shape (size, size).
    """
    canvas = _Canvas(scene, size, rng)
    _BODIES[scene.view](canvas)
    for lesion in scene.lesions:
        _draw_lesion(canvas, lesion)
    pixels = _blur(canvas.pixels) if scene.look.blurred else canvas.pixels
    noise = np.float32(scene.look.noise) * rng.standard_normal((size, size), dtype=np.float32)
    pixels = pixels * np.float32(scene.look.gain) + np.float32(scene.look.offset) + noise
    return (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
