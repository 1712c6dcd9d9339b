"""The parts of the page that are HTML. Whatever comes from outside is escaped here."""

from collections.abc import Iterable
from html import escape

from biomedgpt.data.imaging.boxes import Box
from biomedgpt.serve.model_card import NOTICE, ModelCard

CSS = """
footer { display: none !important; }
.notice { border-left: .3rem solid; padding: .4rem .8rem; margin: 0 0 .5rem;
          background: var(--background-fill-secondary); }
.error { border-color: #c53030; }
.warning { border-color: #b7791f; }
.facts { display: flex; flex-wrap: wrap; gap: .15rem 1.2rem; margin: 0; font-size: .9rem; }
.facts div { overflow-wrap: anywhere; }
.facts dt, .facts dd { display: inline; margin: 0; }
.facts dt, .soft { opacity: .75; margin: 0; }
.answer { font-size: 1.25rem; overflow-wrap: anywhere; white-space: pre-wrap; margin: 0; }
.picture { display: block; max-width: 100%; max-height: 16rem; margin: 0 auto; }
.picture.large { max-height: 28rem; }
#examples .grid-wrap { min-height: 0; }
#examples .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)); }
figcaption { text-align: center; overflow-wrap: anywhere; }
"""
"""What Gradio's theme does not say; colours are its own, for light and dark."""


def header(card: ModelCard) -> str:
    """Return the heading, the notice and the model card, which come first on the page."""
    facts = "".join(
        f"<div><dt>{escape(name)}:</dt> <dd>{escape(value)}</dd></div>"
        for name, value in card.facts
    )
    notes = "".join(f"<div>{escape(note)}</div>" for note in card.notes)
    return (
        '<h1 style="margin: 0 0 .3rem">BiomedGPT</h1>'
        f'<p class="notice warning"><strong>{NOTICE}</strong> Answers are produced by a model and '
        "are often wrong.</p>"
        f'<dl class="facts" aria-label="Model card">{facts}</dl>'
        f'<div class="soft">{notes}</div>'
    )


def soft(text: str) -> str:
    """Return a line in the background."""
    return f'<p class="soft">{escape(text)}</p>'


def error(message: str) -> str:
    """Return a line that says what is wrong; nothing of nothing."""
    return f'<p class="notice error" role="alert">{escape(message)}</p>' if message else ""


def answer(text: str, confidence: str, warnings: Iterable[str]) -> str:
    """Return an answer, what is known about its confidence, and warnings."""
    said = "".join(f'<p class="notice warning">{escape(one)}</p>' for one in warnings)
    shown = f'<p class="answer">{escape(text)}</p>' if text else ""
    below = soft(confidence) if confidence else ""
    return f'<div role="status">{shown}{below}{said}</div>'


def picture(address: str, description: str, caption: str = "", *, large: bool = False) -> str:
    """Return a picture with the words that stand for it."""
    size = " large" if large else ""
    below = f'<figcaption class="soft">{escape(caption)}</figcaption>' if caption else ""
    return (
        f'<figure style="margin: 0"><img class="picture{size}" src="{escape(address)}" '
        f'alt="{escape(description)}">{below}</figure>'
    )


def box(edges: Box) -> str:
    """Return a box in words."""
    left, top, right, bottom = (f"{edge:.0f}" for edge in edges)
    return f"left {left}, top {top}, right {right}, bottom {bottom} pixels"
