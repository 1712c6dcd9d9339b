"""Checkpoints of all formats: reading without executing anything, writing, key by key."""
