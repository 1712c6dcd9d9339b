"""Radiology-like drawings with known content, for the demo and for tests.

Drawn by our own code from a seed; no patient data. See ``datasets/phantoms/README.md``.
"""

from biomedgpt.data.phantoms.phantom import FoundLesion, Phantom, generate
from biomedgpt.data.phantoms.phantom_dataset import write_phantoms
from biomedgpt.data.phantoms.wording import PhantomQuestion

__all__ = ["FoundLesion", "Phantom", "PhantomQuestion", "generate", "write_phantoms"]
