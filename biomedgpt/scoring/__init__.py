"""Scores of prediction files: reading them, measures with intervals, tables, ``score.json``.

Free of torch: what is reported is computed here, in training and afterwards.
"""
