"""Recipes: settings for every dataset, what is checked before a run, and fairseq's commands."""
