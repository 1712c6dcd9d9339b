"""Measures as pure functions of prediction lines, free of torch."""
