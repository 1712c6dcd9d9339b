"""Rows to leave out: near-duplicates, poor images and texts, what test sets hold too."""
