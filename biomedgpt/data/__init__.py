"""Prepared datasets: reading raw releases, writing, checking, and random access.

Nothing here imports torch except `biomedgpt.examples.example_encoder`.
"""
