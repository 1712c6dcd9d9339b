"""Corpora for pretraining: raw releases to prepared datasets, in parallel and in constant memory.

A reader cuts a release into pieces of work (`corpus.Work`) and turns each into documents; `shards`
writes what one piece holds to a file of its own, `parallel` spreads the pieces over Dask workers,
`merge` leaves out what was replaced or is there twice and writes the prepared dataset.
"""
