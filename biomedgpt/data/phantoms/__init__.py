"""Radiology-like drawings with known content, for the demo and for tests.

Drawn by our own code from a seed; no patient data. See ``datasets/phantoms/README.md``.
"""
