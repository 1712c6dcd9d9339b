"""Small raw releases in the official layouts, of our own making.

A module per family of datasets; each has ``BUILDERS``: what writes the release of a dataset, by the
dataset's name, into an empty folder. Contents mean nothing, only their form does.
"""
