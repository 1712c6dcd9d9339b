"""Curves as SVG images that need nothing beside the page."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from biomedgpt.data.imaging.addresses import data_uri
from biomedgpt.errors import optional_import

# Distinct in colour (safe for colour-blind readers), line and marker.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0b5fa5", "linestyle": "-", "marker": ""},
    {"color": "#c44e00", "linestyle": "--", "marker": "o"},
    {"color": "#2f7d32", "linestyle": "-.", "marker": "s"},
    {"color": "#6a3d9a", "linestyle": ":", "marker": "^"},
)
Series = Sequence[tuple[float, float]]


def series(entries: Sequence[Mapping[str, Any]], kind: str, key: str) -> Series:
    """Return (update, value) of ``key`` in the entries of ``kind`` that have it."""
    return [(e["update"], e[key]) for e in entries if e["kind"] == kind and key in e]


def load_matplotlib() -> Any:
    """Import matplotlib, which comes with an extra.

    Raises:
        ConfigError: it is not installed; the message says how to install it.
    """
    with optional_import('plots need matplotlib ({error}); pip install "biomedgpt[report]"'):
        import matplotlib.figure
    return matplotlib


def line_plot(curves: Mapping[str, Series], *, ylabel: str) -> str:
    """Return a ``data:`` URI of an SVG plot of ``curves`` by label over updates."""
    mpl = load_matplotlib()
    # The hash salt makes the file the same for the same numbers.
    with mpl.rc_context({"svg.hashsalt": "biomedgpt", "font.size": 11}):
        figure = mpl.figure.Figure(figsize=(5.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for style, (label, points) in zip(STYLES, curves.items(), strict=False):
            updates, values = zip(*points, strict=True)
            axes.plot(updates, values, label=label, markersize=4, linewidth=1.8, **style)
        axes.set_xlabel("update")
        axes.set_ylabel(ylabel)
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return data_uri(buffer.getvalue(), "svg+xml")
