"""Evaluation without training data: zero-shot scores, and probes of whether a model looks."""
