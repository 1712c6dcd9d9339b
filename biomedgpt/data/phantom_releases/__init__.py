"""Phantoms in the layouts of other releases: dialogues, answers that show images, corpora."""
