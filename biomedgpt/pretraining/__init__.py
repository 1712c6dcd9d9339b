"""Pretraining: streams of examples from prepared corpora, mixed by weight.

`config` reads the one file that describes a run, `streams` turn rows into examples, `mixture` says
which rows an epoch holds and in what order, `batches` groups them for the model.
"""
